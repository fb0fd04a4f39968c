"""Each kind of secret is found, its near misses are not, and honest text gives nothing.

The secrets are put together at run time, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import random
import string
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.credentials import RULES, Rule, entropy, find_credentials

ROOT = Path(__file__).parents[1]
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + "234567"


def rand(count: int, letters: str = ALNUM) -> str:
    """Return letters as random as a token's, the same ones each time."""
    return "".join(random.Random(f"{count}{letters}").choices(letters, k=count))


def pem(kind: str, lines: int = 4, end: str = "\n") -> str:
    body = end.join(rand(64, ALNUM + "+/" + HEX[:n]) for n in range(lines))
    return f"-----BEGIN {kind}-----{end}{body}{end}-----END {kind}-----{end}"


def jwt(claims: bytes) -> str:
    parts = (b'{"alg":"HS256","typ":"JWT"}', claims, random.Random(1).randbytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


PRECISE = {
    "private key": [
        pem("RSA PRIVATE" + " KEY"),
        pem("PRIVATE" + " KEY", 1),
        pem("OPENSSH PRIVATE" + " KEY"),
        pem("PRIVATE" + " KEY", end="\\n"),
        pem("PGP PRIVATE" + " KEY BLOCK").replace("-----\n", "-----\nVersion: 1\n\n", 1),
        pem("RSA PRIVATE" + " KEY").replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
    ],
    "PuTTY private key": [
        "PuTTY-User-Key-File-" + f"3: ssh-ed25519\nEncryption: none\nComment: me\nPublic-Lines: 1\n"
        f"{rand(64)}\nPrivate-Lines: 1\n{rand(48)}\nPrivate-MAC: {rand(64, HEX)}\n"
    ],
    "AWS access key": ["AKIA" + rand(16, UPPER)],
    "AWS temporary access key": ["ASIA" + rand(16, UPPER)],
    "AWS secret access key": [
        f"aws_secret_access_key = {rand(40, ALNUM + '/+')}",
        f'"SecretAccessKey": "{rand(40)}"',
        f"AWS_SECRET_KEY={rand(40)}",
        f"aws configure set aws_secret_access_key {rand(40)}",
    ],
    "GitHub token": [
        *(f"gh{kind}_{rand(36)}" for kind in "oprsu"),
        f"github_pat_{rand(22)}_{rand(59)}",
    ],
    "GitLab token": ["glpat-" + rand(20), "glpat-" + rand(27) + ".01." + rand(9, HEX)],
    "GitLab deploy token": ["gldt-" + rand(20)],
    "GitLab runner token": ["glrt-" + rand(20)],
    "Slack token": [
        f"xoxb-{rand(12, string.digits)}-{rand(13, string.digits)}-{rand(24)}",
        f"xoxe.xoxp-1-{rand(140)}",
    ],
    "Slack webhook": [
        f"https://hooks.slack.com/services/T{rand(8, UPPER)}/B{rand(9, UPPER)}/{rand(24)}"
    ],
    "Stripe key": ["sk_live_" + rand(24), "rk_live_" + rand(99)],
    "Google API key": ["AIza" + rand(35, ALNUM + "-_")],
    "Google OAuth client secret": ["GOCSPX-" + rand(28, ALNUM + "-_")],
    "Azure connection string key": [
        f"AccountName=a;AccountKey={rand(86)}==;EndpointSuffix=core.windows.net",
        f"SharedAccessKeyName=Root;SharedAccessKey={rand(43)}=",
    ],
    "Azure client secret": [rand(3) + "8Q~" + rand(34)],
    "Hugging Face token": ["hf_" + rand(34)],
    "OpenAI API key": [
        "sk-" + rand(48),
        "sk-proj-" + rand(60, ALNUM + "-_"),
        f"sk-{rand(20)}T3BlbkFJ{rand(20)}",
    ],
    "Anthropic API key": [f"sk-ant-api03-{rand(93, ALNUM + '-_')}AA"],
    "npm token": ["npm_" + rand(36)],
    "PyPI token": ["pypi-AgEIcHlwaS5vcmc" + rand(150), "pypi-AgENdGVzdC5weXBpLm9yZw" + rand(150)],
    "SendGrid API key": [f"SG.{rand(22)}.{rand(43)}"],
    "Twilio API key": ["SK" + rand(32, HEX)],
    "Twilio auth token": [f"TWILIO_AUTH_TOKEN={rand(32, HEX)}"],
    "DigitalOcean token": ["dop_v1_" + rand(64, HEX), "dor_v1_" + rand(64, HEX)],
    "Databricks token": ["dapi" + rand(32, HEX), "dapi" + rand(32, HEX) + "-2"],
    "W&B API key": [
        f"WANDB_API_KEY={rand(40, HEX)}",
        f"wandb login {rand(40, HEX)}",
        f'wandb.login(key="{rand(40, HEX)}")',
        f"machine api.wandb.ai\n  login user\n  password {rand(40, HEX)}\n",
        "wandb_v1_" + rand(77),
    ],
    "Neptune API token": [
        base64.b64encode(
            b'{"api_address":"https://app.neptune.ai","api_key":"%b"}' % rand(36).encode()
        ).decode()
    ],
    "JSON web token": [jwt(b'{"sub":"1234567890","name":"Ada"}')],
    "password in a URL": [
        f"postgres://ada:{rand(12)}@db.example.org/runs",
        f"https://x-access-token:{rand(30)}@git.example.org/a.git",
        f"redis://:{rand(12)}@[::1]:6379",
    ],
}
BY_WORD = {
    "password": [
        'password = "hunter2!"',
        f'"db_password": "{rand(10)}"',
        "DB_PASSWORD=tr0ub4dor&3",
        "mysql --password=s3cr4tpw9",
        "tool --passwd 7hY2kPq9",
        f"passphrase: {rand(12)}",
        f"password: str = '{rand(9)}'",
        f"config['password'] = '{rand(9)}'",
        f"PGPWD={rand(12)}",
    ],
    "secret": [
        f"client_secret = '{rand(32)}'",
        f"secretKey: {rand(32)}",
        f"SECRET_KEY = b'{rand(24)}'",
        f'\\"secret\\": \\"{rand(24)}\\"',
    ],
    "access token": [
        f"auth_token = '{rand(32)}'",
        f"--token {rand(32)}",
        f"MY_TOKEN={rand(40, HEX)}",
        f'"access_token": "{rand(40, HEX)}"',
        f"train.py --hub-token {rand(32)} --lr 0.1",
    ],
    "access key": [
        f"api_key = '{rand(32)}'",
        f'{{"apiKey": "{rand(32, HEX)}"}}',
        f"--api-key {rand(32)}",
        f"OPENWEATHER_API_KEY={rand(32, HEX)}",
        f"access-key: {rand(20)}",
    ],
    "authorization header": [
        f"curl -H 'Authorization: Bearer {rand(32)}' https://example.org",
        f'headers = {{"Authorization": "token {rand(40, HEX)}"}}',
        f"authorization: Basic {rand(24)}==",
    ],
}
SECRETS = [(rule, text) for rules in (PRECISE, BY_WORD) for rule in rules for text in rules[rule]]


def rules_of(text: str) -> list[str]:
    return [found.rule for found in find_credentials(text.encode())]


def test_every_rule_has_an_example() -> None:
    assert {rule.name for rule in RULES} == {rule for rule, _ in SECRETS}
    assert {rule.name for rule in RULES if rule.precise} == set(PRECISE)


@pytest.mark.parametrize(("rule", "text"), SECRETS, ids=[rule for rule, _ in SECRETS])
def test_a_secret_is_found_wherever_it_stands(rule: str, text: str) -> None:
    for before, after in (("", ""), ("\n", "\n"), ("x = 1\n\t", "  # mine\n"), ("\0\xff ", "\n\0")):
        content = f"{before}{text}{after}".encode()
        (found,) = find_credentials(content)
        assert found.rule == rule
        assert found.line == 1 + content[: content.index(found.secret[:12])].count(b"\n")
        assert found.secret in content.replace(b"\\n", b"").replace(b"\n", b"")


@pytest.mark.parametrize(("rule", "text"), SECRETS, ids=[rule for rule, _ in SECRETS])
def test_its_beginning_is_no_secret_of_that_kind(rule: str, text: str) -> None:
    if rule not in BY_WORD:
        assert rule not in rules_of(text[: min(len(text) // 2 - 1, 20)])


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.precise], ids=lambda r: r.name)
def test_precise_rules_are_asked_alone_where_that_is_wanted(rule: Rule) -> None:
    content = "\n".join(PRECISE[rule.name]).encode()
    assert {found.rule for found in find_credentials(content, precise=True)} == {rule.name}


@pytest.mark.parametrize("texts", BY_WORD.values(), ids=BY_WORD)
def test_a_word_before_a_value_is_no_precise_sign(texts: list[str]) -> None:
    assert not list(find_credentials("\n".join(texts).encode(), precise=True))


HONEST = r"""
tokenizer="gpt2"
tokenizer: bert-base-uncased-finetuned-sst-2-english
token_embedding=nn.Embedding(50257, 768)
max_tokens: 4096
pad_token: "<|endoftext|>"
"eos_token": "<|im_end|>", "unk_token": "[UNK]", "image_token": "<image_placeholder_0123>"
bos_token = "a1b2c3d4e5f6g7h8i9j0"
"token": "e3d495d4ac534d54b321f50006683844"
sample_token = "ca9a282c9e77460f8360f564131a8af5"
commit: 9ce3c8de09318fdee6c6f414aff866dc27057dcd
"digest":"4a832629c9416f6d11a75576ea279de5"
requirement --hash=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
wandb @ git+https://github.com/wandb/wandb@9ce3c8de09318fdee6c6f414aff866dc27057dcd
secret = os.environ["X"]
secret = os.environ["MY_SECRET_KEY_2024_A"]
api_key = os.getenv("OPENAI_API_KEY1", default)
api_key = "your-api-key-here"
api_key="sk-..."
api_key: <YOUR_API_KEY_1234567>
password = "xxxxxxxxxxxx1"
password = "password123"
password: "${DB_PASSWORD_1}"
password=%(password)s1234
token = ${TOKEN}
token: ${{ secrets.GITHUB_TOKEN_2 }}
token = "{{ vault_token_1234567 }}"
password = getpass.getpass("Password: ")
password = args.password1
password: Optional[str] = None
login(password=password2, token=token_id_2)
self.password = self.settings["db2"]["password"]
"password": "Enter a password of 8 characters or more"
secret_key = config.secret_key_v2
access_key = /etc/keys/access_key_2024_01.txt
key = "f47ac10b58cc4372a5670e02b2c3d479"
cache_key = "f47ac10b58cc4372a5670e02b2c3d479"
the token 1234567890abcdef1234 is read
password_hash = "5f4dcc3b5aa765d61d8327deb882cf99"
num_token = "a8f5f167f44f4964e6c998dee827110c"
PWD=/home/ada/experiments/run2
postgres://user:password@localhost/db
postgres://postgres:postgres@localhost/db
postgres://ada:${PGPASSWORD}@localhost/db
https://user:xxxxxx@example.org
http://localhost:8080/path@2x.png
AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
if b"-----BEGIN PRIVATE KEY-----" in content:
-----BEGIN CERTIFICATE-----
task-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9nO2qR5tU8wX
Authorization: Bearer $TOKEN
headers = {"Authorization": f"Bearer {token}"}
tokens per second: 123456.789012345678
"keys":[["step"],["loss"]]
"""


@pytest.mark.parametrize("line", HONEST.strip().splitlines())
def test_honest_lines_give_nothing(line: str) -> None:
    assert not list(find_credentials(line.encode()))


def source_files() -> Iterator[Path]:
    """Text files of this project, and of packages of the standard library that speak of tokens."""
    folders = [ROOT / name for name in ("gitexp", "docs", "examples", "hooks", "tests")]
    library = Path(sysconfig.get_path("stdlib"))
    folders += [
        library / name for name in ("json", "email", "http", "urllib", "asyncio", "tomllib")
    ]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                yield path


SPELLED_OUT = {
    "test_choose_remote.py",
    "test_cli_share.py",
    "test_credentials.py",
    "test_outgoing.py",
    "test_sensitive.py",
    "test_snapshot.py",
}
"""Tests with secrets that are meant to be found."""


def test_source_code_gives_nothing() -> None:
    found = [
        (path.name, credential)
        for path in source_files()
        if path.name not in SPELLED_OUT
        for credential in find_credentials(path.read_bytes())
    ]
    honest = [("request.py", b"geheim$parole")]  # an example in the docstring of urllib.request
    assert [(name, credential.secret) for name, credential in found] == honest


def test_lines_are_counted_over_the_pieces_that_content_is_taken_in() -> None:
    """A piece has 1 MiB."""
    token = b"ghp_" + rand(36).encode()
    for size in (*range((1 << 20) - 50, (1 << 20) + 10), (3 << 20) - 20):
        lines = size // 64
        content = (b"x" * 63 + b"\n") * lines + b"y" * (size % 64) + b"\n" + token + b"\n"
        assert [(c.line, c.secret) for c in find_credentials(content)] == [(lines + 2, token)]


def test_a_line_of_16_mib_is_searched() -> None:
    token = b"hf_" + rand(34).encode()
    content = b"a" * (15 << 20) + b" " + token + b" " + b"b" * (1 << 20)
    assert [found.secret for found in find_credentials(content)] == [token]


REPEATED = [
    b"-----BEGIN PRIVATE KEY-----",
    b"-----BEGIN RSA ",
    b"Private-Lines: 1\n",
    b"eyJhbGciOiJI.",
    b"eyJhbGciOiJI",
    b"-eyJ",
    b"sk-",
    b"://a:",
    b"://",
    b"key=",
    b"key: a=",
    b'key="',
    b"token ",
    b"password=a",
    b"wandb key ",
    b"wandb",
    b"authorization: bearer ",
    b"hooks.slack.com/services/",
    b"xoxb-1-",
    b"secret_access_key=",
    b"glpat-",
    b'\\"',
]


@pytest.mark.parametrize("part", REPEATED, ids=[part.decode() for part in REPEATED])
def test_no_content_makes_a_pattern_run_away(part: bytes) -> None:
    """A pattern without bounds would take hours for it, as each beginning would look at the end."""
    content = part * (1_000_000 // len(part))
    assert sum(len(found.secret) for found in find_credentials(content)) <= len(content)


@given(st.binary(max_size=2000))
def test_any_bytes_are_searched(content: bytes) -> None:
    found = list(find_credentials(content))
    assert all(1 <= item.line <= 1 + content.count(b"\n") for item in found)
    assert sum(len(item.secret) for item in found) <= len(content)


PIECES = [rule.part for rule in RULES] + [text.encode() for _, text in SECRETS]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=12).map(b"".join))
def test_whatever_stands_beside_each_other_is_found_once(content: bytes) -> None:
    found = list(find_credentials(content))
    assert [item.line for item in found] == sorted(item.line for item in found)
    assert sum(len(item.secret) for item in found) <= len(content)
    precise = set(find_credentials(content, precise=True))
    assert precise <= set(found)


def test_entropy_is_shannons() -> None:
    assert entropy(b"aaaa") == 0
    assert entropy(b"abab") == 1
    assert entropy(b"abcd") == 2
    assert entropy(bytes(range(256))) == 8
