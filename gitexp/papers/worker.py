"""The child process of `gitexp.papers.contained`: limit itself, read one file, answer."""

from __future__ import annotations

import contextlib
import resource
import sys

import msgspec

from gitexp.papers.contained import MEMORY_BYTES, TIME_S, Done, Failed
from gitexp.papers.document import PaperError, Reading, tidy


def main() -> None:
    """Read the file on standard input; its kind is the only argument."""
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, TIME_S)
    try:
        answer: Done | Failed = Done(_read(sys.argv[1], sys.stdin.buffer.read()))
    except PaperError as error:
        answer = Failed(error.message, error.hint)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _limit(resource_kind: int, most: int) -> None:
    _, hard = resource.getrlimit(resource_kind)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of memory
        resource.setrlimit(resource_kind, (soft, hard))


def _read(kind: str, content: bytes) -> Reading:
    if kind == "pdf":
        from gitexp.papers.pdf import read_pdf

        return tidy(read_pdf(content))
    from gitexp.papers.html import read_html

    return tidy(read_html(content))


if __name__ == "__main__":
    main()
