"""Clone a repository to read it: shallow, bare, into a folder that goes again.

Nothing of what it holds can act: there is no checkout, so no hook, filter or LFS download runs,
and no submodule is looked at. git may talk by https or ssh to the one host that was checked
(`Fetcher.require_allowed`), by http only where that is configured; it follows no redirect, asks
for no password, and is ended where it takes too long or too much room.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gitexp.git.process import git_environment, last_line
from gitexp.git.transfer import without_credentials
from gitexp.papers.document import PaperError
from gitexp.papers.fetch import Fetcher

TIME_S = 300
MAX_BYTES = 512 << 20

_SCP_LIKE = re.compile(
    r"(?P<user>[A-Za-z0-9][\w.-]*)@(?P<host>[A-Za-z0-9][\w.-]*):(?P<path>[^:/].*)"
)
_OPTIONS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "http.followRedirects=false",
    "transfer.bundleURI=false",
    "submodule.recurse=false",
)
_PAUSE_S = 0.05


def ssh_address(spec: str) -> str | None:
    """Return ``user@host:path`` as a URL; None where a spec is none."""
    match = _SCP_LIKE.fullmatch(spec)
    return f"ssh://{match['user']}@{match['host']}/{match['path']}" if match else None


@contextlib.contextmanager
def cloned(url: str, fetch: Fetcher, time_s: float = TIME_S) -> Iterator[Path]:
    """Clone a repository for as long as the context lasts.

    Args:
        url: By https, http or ssh.
        fetch: Says which hosts may be asked.
        time_s: After so many seconds git is ended.

    Raises:
        PaperError: The host is not configured, or git could not clone.
    """
    fetch.require_allowed(url)
    with tempfile.TemporaryDirectory(prefix="gitexp-paper-") as folder:
        target = Path(folder, "repository.git")
        _clone(url, target, time_s)
        yield target


def _clone(url: str, target: Path, time_s: float) -> None:
    scheme = url.partition(":")[0]
    protocols = "https:ssh:http" if scheme == "http" else "https:ssh"
    settings = [word for option in _OPTIONS for word in ("-c", option)]
    options = ["--quiet", "--bare", "--depth=1", "--single-branch", "--no-tags", "--template="]
    log = target.with_name("log")
    with log.open("wb") as errors:
        process = subprocess.Popen(
            ["git", *settings, "clone", *options, "--", url, str(target)],
            cwd=target.parent,
            env=git_environment(
                {
                    "GIT_ALLOW_PROTOCOL": protocols,
                    "GIT_TERMINAL_PROMPT": "0",
                    "GIT_DIR": None,
                    "GIT_WORK_TREE": None,
                }
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # no terminal to ask at, and one group to end
        )
        try:
            problem = _watch(process, target, time_s)
        finally:
            _end(process)
    if problem or process.returncode:
        said = last_line(log.read_bytes()[-10_000:].decode("utf-8", "replace"))
        reason = problem or without_credentials(said.removeprefix("fatal: ")) or "git failed"
        raise PaperError(
            f"{without_credentials(url)} could not be cloned: {reason.rstrip('.')}.",
            "Redirects are not followed; name the address where it is.",
        )


def _watch(process: subprocess.Popen[bytes], target: Path, time_s: float) -> str:
    """Wait for git; return why it was not waited for any longer, or nothing."""
    end = time.monotonic() + time_s
    pause = _PAUSE_S
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(pause)
            return ""
        pause = min(2 * pause, 1.0)
        if time.monotonic() > end:
            return f"it took more than {time_s:.0f} s"
        if _size(target) > MAX_BYTES:
            return f"it has more than {MAX_BYTES >> 20} MiB"


def _size(folder: Path) -> int:
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # git moves its files meanwhile
                size += Path(root, name).stat().st_size
    return size


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started, where that has not ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
