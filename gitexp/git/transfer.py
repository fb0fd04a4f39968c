"""Fetch and push refs by the git program, with everything a user has configured for it.

Credentials, ssh, proxies, ``insteadOf``, protocol versions: git's own affair. What is switched
off are the side effects of a user's fetch: no tags, no pruning, no FETCH_HEAD, no other refspecs
of the remote's configuration. Refs on the remote move by compare-and-swap only
(``--force-with-lease`` with the state that each is expected to have), all of them or none.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gitexp.errors import GitCommandError, GitexpError, RemoteMovedError, TransferError
from gitexp.git.process import last_line, start_git
from gitexp.git.repository import Repository

Progress = Callable[[bytes], None]
"""Takes what git says meanwhile, for a terminal: lines, and counts that rewrite a line."""

PUSHING = "GITEXP_PUSHING"
"""Set for our own ``git push``: a hook of ours that it calls has nothing to share."""

_REJECTED_FETCH = re.compile(r"! \[rejected\]\s+\S+\s+-> (\S+)")
_BLOCKED_FETCH = re.compile(r"'(\S+)' exists; cannot create")
_MOVED = (
    "stale info",
    "fetch first",
    "non-fast-forward",
    "needs force",
    "failed to update ref",
    "cannot lock ref",
    "failed to lock",
    "unable to lock",
    "incorrect old value",
    "reference already exists",
    "already exists",
)
"""Reasons by which git and its servers refuse a push because somebody else was faster."""

_WITH_ANOTHER = ("atomic push fail", "atomic transaction failed", "transaction failed")
"""Reasons of a ref that was refused because another was."""

_BUSY = ("cannot lock ref", "Unable to create", "unable to update local ref")
_SYSTEM = re.compile(
    r"(?i)permission denied|insufficient permission|read-only file system"
    r"|no space left on device|disk quota exceeded"
)
_NO_HELPER = re.compile(r"git: 'remote-\S+' is not a git command")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_STALL_SECONDS = 60
_LAST_WORDS_SECONDS = 0.5


def without_credentials(text: str) -> str:
    """Return a text without the user and the password of the URLs in it."""
    return _CREDENTIALS.sub("", text)


class Update(NamedTuple):
    """A ref of the remote that is to move.

    Attributes:
        ref: Its full name there.
        expected: What it is expected to name now; None where it is not to exist.
        new: What it is to name.
    """

    ref: str
    expected: str | None
    new: str


def fetch(
    repository: Repository,
    remote: str,
    refspecs: Sequence[str],
    *,
    tips: Sequence[str] = (),
    prune: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Fetch refs; return the local ones that stand in the way, as the remote rewrote its history.

    Args:
        repository: Where to.
        remote: Name or URL of the remote.
        refspecs: What to fetch, and to where; none is forced.
        tips: Refs or patterns of refs that say to the remote what is here; all by default.
        prune: Delete the local refs of the refspecs that the remote has no more.
        progress: Shown what git says meanwhile.

    Raises:
        RemoteMovedError: Another fetch of this clone is at work.
        TransferError: The remote cannot be reached, or it refused.
    """
    options = ["--no-tags", "--no-write-fetch-head", "--refmap=", "--no-filter"]
    options += ["--prune" if prune else "--no-prune"]
    options += ["--no-recurse-submodules", *(f"--negotiation-tip={tip}" for tip in tips)]
    words = ["fetch", "--progress" if progress else "--no-progress", *options]
    code, _, said = _run(repository, remote, [*words, "--", remote, *refspecs], progress)
    rejected = _REJECTED_FETCH.findall(said) + _BLOCKED_FETCH.findall(said)
    if code and not rejected:
        if any(reason in said for reason in _BUSY) and not _SYSTEM.search(said):
            raise RemoteMovedError(f"A ref is locked: {last_line(said)}.")
        raise _failure("fetch from", remote, said)
    return rejected


def remote_branches(repository: Repository, remote: str) -> list[str]:
    """Return what the branches of a remote name now, as it says itself.

    Raises:
        TransferError: The remote cannot be reached, or it refused.
    """
    words = ["ls-remote", "--heads", "--quiet", "--", remote]
    code, output, said = _run(repository, remote, words, None)
    if code:
        raise _failure("ask", remote, said)
    return sorted({line.partition("\t")[0] for line in output.splitlines()})


def push_url(repository: Repository, remote: str) -> str:
    """Return the URL that a push to a remote goes to; a URL is its own."""
    try:
        output = repository.git(["remote", "get-url", "--push", "--", remote])
    except GitCommandError:  # it is no name of a remote
        return remote
    return output.decode("utf-8", "surrogateescape").split("\n")[0]


def push(
    repository: Repository,
    remote: str,
    updates: Sequence[Update],
    *,
    small: bool = False,
    progress: Progress | None = None,
) -> None:
    """Move refs of a remote, all of them or none.

    Args:
        repository: Where from.
        remote: Name or URL of the remote.
        updates: The refs.
        small: Little is to be sent. git then packs with one thread, which halves the bytes of ten
            runs (22.5 kB to 11.3 kB): threads share out the trees, and do not find their bases.
        progress: Shown what git says meanwhile.

    Raises:
        RemoteMovedError: A ref there is not as expected, or others are pushing.
        TransferError: The remote cannot be reached, or it refused.
    """
    leases = [f"--force-with-lease={u.ref}:{u.expected or ''}" for u in updates]
    refspecs = [f"{u.new}:{u.ref}" for u in updates]
    threads = ["-c", "pack.threads=1"] if small else []
    words = [*threads, "push", "--porcelain", "--progress" if progress else "--no-progress"]
    words += ["--no-follow-tags", "--recurse-submodules=no", "--no-signed", *leases]
    for atomic in (["--atomic"], []):
        command = [*words, *atomic, "--", remote, *refspecs]
        code, output, said = _run(repository, remote, command, progress, {PUSHING: "1"})
        if "does not support --atomic" not in said:
            break
    if code:
        raise _push_failure(remote, output, said)


def _push_failure(remote: str, output: str, said: str) -> GitexpError:
    refused = [line.split("\t")[-1] for line in output.splitlines() if line.startswith("!")]
    own = [line for line in refused if not any(reason in line for reason in _WITH_ANOTHER)]
    final = [line for line in own if not any(reason in line for reason in _MOVED)]
    if refused and not final and not _SYSTEM.search(said):
        why = without_credentials((own or refused)[0])
        return RemoteMovedError(f"The remote {without_credentials(remote)} has moved: {why}.")
    return _failure("push to", remote, said, final[0] if final else "")


def _failure(doing: str, remote: str, said: str, reason: str = "") -> TransferError:
    """Return the error of a transfer: what the system refused, or else git's last word; and what
    the remote itself said.
    """  # noqa: D205
    lines = [line.strip() for line in without_credentials(said).splitlines()]
    theirs = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    system = [line for line in lines if _SYSTEM.search(line)]
    helper = [line for line in lines if _NO_HELPER.match(line)]  # then pipes break, or not
    causes = [*system, *helper, reason, last_line("\n".join(lines)), "git failed without a word"]
    why = next(cause for cause in causes if cause)
    said_there = " ".join(line for line in theirs[:_SHOWN] if line and line not in why)
    more = f" The remote says: {said_there}" if said_there else ""
    shown = without_credentials(remote)
    hint = f"Nothing is lost; see whether 'git ls-remote {shown}' works, then try again."
    if system:
        hint = "Nothing is lost. Make room or give permission, then try again."
    return TransferError(f"Could not {doing} {shown}: {why.rstrip('.')}.{more}", hint)


_SHOWN = 10
"""Lines of what a remote said that an error repeats."""


def _run(
    repository: Repository,
    remote: str,
    arguments: Sequence[str],
    progress: Progress | None,
    environment: dict[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run git; return its exit code, its output, and what it wrote to stderr."""
    tied = {**repository.environment, **(environment or {})}
    options = _give_up_when_stalled(repository) + _no_mirror(remote)
    process = start_git([*options, *arguments], cwd=repository.top, environment=tied)
    said: list[bytes] = []
    listener = threading.Thread(target=_listen, args=(process, said, progress), daemon=True)
    listener.start()
    try:
        output = process.stdout.read() if process.stdout is not None else b""
        listener.join()
        code = process.wait()
    except BaseException:
        process.terminate()  # git removes its lock files
        process.wait()
        listener.join(_LAST_WORDS_SECONDS)  # children of git may hold the pipe for longer
        raise
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    text = b"".join(said).decode("utf-8", "replace").replace("\r", "\n")
    return code, output.decode("utf-8", "replace"), text


def _give_up_when_stalled(repository: Repository) -> list[str]:
    """Return options by which HTTP that stands still is given up, unless the user has chosen."""
    if repository.configured(r"^http\.(.*\.)?lowspeed"):
        return []
    return ["-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={_STALL_SECONDS}"]


def _no_mirror(remote: str) -> list[str]:
    """Return options by which a remote that mirrors takes single refs too."""
    is_name = not any(mark in remote for mark in (":", "=", "\n")) and not remote.startswith("/")
    return ["-c", f"remote.{remote}.mirror=false"] if is_name else []


def _listen(process: subprocess.Popen[bytes], said: list[bytes], progress: Progress | None) -> None:
    stderr = process.stderr
    if stderr is None:
        return
    while chunk := stderr.read1(1 << 16):  # type: ignore[attr-defined]
        said.append(chunk)
        if progress is not None:
            progress(chunk)
