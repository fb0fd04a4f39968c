"""Which files look like secrets; which, though they sound so, do not."""

from __future__ import annotations

import pytest

from gitexp.sensitive import sensitive_content, sensitive_name

SECRET_NAMES = """
.env .env.local .ENV deploy/.env.production prod.env .envrc server.pem tls/server.key
id_rsa id_ed25519 id_ed25519_work .netrc _netrc .pypirc .npmrc .git-credentials credentials
credentials.json aws_credentials.yaml service-account.json my-service_account-1.json
client_secret_123.apps.json cert.p12 cert.PFX release.keystore token token.txt hf_token.json
.token api-key.txt openai_api_keys.yaml password.txt passwords.csv secrets.yaml secret.toml
.secrets secrets .ssh/config home/.aws/config .docker/config.json
"""

OTHER_NAMES = """
train.py environment.yml .env.example .env.sample .env.template id_rsa.pub env.py
tokenizer.json tokens.txt special_tokens_map.json tokenizer_config.json token.py
token_counts.csv keys.py monkey.txt secretary.md data/keyboard.csv secrets.example
credentials.py password_reset.html
"""


@pytest.mark.parametrize(
    "path",
    SECRET_NAMES.split(),
)
def test_names_of_secrets(path: str) -> None:
    assert sensitive_name(path.encode())


@pytest.mark.parametrize(
    "path",
    OTHER_NAMES.split(),
)
def test_names_that_are_no_secrets(path: str) -> None:
    assert not sensitive_name(path.encode())


def test_a_name_need_not_be_utf8() -> None:
    assert sensitive_name(b"caf\xe9/\xff.pem")
    assert not sensitive_name(b"caf\xe9.py")


BODY = "MC4CAQAwBQYDK2VwBCIEIHq3vD0sXzJ4mQ9kTn1LrYb7aGfW2cUe5oPi8RjNt6Sh"
TOKEN = "ghp_" + "R7kQ2mZ9vT4xB8nW1cY6pL3sD5fG0hJ2aKuE"


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH "])
def test_contents_with_a_private_key(kind: str) -> None:
    key = f"-----BEGIN {kind}PRIVATE" + f" KEY-----\n{BODY}\n-----END {kind}PRIVATE KEY-----\n"
    assert sensitive_content(key.encode())


def test_contents_with_a_token() -> None:
    assert sensitive_content(TOKEN.encode())
    assert sensitive_content(f"key = '{TOKEN}'  # mine\n".encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"lr = 0.1\n",
        b"-----BEGIN PUBLIC KEY-----",
        b"-----BEGIN PRIVATE KEY-----",
        b"task-" + BODY.encode(),
        b"A key begins with " + TOKEN[:12].encode(),
        b"\0\xff",
    ],
)
def test_contents_without_a_secret(content: bytes) -> None:
    assert not sensitive_content(content)


def test_a_word_before_a_value_does_not_keep_a_file_out_of_the_snapshot() -> None:
    """It is asked about before a push, where somebody can answer."""
    assert not sensitive_content(b'password = "hunter2hunter"\n')
