r"""Search what a push would send for the first time for secrets; remember what is none.

Every commit message and every blob that the remote is not known to have is searched once, in all
versions: what was removed from a file again is sent with its history. Facts, metric logs and the
library are JSON lines. They are searched as they are, and where that hides something also as they
would be read: escapes undone (a private key with ``\n`` in it), and arrays as the command lines
that they mostly are (``"--token","…"``).

A finding is known by its fingerprint, made of the secret itself: what was allowed once is allowed
in later versions and at other places too. What is allowed is kept in
``<common dir>/exprag/allowed.jsonl``, one JSON object a line, only ever appended to.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from gitexp.credentials import Credential, find_credentials
from gitexp.errors import GitCommandError, GitexpError
from gitexp.git import refs
from gitexp.git.commit import identity
from gitexp.git.objects import Object, parse_commit, read_objects
from gitexp.git.outgoing import NewObject, new_objects
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple
from gitexp.records.times import format_time
from gitexp.store.read import noted_run

CODE, FACTS, METRICS, FILES, LIBRARY = "code", "facts", "metrics", "files", "library"
_PREFIXES = {
    refs.FACTS: FACTS,
    refs.METRICS: METRICS,
    refs.FILES: FILES,
    refs.LIBRARY: LIBRARY,
}
_FINGERPRINT_DIGITS = 12
_HINT_BYTES = 4
_SNAPSHOT = b"exprag: "


class Finding(NamedTuple):
    r"""Something that looks like a secret and would leave.

    Attributes:
        fingerprint: 12 hexadecimal digits of the SHA-256 of rule and secret.
        rule: What it is, in words: ``GitHub token``.
        part: What it is part of: ``code``, ``facts``, ``metrics``, ``files`` or ``library``.
        run: The run that it belongs to; None if a commit of the user brought it, a file of no
            run, or the library.
        commit: The first new commit that holds it: of code a snapshot or a commit of the user,
            else one of the shard.
        path: The file, in the commit's tree or among the run's files, bytes that are not UTF-8
            as ``\xNN``; empty for notes and commit messages.
        line: Counted from 1.
        hint: The beginning of the secret, at most 4 characters, and ``…``.
    """

    fingerprint: str
    rule: str
    part: str
    run: str | None
    commit: str
    path: str
    line: int
    hint: str

    @property
    def place(self) -> str:
        """Where it is, in words: ``run 3f2a91c04d7e, train.py:12``."""
        owner = f"run {self.run[:12]}" if self.run else f"commit {self.commit[:12]}"
        if self.part in {CODE, FILES, LIBRARY}:
            within = f"{self.path}:{self.line}" if self.path else f"message, line {self.line}"
        else:
            within = f"{self.part}, line {self.line}"
        return f"{owner}, {within}"

    def __str__(self) -> str:
        return f"{self.place}: {self.rule} ({self.hint}), fingerprint {self.fingerprint}"


class Allowed(msgspec.Struct, frozen=True):
    """That somebody said that a finding is no secret, or may leave.

    Attributes:
        time: When, as RFC 3339 in UTC.
        by: Who, as ``Name <email>``.
        fingerprint: Of the finding; likewise `rule`.
        place: Where it had been found.
    """

    time: str
    by: str
    fingerprint: str
    rule: str
    place: str


class SecretsFoundError(GitexpError):
    """What would leave holds what looks like secrets; nothing was sent.

    Attributes:
        findings: What was found where.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        """Say how many secrets, and what to do about them."""
        distinct = list(dict.fromkeys(finding.fingerprint for finding in findings))
        count = "1 secret" if len(distinct) == 1 else f"{len(distinct)} secrets"
        super().__init__(
            f"{count} would leave with this push; nothing was sent.",
            "Take it out (a run with it: 'git exp rm RUN', then 'git exp gc --older-than 0d'), or"
            f" say that it is none: 'git exp push --allow {distinct[0]}'.",
        )
        self.findings = list(findings)
        self.details = tuple(map(str, findings))


Progress = Callable[[int, int], None]


def search(
    repository: Repository,
    tips: Mapping[str, str],
    known: Sequence[str],
    progress: Progress | None = None,
) -> list[Finding]:
    """Return what looks like a secret in what a push would send for the first time.

    Args:
        repository: Where.
        tips: Ref name -> commit that it would be pushed at.
        known: What the remote has: ids of commits, and options of ``git rev-list`` that stand
            for some, such as ``--glob=refs/remotes/origin``.
        progress: Told how many objects have been searched, and of how many.

    Returns:
        The first place of each secret in each file or note of each run, code first.

    Raises:
        GitCommandError: An object cannot be read, so that nothing can be said of it.
    """
    parts: dict[str, list[str]] = {CODE: [], **{part: [] for part in _PREFIXES.values()}}
    for ref, tip in tips.items():
        parts[_part_of(ref)].append(tip)
    listed = [
        (part, item)
        for part, ids in parts.items()
        if ids
        for item in new_objects(repository, ids, known)
    ]
    contents = read_objects(repository, [item.oid for _, item in listed])
    found: dict[tuple[str, ...], Finding] = {}
    snapshot = None
    for number, ((part, item), read) in enumerate(zip(listed, contents, strict=True), 1):
        if item.path is None:
            snapshot = item.oid if _is_snapshot(part, _content(read)) else None
        for finding in _search_object(part, item, _content(read), snapshot):
            key = (finding.fingerprint, part, finding.run or "", finding.path)
            found.setdefault(key, finding)
        if progress is not None:
            progress(number, len(listed))
    return list(found.values())


def _part_of(ref: str) -> str:
    return next((part for prefix, part in _PREFIXES.items() if ref.startswith(prefix)), CODE)


def _content(read: Object) -> bytes:
    """Return a blob's content or a commit's message.

    Raises:
        GitCommandError: It could not be read.
    """
    if read.problem:
        raise GitCommandError(
            f"The object {read.oid} {read.problem}, so it cannot be searched for secrets.",
            "'git exp verify' says what else is damaged.",
        )
    return parse_commit(read.content).message if read.kind == "commit" else read.content


def _is_snapshot(part: str, message: bytes) -> bool:
    return part == CODE and message.startswith(_SNAPSHOT)


def _search_object(
    part: str, item: NewObject, content: bytes, snapshot: str | None
) -> Iterator[Finding]:
    """Yield what is found in one blob or commit message.

    Args:
        part: What it is part of.
        item: Where it stands.
        content: Its text.
        snapshot: The commit that it stands in, if that is a snapshot.
    """
    run, path = snapshot, item.path or b""
    if item.path is not None and part == FILES:
        run, path = _run_and_path(item.path)
    elif item.path is not None and part in {FACTS, METRICS}:
        run, path = noted_run(item.path), b""
    noted = part in {FACTS, METRICS, LIBRARY} and item.path is not None
    for credential in _search_lines(content) if noted else find_credentials(content):
        yield Finding(
            fingerprint(credential),
            credential.rule,
            part,
            run,
            item.commit,
            path.decode("utf-8", "backslashreplace"),
            credential.line,
            _hint(credential.secret),
        )


def _run_and_path(path: bytes) -> tuple[str | None, bytes]:
    """Return the run that a file of a files shard belongs to, and its path among the run's."""
    found = _RUN_FILE.match(path)
    if found is None:
        return None, path
    return (found[1] + found[2]).decode("ascii"), path[found.end() :] or path


_RUN_FILE = re.compile(rb"(?:removed/)?([0-9a-f]{2})/([0-9a-f]{38})(?:/|$)")


def fingerprint(credential: Credential) -> str:
    """Return what a secret is known by: 12 hexadecimal digits, which do not give it away."""
    digest = hashlib.sha256(credential.rule.encode() + b"\0" + credential.secret)
    return digest.hexdigest()[:_FINGERPRINT_DIGITS]


def _hint(secret: bytes) -> str:
    """Return the beginning of a secret: a quarter of it, and at most 4 characters."""
    shown = secret[: min(_HINT_BYTES, len(secret) // 4)]
    return shown.decode("ascii", "replace") + "…"


# Lines of JSON


def _search_lines(content: bytes) -> Iterator[Credential]:
    """Yield what is found in a note: in its lines as they are, and as they would be read."""
    yield from find_credentials(content)
    texts: list[bytes] = []
    lines: list[int] = []  # of the note, for each text
    begins: list[int] = []  # line at which each text begins, when they are put together
    below = 1
    for number, line in enumerate(content.split(b"\n"), 1):
        if b"\\" in line or b'"-' in line:
            text = _as_read(line)
            texts.append(text)
            lines.append(number)
            begins.append(below)
            below += text.count(b"\n") + 1
    for credential in find_credentials(b"\n".join(texts)):
        yield credential._replace(line=lines[bisect(begins, credential.line) - 1])


def _as_read(line: bytes) -> bytes:
    """Return a line of JSON with blanks between the texts of an array, and its escapes undone."""
    joined = _BETWEEN_TEXTS.sub(b" ", line) if b'"-' in line else line
    return _ESCAPE.sub(_unescape, joined)


_BETWEEN_TEXTS = re.compile(rb'(?<!\\)"[ \t]{0,8},[ \t]{0,8}"')
_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_SHORT_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def _unescape(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return chr(int(match[1], 16)).encode("utf-8", "replace")
    return _SHORT_ESCAPES.get(match[2], match[2])


# What is allowed


def require_allowed(repository: Repository, findings: Iterable[Finding]) -> None:
    """Check that all that was found is allowed.

    Raises:
        SecretsFoundError: Something is not; it carries just that.
    """
    known = allowed(repository)
    refused = [finding for finding in findings if finding.fingerprint not in known]
    if refused:
        raise SecretsFoundError(refused)


def allowed(repository: Repository) -> dict[str, Allowed]:
    """Return fingerprint -> what was said first of it. Damaged lines count for nothing.

    Raises:
        GitexpError: The file cannot be read.
    """
    path = _allowed_path(repository)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise GitexpError(f"What is allowed cannot be read from {path}: {error}.") from error
    found: dict[str, Allowed] = {}
    for line in content.splitlines():
        try:
            entry = msgspec.json.decode(line, type=Allowed)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # torn by a crash, or a newer version's; what it allowed is asked for again
        found.setdefault(entry.fingerprint, entry)
    return found


def allow(repository: Repository, findings: Iterable[Finding]) -> list[Allowed]:
    """Record that findings may leave; what is allowed already is not recorded again.

    Returns:
        What was recorded.

    Raises:
        GitexpError: The file cannot be written.
    """
    known = allowed(repository)
    name, email = identity(repository)
    now = format_time(time.time_ns())
    distinct = {finding.fingerprint: finding for finding in findings}
    added = [
        Allowed(now, f"{name} <{email}>", finding.fingerprint, finding.rule, finding.place)
        for finding in distinct.values()
        if finding.fingerprint not in known
    ]
    if added:
        _append(_allowed_path(repository), b"".join(_line(entry) for entry in added))
    return added


def _line(entry: Allowed) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _allowed_path(repository: Repository) -> Path:
    return repository.home / "allowed.jsonl"


def _append(path: Path, lines: bytes) -> None:
    """Add lines in one write, so that those of two processes do not mix; end a torn one first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                lines = lines if file.read(1) == b"\n" else b"\n" + lines
            file.write(lines)
            os.fsync(file.fileno())
    except OSError as error:
        raise GitexpError(f"What is allowed could not be recorded in {path}: {error}.") from error
