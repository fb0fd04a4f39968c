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


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" * 3

SECRETS = [
    "-----BEGIN PRIVATE" + " KEY-----",
    "-----BEGIN OPENSSH PRIVATE" + " KEY-----",
    "-----BEGIN PGP PRIVATE" + " KEY BLOCK-----",
    "AKIA" + "ABCDEFGHIJ234567",
    *(prefix + LETTERS[:36] for prefix in ("gho_", "ghp_", "ghr_", "ghs_", "ghu_")),
    "github_pat_" + LETTERS[:22] + "_" + LETTERS[:59],
    "glpat-" + LETTERS[:20],
    "xoxb-" + "123456789012-" + LETTERS[:24],
    "hf_" + LETTERS[:34],
    "sk-" + LETTERS[:48],
    "sk-proj-" + LETTERS[:60],
    "sk-ant-" + "api03-" + LETTERS[:95],
    "sk_live_" + LETTERS[:24],
    "AIza" + LETTERS[:35],
    "npm_" + LETTERS[:36],
    "pypi-" + "AgEIcHlwaS5vcmc" + LETTERS[:60],
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
def test_contents_with_a_secret(secret: str) -> None:
    assert sensitive_content(secret.encode())
    assert sensitive_content(f"key = '{secret}'  # mine\n".encode())


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
def test_a_mention_of_the_prefix_alone_is_no_secret(secret: str) -> None:
    assert not sensitive_content(f"A key begins with {secret[:12]}.\n".encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"lr = 0.1\n",
        b"-----BEGIN PUBLIC KEY-----",
        b"task-" + LETTERS[:48].encode(),
        b"\0\xff",
    ],
)
def test_contents_without_a_secret(content: bytes) -> None:
    assert not sensitive_content(content)
