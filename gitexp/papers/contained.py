"""Read PDF and HTML in a child process that may take so much memory and time, and no more.

Both formats are read by libraries, for which a small hostile file can be hours of work or
gigabytes of memory. The child gets the file on standard input and answers with a `Reading`, or
with the sentence of an error, on standard output.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec

from gitexp.papers.document import PaperError, Reading

TIME_S = 90
MEMORY_BYTES = 3 << 30
MAX_ANSWER_BYTES = 64 << 20


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Why a file could not be read."""

    message: str
    hint: str | None = None


class Done(msgspec.Struct, frozen=True, tag=True):
    """What was read."""

    reading: Reading


def read_contained(kind: str, content: bytes, time_s: float = TIME_S) -> Reading:
    """Return what a PDF or an HTML page says.

    Args:
        kind: ``pdf`` or ``html``.
        content: The whole file.
        time_s: After so many seconds it is given up.

    Raises:
        PaperError: It is damaged or locked, or would take too much memory or time.
    """
    # -P: no module is taken from the current folder, which may be anybody's.
    command = [sys.executable, "-P", "-m", "gitexp.papers.worker", kind]
    try:
        done = subprocess.run(
            command,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=time_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PaperError(f"Reading it took more than {time_s:.0f} s.") from error
    try:
        answer = msgspec.json.decode(done.stdout, type=Done | Failed)
    except msgspec.DecodeError as error:
        raise PaperError(
            f"Reading it needs more than the {MEMORY_BYTES >> 30} GiB of memory or "
            f"{TIME_S} s that a paper may take, or it is damaged."
        ) from error
    if isinstance(answer, Failed):
        raise PaperError(answer.message, answer.hint)
    return answer.reading
