"""Find the repository and what identifies it: its folders and its gitexp settings.

Discovery is git's own (``git rev-parse``), so ``GIT_DIR``, linked worktrees, submodules and
``safe.directory`` mean what they mean to git. It costs one process; a training script that
starts many runs pays it once per folder, because `Repository.discover` remembers.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitexp.errors import GitCommandError, NoRepositoryError
from gitexp.git.process import run_git

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pygit2

_DISCOVERY_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_CEILING_DIRECTORIES")
_HERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR")


_opened = threading.local()


class Repository:
    """Where a git repository keeps its things. All paths are absolute.

    Attributes:
        git_dir: The git directory of this work tree (``.git/worktrees/x`` for a linked one).
        common_dir: The git directory that all linked worktrees share.
        work_tree: The top of the work tree; None in a bare repository.
        prefix: The folder the caller stood in, relative to `work_tree`, with a final slash;
            empty at the top.
    """

    def __init__(
        self, git_dir: Path, common_dir: Path, work_tree: Path | None, prefix: str
    ) -> None:
        """Say where things are; `discover` finds out."""
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.work_tree = work_tree
        self.prefix = prefix

    @classmethod
    def discover(cls, start: Path | None = None) -> Repository:
        """Return the repository that holds ``start``; by default the one that git would use here.

        ``GIT_DIR`` and its like count for the default only: a folder that is named is meant.

        Raises:
            NoRepositoryError: There is none, or it is of a kind that gitexp cannot open.
        """
        folder = Path.cwd() if start is None else start.absolute()
        context = {name: os.environ.get(name) for name in _DISCOVERY_VARIABLES}
        if start is not None:
            context |= dict.fromkeys(_HERE)
        key = tuple((name, value) for name, value in context.items() if value is not None)
        found = _discover(folder, key)
        if not found.common_dir.is_dir():
            _discover.cache_clear()
            found = _discover(folder, key)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The variables that tie a git child to this repository, whatever the caller's say."""
        environment = {"GIT_DIR": str(self.git_dir)}
        if self.work_tree is not None:
            environment["GIT_WORK_TREE"] = str(self.work_tree)
        return environment

    def git(
        self,
        arguments: Sequence[str | bytes],
        *,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run git on this repository, at its top; see `run_git` for what it takes and raises."""
        tied = {**self.environment, **(environment or {})}
        return run_git(arguments, cwd=self.top, stdin=stdin, environment=tied)

    @property
    def home(self) -> Path:
        """The folder of gitexp's own files: journals, shard name (``<common dir>/exprag``)."""
        return self.common_dir / "exprag"

    @property
    def journals(self) -> Path:
        """The folder of the journals of this clone's runs in progress."""
        return self.home / "live"

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

        The last value wins where a name is set more than once, as in git, and ``GITEXP_SHARD``
        in the environment over ``exprag.shard``.
        """
        settings = {name: values[-1] for name, values in self.configured(r"^exprag\.").items()}
        if "GITEXP_SHARD" in os.environ:
            settings["exprag.shard"] = os.environ["GITEXP_SHARD"]
        return settings

    def configured(self, pattern: str) -> dict[str, list[str]]:
        """Return the settings of git's configuration whose names match, each with its values.

        Args:
            pattern: A regular expression for the names, in lower case but for what is quoted.

        Raises:
            GitCommandError: The configuration cannot be read.
        """
        try:
            output = self.git(["config", "-z", "--get-regexp", pattern])
        except GitCommandError as error:
            if error.code == 1 and not error.said:
                return {}  # nothing matches
            raise
        found: dict[str, list[str]] = {}
        for entry in output.decode("utf-8", "replace").split("\0"):
            name, _, value = entry.partition("\n")
            if name:
                found.setdefault(name, []).append(value)
        return found

    def objects(self) -> pygit2.Repository:
        """Open the repository with libgit2, or return what this thread opened last.

        Opening is cheap, but the first object that is read or written then costs 0.15 ms.
        libgit2 itself notices new packs and moved refs.

        Raises:
            NoRepositoryError: libgit2 cannot open this kind of repository.
        """
        import pygit2

        try:
            status = self.git_dir.stat()
            key = (self.git_dir, status.st_dev, status.st_ino)
            if getattr(_opened, "key", None) != key:
                # git has judged the owner in `discover`, by all of the user's configuration.
                pygit2.settings.owner_validation = False
                _opened.repository = pygit2.Repository(str(self.git_dir))
                _opened.key = key
        except (pygit2.GitError, KeyError, OSError) as error:
            raise NoRepositoryError(
                f"libgit2 cannot open the repository {self.git_dir}: {error}",
                "gitexp writes to repositories with SHA-1 objects and the files ref backend.",
            ) from error
        repository: pygit2.Repository = _opened.repository
        return repository

    def forget_objects(self) -> None:
        """Close what `objects` opened: its cache still has objects that were pruned since."""
        vars(_opened).clear()


@functools.lru_cache(maxsize=32)
def _discover(folder: Path, context: tuple[tuple[str, str], ...]) -> Repository:
    environment = {**dict.fromkeys(_HERE), **dict(context)}
    output = run_git(
        [
            "rev-parse",
            "--path-format=absolute",
            "--git-dir",
            "--git-common-dir",
            "--show-object-format",
            "--is-inside-work-tree",
            "--show-prefix",
            "--show-cdup",  # unlike --show-toplevel it does not fail where there is no work tree
        ],
        cwd=folder,
        environment=environment,
    )
    lines = output.decode("utf-8", "surrogateescape").split("\n")
    git_dir, common_dir, object_format, inside, prefix, up = lines[:6]
    if object_format != "sha1":
        raise NoRepositoryError(
            f"This repository names its objects by {object_format}; gitexp needs SHA-1.",
            "libgit2, which gitexp writes objects with, cannot open such repositories yet.",
        )
    work_tree = Path(os.path.realpath(folder / up)) if inside == "true" else None
    return Repository(Path(git_dir), Path(common_dir), work_tree, prefix)
