"""Find the repository and what identifies it: its folders and its gitexp settings.

Discovery is git's own (``git rev-parse``), so ``GIT_DIR``, linked worktrees, submodules and
``safe.directory`` mean what they mean to git. It costs one process; a training script that
starts many runs pays it once per folder, because `Repository.discover` remembers.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gitexp.errors import GitCommandError, NoRepositoryError
from gitexp.git.process import finish_git, run_git, start_git

if TYPE_CHECKING:
    import pygit2

_DISCOVERY_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_CEILING_DIRECTORIES")


@dataclass(frozen=True)
class Repository:
    """Where a git repository keeps its things. All paths are absolute.

    Attributes:
        git_dir: The git directory of this work tree (``.git/worktrees/x`` for a linked one).
        common_dir: The git directory that all linked worktrees share.
        work_tree: The top of the work tree; None in a bare repository.
        prefix: The folder the caller stood in, relative to `work_tree`, with a final slash;
            empty at the top.
    """

    git_dir: Path
    common_dir: Path
    work_tree: Path | None
    prefix: str

    @classmethod
    def discover(cls, start: Path | None = None) -> Repository:
        """Return the repository that holds ``start`` (the current folder by default).

        Raises:
            NoRepositoryError: There is none, or it is of a kind that gitexp cannot open.
        """
        folder = Path.cwd() if start is None else start.absolute()
        context = tuple(os.environ.get(name) for name in _DISCOVERY_VARIABLES)
        found = _discover(folder, context)
        if not found.common_dir.is_dir():
            _discover.cache_clear()
            found = _discover(folder, context)
        return found

    @property
    def home(self) -> Path:
        """The folder of gitexp's own files: journals, shard name (``<common dir>/exprag``)."""
        return self.common_dir / "exprag"

    @property
    def top(self) -> Path:
        """Where to run git: the top of the work tree, or the git directory of a bare one."""
        return self.work_tree or self.git_dir

    def require_work_tree(self) -> Path:
        """Return the top of the work tree.

        Raises:
            NoRepositoryError: The repository is bare.
        """
        if self.work_tree is None:
            raise NoRepositoryError(
                "This is a bare repository: it has no work tree whose state could be recorded.",
                "Add one with 'git worktree add DIR' and work there.",
            )
        return self.work_tree

    @functools.cached_property
    def settings(self) -> dict[str, str]:
        """The ``exprag.*`` settings of git's configuration, names in lower case.

        The last value wins where a name is set more than once, as in git.
        """
        try:
            output = run_git(["config", "-z", "--get-regexp", r"^exprag\."], cwd=self.top)
        except GitCommandError:
            return {}  # git config exits with 1 when nothing matches
        pairs = (entry.partition("\n") for entry in output.decode("utf-8", "replace").split("\0"))
        return {name: value for name, _, value in pairs if name}

    def objects(self) -> pygit2.Repository:
        """Open the repository with libgit2. Opening costs 22 µs, so nobody keeps one.

        Raises:
            NoRepositoryError: libgit2 cannot open this kind of repository.
        """
        import pygit2

        try:
            return pygit2.Repository(str(self.git_dir))
        except (pygit2.GitError, KeyError) as error:
            raise NoRepositoryError(
                f"libgit2 cannot open the repository {self.git_dir}: {error}",
                "gitexp writes to repositories with SHA-1 objects and the files ref backend.",
            ) from error


@functools.lru_cache(maxsize=32)
def _discover(folder: Path, _context: tuple[str | None, ...]) -> Repository:
    process = start_git(
        [
            "rev-parse",
            "--path-format=absolute",
            "--git-dir",
            "--git-common-dir",
            "--show-object-format",
            "--is-inside-work-tree",
        ],
        cwd=folder,
    )
    lines = finish_git(process).decode("utf-8", "surrogateescape").splitlines()
    git_dir, common_dir, object_format, inside = lines
    if object_format != "sha1":
        raise NoRepositoryError(
            f"This repository names its objects by {object_format}; gitexp needs SHA-1.",
            "libgit2, which gitexp writes objects with, cannot open such repositories yet.",
        )
    work_tree: Path | None = None
    prefix = ""
    if inside == "true":
        # A second process, because --show-toplevel fails where there is no work tree.
        output = run_git(["rev-parse", "--show-toplevel", "--show-prefix"], cwd=folder)
        top, prefix = output.decode("utf-8", "surrogateescape").split("\n")[:2]
        work_tree = Path(top)
    return Repository(Path(git_dir), Path(common_dir), work_tree, prefix)
