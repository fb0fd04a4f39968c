r"""Find credentials in bytes: one table of what they look like, and one pass over the content.

The formats are those that the issuers publish so that scanners can find lost tokens (GitHub,
GitLab, Slack, Stripe, Google, Microsoft, AWS, OpenAI, Anthropic, Hugging Face, npm, PyPI,
SendGrid, Twilio, DigitalOcean, Databricks, Weights & Biases, Neptune), RFC 7468, RFC 9580 and
PuTTY's manual for private keys, RFC 7519 for JSON web tokens, RFC 3986 for user and password in a
URL. Which of them are worth a rule, and that entropy and stop words tell a spelled-out secret
from a word, follows the rule set that gitleaks publishes. The patterns are written for this table.

*Precise* rules know a secret by its own form. The others know it by the word before it
(``password = …``, ``"api_key": "…"``, ``--token …``, ``DB_PASSWORD=…``) and judge whether the
value is random enough: long, varied, no word, path, expression or placeholder. A password made
of words only is not found; else every ``password = form_password`` would be.

Each rule names a literal part, and only where it occurs is its pattern tried, at that place: 10
MiB of source code take 0.2 s, of which most is the search for some 40 parts. All patterns are
bounded, so that no content takes more than a fixed time for each byte. Folding the case needs a
copy, so the content is taken in pieces.
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator

from gitexp.light import NamedTuple

_PIECE_BYTES = 1 << 20
_MAX_PART_BYTES = 64
_MIN_ENTROPY = 2.5
"""Bits for each byte. Random tokens of 16 characters have 3 and more; ``xxxx`` and ``1111`` have
0."""

_MIN_SECRET_BYTES = 16
_MIN_SECRET_ENTROPY = 3.0
"""16 random hexadecimal digits have 3.2 bits on average."""


class Credential(NamedTuple):
    """Something that looks like a secret.

    Attributes:
        line: Where it begins, counted from 1.
        rule: What it is, in words: ``GitHub token``.
        secret: Its bytes; of a private key its base64 text without line ends.
    """

    line: int
    rule: str
    secret: bytes


Judge = Callable[[re.Match[bytes]], bool]


class Rule(NamedTuple):
    """One form of a secret.

    Attributes:
        name: What it is.
        part: What must occur; in lower case if `folded`.
        pattern: Matches from `before` bytes in front of the part. The secret is the group
            ``secret``, or all of the match.
        judge: Whether a match is a secret indeed.
        before: How many bytes of the match stand before the part.
        folded: The part counts in any case.
        precise: The form alone tells; no word before it is needed.
    """

    name: str
    part: bytes
    pattern: re.Pattern[bytes]
    judge: Judge
    before: int = 0
    folded: bool = False
    precise: bool = True


def find_credentials(content: bytes, *, precise: bool = False) -> Iterator[Credential]:
    """Yield what looks like a secret, in the order of its place.

    Where two rules find the same text, the first in the table counts, precise ones before others.

    Args:
        content: Anything; it need not be text.
        precise: Leave out secrets that only the word before them gives away.
    """
    line, counted = 1, 0
    for begin in range(0, len(content), _PIECE_BYTES):
        for start, rule, secret in _in_piece(content, begin, precise=precise):
            line += content.count(b"\n", counted, start)
            counted = start
            yield Credential(line, rule.name, secret)


_Found = tuple[int, int, Rule]


def _in_piece(content: bytes, begin: int, *, precise: bool) -> Iterator[tuple[int, Rule, bytes]]:
    """Yield place, rule and secret of those whose literal part begins in one piece."""
    found: list[_Found] = []
    by_word: list[_Found] = []
    piece = content[begin : begin + _PIECE_BYTES + _MAX_PART_BYTES]  # parts at its end are whole
    lower = piece.lower()
    for (part, folded), rules in _BY_PART.items():
        chosen = [rule for rule in rules if rule.precise or not precise]
        text = lower if folded else piece
        at = text.find(part) if chosen else -1
        while 0 <= at < _PIECE_BYTES:
            after = at + 1
            for rule in chosen:
                match = rule.pattern.match(content, max(0, begin + at - rule.before))
                if match is None:
                    continue
                if rule.precise:  # its form leaves no room for another one inside
                    after = max(after, match.end() - begin)
                if rule.judge(match):
                    (found if rule.precise else by_word).append((*_span(match), rule))
            at = text.find(part, after)
    for start, end, rule in _without_overlaps(found, by_word):
        yield start, rule, _FOLDS.sub(b"", content[start:end])


def _without_overlaps(first: list[_Found], second: list[_Found]) -> list[_Found]:
    """Return what was found, sorted; of what overlaps the first, of the second list only rests."""
    kept = _apart(first)
    starts = [start for start, _, _ in kept]

    def is_free(found: _Found) -> bool:
        after = bisect(starts, found[0])
        touches_before = after > 0 and kept[after - 1][1] > found[0]
        return not touches_before and (after == len(starts) or starts[after] >= found[1])

    return sorted([*kept, *_apart([found for found in second if is_free(found)])], key=_start)


def _apart(found: list[_Found]) -> list[_Found]:
    kept: list[_Found] = []
    for item in sorted(found, key=_start):
        if not kept or item[0] >= kept[-1][1]:
            kept.append(item)
    return kept


def _start(found: _Found) -> int:
    return found[0]


def entropy(value: bytes) -> float:
    """Return the Shannon entropy of the bytes of a value, in bits for each byte.

    Shannon, "A Mathematical Theory of Communication" (1948): minus the sum of p log2 p over the
    frequencies p of the byte values.
    """
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())


# Whether a match is a secret


def _is_varied(match: re.Match[bytes]) -> bool:
    """Tell tokens from ``ghp_xxxx…`` and from those that issuers' manuals show."""
    value = _secret(match)
    return entropy(value) >= _MIN_ENTROPY and b"EXAMPLE" not in value


def _is_key_body(match: re.Match[bytes]) -> bool:
    return entropy(_secret(match)) >= _MIN_SECRET_ENTROPY


def _is_password(match: re.Match[bytes]) -> bool:
    """Tell a password from a word, a field's name and a placeholder."""
    value = _secret(match)
    if not _is_spelled_out(match) or entropy(value) < _MIN_ENTROPY:
        return False
    if _is_quoted(match) or _is_setting(match):
        return _WORDS_APART.fullmatch(value) is None and _LETTERS.fullmatch(value) is None
    return _WORDS.fullmatch(value) is None


def _is_url_password(match: re.Match[bytes]) -> bool:
    """Tell a password from a placeholder, and from ``postgres:postgres@localhost``."""
    value = _secret(match)
    varied = entropy(value) >= _MIN_ENTROPY and value != match["user"]
    return varied and not _is_placeholder(value)


def _is_random(match: re.Match[bytes]) -> bool:
    """Tell a key or token from a name, a path and a version."""
    value = _secret(match)
    return (
        len(value) >= _MIN_SECRET_BYTES
        and _is_spelled_out(match)
        and _DIGIT.search(value) is not None
        and _LETTER.search(value) is not None
        and _WORDS.fullmatch(value) is None
        and entropy(value) >= _MIN_SECRET_ENTROPY
    )


def _is_random_token(match: re.Match[bytes]) -> bool:
    """Tell a token that opens something from one of a text, and from an id of a record.

    In data sets such as nuScenes each record has a ``token`` of 32 hexadecimal digits.
    """
    if not _is_random(match) or _TEXT_TOKEN.search(_word_before(match)):
        return False
    if _HEXADECIMAL.fullmatch(_secret(match)):
        return _is_setting(match) or _OPENS.search(_word_before(match)) is not None
    return True


def _is_random_key(match: re.Match[bytes]) -> bool:
    return _is_random(match) and _SECRET_KEY.search(_word_before(match)) is not None


def _is_spelled_out(match: re.Match[bytes]) -> bool:
    """Say whether a word is given a value as it is, not an expression or a placeholder."""
    if match["blank"] is not None and not _is_option(match):
        return False
    value = _secret(match)
    if not _is_quoted(match) and _DOTTED.fullmatch(value):
        return False
    return not _is_placeholder(value)


def _is_placeholder(value: bytes) -> bool:
    return _PLACEHOLDER.search(value) is not None or _STOP_WORDS.search(value) is not None


def _span(match: re.Match[bytes]) -> tuple[int, int]:
    return match.span("secret" if "secret" in match.re.groupindex else 0)


def _secret(match: re.Match[bytes]) -> bytes:
    start, end = _span(match)
    return match.string[start:end]


def _is_quoted(match: re.Match[bytes]) -> bool:
    return match["quote"] is not None


def _is_setting(match: re.Match[bytes]) -> bool:
    """Say whether the word is an option (``--token``) or written as variables of a shell are."""
    return _is_option(match) or match[0][:3].isupper()


def _is_option(match: re.Match[bytes]) -> bool:
    return _OPTION.search(_word_before(match)) is not None


def _word_before(match: re.Match[bytes]) -> bytes:
    return match.string[max(0, match.start() - 40) : match.start()]


_FOLDS = re.compile(rb"\s+|\\+[nrt]|[\"']")
_DIGIT = re.compile(rb"[0-9]")
_LETTER = re.compile(rb"[A-Za-z]")
_LETTERS = re.compile(rb"[A-Za-z]+|[0-9.]+")
_WORDS = re.compile(rb"[0-9]{0,4}[A-Za-z]*[0-9]{0,4}(?:[_.:/+~-]+[0-9]{0,4}[A-Za-z]*[0-9]{0,4})*")
"""Words and numbers: ``gpt2-medium-355M``, ``token_ids_2``, ``v2.1``."""
_WORDS_APART = re.compile(rb"[A-Za-z]+[0-9]{0,2}(?:[_.:/-]+[A-Za-z]*[0-9]{0,2})+")
_DOTTED = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f-]+")
_OPTION = re.compile(rb"(?<![\w-])--?[A-Za-z0-9_.-]*$")
_OPENS = re.compile(
    rb"(?i)(?:access|api|auth|bearer|bot|deploy|private|refresh|secret|session|user|oauth)[_.-]?$"
)
_SECRET_KEY = re.compile(
    rb"(?i)(?:access|account|api|auth|encrypt(?:ion)?|master|private|secret|service|sign(?:ing)?|"
    rb"storage|subscription)[_.-]?$"
)
_TEXT_TOKEN = re.compile(
    rb"(?i)(?:\b|_)(?:add|begin|bos|cls|continuation|csrf|end|eos|eot|image|mask|max|min|new|next|"
    rb"num|pad|page|prev|sep|special|start|stop|sync|unk|vocab)[_-]?$"
)
_PLACEHOLDER = re.compile(
    rb"^[<$%{(\[/~.*@&]|\$[{(]|\{\{|\}\}|\{\w*\}|%\(|://|(.)\1{4}|^-|<[\w -]+>|[()\[\]]{2}"
)
"""References to something else, paths, calls, and what is one character over and over."""
_STOP_WORDS = re.compile(
    rb"(?i)abcdefgh|changeme|change[-_]me|dummy|example|fixme|foobar|insert|keyring|none|null|"
    rb"passw(?:or)?d|placeholder|redacted|replace|sample|secret|todo|undefined|\btest|token|"
    rb"your[-_]?|xxx|\.\.\.|0123456789|123456789|api[-_]?key|^pass$|^admin$|^root$|^guest$|getenv|"
    rb"environ"
)

# The table

_START = rb"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
"""Not in the middle of a word; an escaped line end, as in JSON, counts as a line end."""
_END = rb"(?![A-Za-z0-9])"
_BREAK = rb"(?:\s|\\{1,4}[nrt]|[\"'+,])"
_BODY = rb"(?P<secret>[A-Za-z0-9+/]{40}(?:[A-Za-z0-9+/=\s\"']|\\{1,4}[nrt]){0,8192})"
_ARMOR = rb"(?:[A-Z][A-Za-z-]{2,30}: [^\n\\]{0,120}(?:\s|\\{1,4}[nrt]){1,8}){0,4}"

_SEPARATOR = (
    rb"(?:(?:\\?[\"'`]\]?)?[ \t]{0,8}"
    rb"(?::[ \t]{0,4}[A-Za-z][\w.\[\]]{0,30}(?: ?\| ?None)?[ \t]{0,4}=(?!=)|:=|=>|[:=](?!=))"
    rb"[ \t]{0,8}|(?P<blank>[ \t]{1,4}))"
    rb"(?:[bBrRuU]{1,2}(?=[\"']))?"
)
"""What may stand between a word and its value: ``=``, ``:``, ``: str =``, ``": "``, or blanks."""
_VALUE = (
    rb"(?P<quote>\\?[\"'`])?"
    rb"(?P<secret>(?(quote)[!#-&(-\[\]-_a-~]{6,256}+|[\w.~+/!@%^&*#?-]{6,256}+={0,2}))"
    rb"(?(quote)\\?[\"'`]|(?![\w(\[{<$]))"
)
"""Within quotes, printable ASCII but for quotes and the backslash; else what ends by itself."""


def _token(name: str, part: str, pattern: str, *, before: int = 0, end: bytes = _END) -> Rule:
    whole = re.compile(_START + pattern.encode() + end)
    return Rule(name, part.encode(), whole, _is_varied, before)


def _near(name: str, part: str, pattern: bytes, judge: Judge = _is_varied) -> Rule:
    return Rule(name, part.encode(), re.compile(pattern), judge, folded=True)


def _word(name: str, part: str, suffix: bytes, judge: Judge) -> Rule:
    pattern = re.compile(b"(?i:" + part.encode() + suffix + b")" + _SEPARATOR + _VALUE)
    return Rule(name, part.encode(), pattern, judge, folded=True, precise=False)


RULES: tuple[Rule, ...] = (
    Rule(
        "private key",
        b"-----BEGIN ",
        re.compile(
            rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
            + _BREAK
            + rb"{0,32}"
            + _ARMOR
            + _BODY
        ),
        _is_key_body,
    ),
    Rule(
        "PuTTY private key",
        b"Private-Lines:",
        re.compile(rb"Private-Lines: ?[0-9]{1,4}" + _BREAK + rb"{1,8}" + _BODY),
        _is_key_body,
    ),
    _token("AWS access key", "AKIA", "AKIA[A-Z0-9]{16}"),
    _token("AWS temporary access key", "ASIA", "ASIA[A-Z0-9]{16}"),
    _near(
        "AWS secret access key",
        "secret",
        rb"(?i:secret[_. -]?(?:access[_. -]?)?key)"
        + _SEPARATOR
        + rb"\\?[\"']?(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    *(_token("GitHub token", f"gh{kind}_", f"gh{kind}_[A-Za-z0-9]{{36,255}}") for kind in "oprsu"),
    _token("GitHub token", "github_pat_", "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("GitLab token", "glpat-", r"glpat-[A-Za-z0-9_-]{20,300}(?:\.[a-z0-9.]{2,40})?"),
    _token("GitLab deploy token", "gldt-", "gldt-[A-Za-z0-9_-]{20,64}"),
    _token("GitLab runner token", "glrt-", r"glrt-[A-Za-z0-9_.-]{20,300}"),
    _token(
        "Slack token", "xox", "xox[abceoprs](?:[.-][A-Za-z0-9]{1,12}){1,5}-[A-Za-z0-9-]{16,250}"
    ),
    Rule(
        "Slack webhook",
        b"hooks.slack.com/",
        re.compile(
            rb"hooks\.slack\.com/(?:services|workflows|triggers)/"
            rb"(?P<secret>[A-Z0-9]{8,12}/[A-Z0-9]{8,24}/[A-Za-z0-9/]{16,64})"
        ),
        _is_varied,
    ),
    _token("Stripe key", "k_live_", "[rs]k_live_[A-Za-z0-9]{16,247}", before=1),
    _token("Google API key", "AIza", "AIza[A-Za-z0-9_-]{35}", end=rb"(?![A-Za-z0-9_-])"),
    _token("Google OAuth client secret", "GOCSPX-", "GOCSPX-[A-Za-z0-9_-]{28}"),
    Rule(
        "Azure connection string key",
        b"Key=",
        re.compile(
            rb"(?:(?<=Account)|(?<=Access)|(?<=AccessSignature))Key="
            rb"(?P<secret>[A-Za-z0-9+/]{86}==|[A-Za-z0-9+/]{43}=)(?!=)"
        ),
        _is_varied,
    ),
    _token("Azure client secret", "Q~", r"[\w~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}", before=4),
    _token("Hugging Face token", "hf_", "hf_[A-Za-z0-9]{34,40}"),
    *(
        Rule(name, b"sk-", re.compile(rb"(?<![A-Za-z0-9_-])" + pattern), _is_varied)
        for name, pattern in (
            ("Anthropic API key", rb"sk-ant-[a-z0-9]{3,16}-[A-Za-z0-9_-]{80,200}"),
            ("OpenAI API key", rb"sk-[A-Za-z0-9_-]{20,200}?T3BlbkFJ[A-Za-z0-9_-]{20,200}"),
            ("OpenAI API key", rb"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,250}"),
            ("OpenAI API key", rb"sk-[A-Za-z0-9]{48}(?![A-Za-z0-9])"),
        )
    ),
    _token("npm token", "npm_", "npm_[A-Za-z0-9]{36}"),
    _token(
        "PyPI token", "pypi-", "pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,1000}"
    ),
    _token("SendGrid API key", "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _token("Twilio API key", "SK", "SK[0-9a-f]{32}"),
    _near(
        "Twilio auth token",
        "twilio",
        rb"(?i:twilio[\w.-]{0,24}token)"
        + _SEPARATOR
        + rb"\\?[\"']?(?P<secret>[0-9a-f]{32})"
        + _END,
    ),
    _token("DigitalOcean token", "_v1_", "do[opr]_v1_[a-f0-9]{64}", before=3),
    _token("Databricks token", "dapi", "dapi[a-f0-9]{32}(?:-[0-9])?"),
    _token("W&B API key", "_v1_", "wandb_v1_[A-Za-z0-9_]{60,120}", before=5),
    _near(
        "W&B API key",
        "wandb",
        # Not across a @, which pins a package to a commit.
        rb"(?i:wandb)[^@\0]{0,60}?(?i:key|login|password|token)"
        rb"[\\\"'`\]() \t\r\n:=,;]{1,12}(?i:key=|--relogin )?[\"']?"
        rb"(?P<secret>[0-9a-f]{40})" + _END,
    ),
    _token("Neptune API token", "eyJ", "eyJhcGlfYWRkcmVzcyI6[A-Za-z0-9+/]{60,1000}={0,2}"),
    Rule(
        "JSON web token",
        b"eyJ",
        re.compile(
            rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,2048}+\.eyJ[A-Za-z0-9_-]{10,8192}+"
            rb"\.[A-Za-z0-9_-]{20,2048}"
        ),
        _is_varied,
    ),
    Rule(
        "password in a URL",
        b"://",
        re.compile(
            rb"://(?P<user>[\w.~%!&*+,;=-]{0,100}+):(?P<secret>[\w.~%!$&()*+,;=^#?-]{6,256}+)"
            rb"@[A-Za-z0-9\[]"
        ),
        _is_url_password,
    ),
    _word("password", "passw", rb"(?:or)?d[0-9]{0,2}", _is_password),
    _word("password", "pwd", rb"", _is_password),
    _word("password", "passphrase", rb"", _is_password),
    _word("secret", "secret", rb"(?:[_.-]?(?:access[_.-]?)?(?:key|token|value))?", _is_random),
    _word("access token", "token", rb"(?:[_.-]?(?:key|secret|value))?", _is_random_token),
    _word("access key", "key", rb"", _is_random_key),
    Rule(
        "authorization header",
        b"authorization",
        re.compile(
            rb"(?i:authorization\\?[\"']?[ \t]{0,4}[:=,][ \t]{0,4}\\?[\"']?(?:basic|bearer|token) )"
            rb"[ \t]{0,4}(?P<secret>[A-Za-z0-9._~+/-]{16,2048}+={0,2})(?P<quote>)(?P<blank>(?!))?"
        ),
        _is_random,
        folded=True,
        precise=False,
    ),
)


def _by_part() -> dict[tuple[bytes, bool], list[Rule]]:
    found: dict[tuple[bytes, bool], list[Rule]] = {}
    for rule in RULES:
        found.setdefault((rule.part, rule.folded), []).append(rule)
    return found


_BY_PART = _by_part()
