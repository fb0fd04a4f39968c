"""Write a file as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gitexp.errors import GitexpError
from gitexp.git.write import write_error


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """Yield a stream whose content becomes the file at ``path`` when all of it is written.

    It is written beside it and takes its name at the end: whatever goes wrong before, what stood
    there stands there still, and nothing else is left behind. An existing file keeps its mode, a
    symbolic link goes on leading to the file. What is no regular file (a pipe, a device) is
    written to directly.

    Raises:
        GitexpError: It is a folder, its folder is missing, or the system refuses to write.
    """
    target = path.resolve()
    if target.is_dir():
        raise GitexpError(f"{path} is a folder.", "Name a file in it.")
    if not target.parent.is_dir():
        raise GitexpError(f"The folder {target.parent} does not exist.", "Make it first.")
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as stream:
                yield stream
        else:
            with _draft(target) as stream:
                yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise write_error(error, f"write {path}") from error


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[IO[bytes]]:
    """Yield a new file that takes a name once it is whole and on the disk."""
    draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(draft, flags, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            draft.chmod(stat.S_IMODE(target.stat().st_mode))
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
