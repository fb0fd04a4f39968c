"""Compare code by git's own diff, with the user's configuration of it.

A run holds files that git does not track. Against the work tree, plain ``git diff RUN`` calls
each of them deleted, because it looks only at what the index names. So those of them that are
there are entered in a copy of the index, and the diff looks at that.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gitexp.git.numstat import ChangedFile, parse_numstat
from gitexp.git.process import run_git
from gitexp.git.repository import Repository

_REPOSITORY = b"160000"


@dataclass(frozen=True)
class Sides:
    """What is compared.

    Attributes:
        old: A commit's full id.
        new: Another, or None for the work tree.
        paths: Pathspecs relative to the folder that the caller stands in; all files if empty.
    """

    repository: Repository
    old: str
    new: str | None
    paths: Sequence[str] = ()

    def text(self, *options: str) -> bytes:
        """Return what ``git diff`` prints with these options.

        Raises:
            NoRepositoryError: The repository is bare and the work tree was asked for.
            GitCommandError: git failed, because an object is missing, say.
        """
        revisions = [self.old] if self.new is None else [self.old, self.new]
        command = ["diff", *options, *revisions, "--", *self.paths]
        if self.new is not None:
            return run_git(command, cwd=self._folder())
        self.repository.require_work_tree()
        with self._index() as environment:
            return run_git(command, cwd=self._folder(), environment=environment)

    def changed_files(self) -> list[ChangedFile]:
        """Return the files that differ, with their added and deleted lines.

        Raises:
            GitCommandError: As for `text`.
        """
        return parse_numstat(self.text("--no-ext-diff", "--numstat", "-z"))

    def _folder(self) -> Path:
        return self.repository.top / self.repository.prefix

    @contextmanager
    def _index(self) -> Iterator[dict[str, str]]:
        """Yield the variables that make git look at all files of the old side that are here."""
        found = self._untracked()
        if not found:
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
            copy = Path(folder, "index")
            index = self.repository.git_dir / "index"
            if index.exists():
                shutil.copy2(index, copy)  # with its mtime: git tells racy entries by it
            environment = {"GIT_INDEX_FILE": str(copy)}
            private = ("-c", "core.splitIndex=false", "-c", f"core.hooksPath={os.devnull}")
            run_git(
                [*private, "update-index", "--replace", "-z", "--index-info"],
                cwd=self.repository.top,
                stdin=b"".join(found),
                environment=environment,
            )
            yield environment

    def _untracked(self) -> list[bytes]:
        """Return the old side's files that are here but not in the index, as index entries."""
        output = run_git(
            ["diff-index", "--cached", "--diff-filter=D", "--no-renames", "-z", self.old, "--"],
            cwd=self.repository.top,
        )
        top = os.fsencode(self.repository.top)
        fields = output.split(b"\0")
        entries = []
        for head, path in zip(fields[0::2], fields[1::2], strict=False):
            mode, _, oid, _, _ = head.removeprefix(b":").split(b" ")
            if _is_there(os.path.join(top, path), mode):  # noqa: PTH118 - paths are bytes
                entries.append(b"%s %s\t%s\0" % (mode, oid, path))
        return entries


def _is_there(path: bytes, mode: bytes) -> bool:
    """Say whether there is a folder for a nested repository, or a file or link for others."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) == (mode == _REPOSITORY)
