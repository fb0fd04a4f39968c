"""A worktree for one step of a session, and what keeps a step inside of it.

An agent or a run works in a detached worktree of its own. Afterwards `Cage.settle` ends every
process that is left, makes files, HEAD and index what they may be, and says what they were not.
gitexp's own git commands name git directory and work tree explicitly, so that whatever stands in
place of ``.git`` leads nowhere. What can be prevented outside of the worktree is the sandbox's;
without one, changes of the user's repository and work tree are seen and said.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gitexp.errors import GitexpError
from gitexp.git.read import changed_entries, list_tree
from gitexp.git.repository import Repository
from gitexp.git.status import display_path
from gitexp.git.write import write_error
from gitexp.loop.cage import outside
from gitexp.loop.cage.administration import Administration
from gitexp.loop.cage.borrowed import Borrowed
from gitexp.loop.cage.content import Breach, Content
from gitexp.loop.cage.limits import Limits
from gitexp.loop.cage.processes import MARK, alive, end_marked, guarded, marked, outlived
from gitexp.loop.cage.sandbox import Sandbox, View
from gitexp.loop.cage.surroundings import own_variables, scrubbed
from gitexp.research.overview.brief import quoted
from gitexp.research.worktree import (
    Worktree,
    link,
    remove,
    standing_in,
    submodules_of,
    worktree_of,
)
from gitexp.snapshot import Limits as SnapshotLimits
from gitexp.snapshot import planned_tree

__all__ = ["Breach", "Cage", "Limits", "caged"]

_OUTER = ("GITEXP_RUN", "GITEXP_GIT_DIR")
"""An experiment of the loop is a run of its own, in whatever run the loop itself goes on."""

_PACKAGE = Path(__file__).parents[2]
"""gitexp itself, which trainings may import: it may stand where a sandbox hides everything."""

_MOST_BREACHES = 50
"""More are summed up: what a step leaves behind must not fill the journal."""


class Cage:
    """A worktree that stands; made by `caged`.

    Attributes:
        folder: Its top.
        repository: For snapshots of it: names git directory and work tree explicitly.
        limits: What may change.
    """

    def __init__(
        self,
        user: Repository,
        worktree: Worktree,
        tree: str,
        base: str,
        *,
        session: str,
        limits: Limits,
        sandbox: Sandbox | None,
    ) -> None:
        """Take over a worktree; see `caged`."""
        self.folder = worktree.path
        self._worktree = worktree
        self._user = user
        self.repository = _Explicit(user, worktree)
        modes = {os.fsdecode(entry.path): entry.mode for entry in list_tree(user, tree)}
        self.limits = limits if limits.allow else Limits.of_tracked(modes, limits.protect)
        self._tree = tree
        self._session = session
        self._sandbox = sandbox
        self._links = _links_in(self.folder, modes)
        self._scratch = self.folder.parent / "scratch"
        self._scratch.mkdir()
        self._report = self._scratch / ".outlived"
        self._standing: Path | None = None
        git_dir = self.repository.git_dir
        self._administration = Administration(git_dir)
        self._borrowed = Borrowed(
            self.folder / ".git",
            user.common_dir,
            base,
            git_dir / "index",
            worktree.excluded.read_bytes(),
        )
        self._borrowed.make()
        self._content = Content(
            self.repository,
            tree,
            modes,
            self.limits,
            links=self._links,
            file_bytes=SnapshotLimits.from_settings(user.settings).file_bytes,
        )
        self._outside = {} if sandbox else outside.seen(user)

    # For who starts programs

    def environment(
        self, outer: Mapping[str, str], keys: Collection[str] = (), drop: Collection[str] = ()
    ) -> dict[str, str]:
        """Return all variables of an agent or a run: the outer ones, without secrets.

        Args:
            outer: The loop's own.
            keys: Names that are passed on though they look like secrets: an agent's own.
            drop: Names that are never passed on: the provider's keys, for a run.
        """
        locked_in = self._sandbox is not None
        own = own_variables(self.folder, self._scratch, locked_in=locked_in)
        return {
            **scrubbed(outer, keys, drop),
            **own,
            MARK: marked(outer, self._session),
        }

    def wrap(
        self, *, network: bool = True, joins: bool = True, writable: Sequence[Path] = ()
    ) -> tuple[str, ...]:
        """Return the arguments that a program of this cage is started behind, never none.

        Args:
            network: Whether it has one; only a sandbox can refuse it.
            joins: It may write to the journals of runs in progress, and so join one: a training
                script that uses gitexp does. An agent need not.
            writable: Further paths that a sandbox lets it write to: an agent's own settings, say.
        """
        if self._sandbox is None:
            return guarded(self._report)
        journals = (self._user.journals,) if joins else ()
        self._user.journals.mkdir(parents=True, exist_ok=True)
        top = self._user.work_tree
        view = View(
            writable=(self.folder, self._scratch, *journals, *writable),
            readable=(
                self._user.common_dir,
                Path.home(),
                *(() if top is None else (top,)),
                *(Path(place) for place in (sys.prefix, sys.base_prefix, _PACKAGE)),
            ),
            homes=(Path.home(), *(() if top is None else (top,))),
            shown=tuple(Path(target) for target in self._links.values()),
            network=network,
        )
        return (*self._sandbox.wrap(view), *guarded(self._report, hidden=True))

    @contextmanager
    def entered(self, folder: str = ".") -> Iterator[Path]:
        """Stand in a folder of the worktree, so that a `gitexp.Experiment` is one of its code.

        This process's current folder and environment are others until the end; until then code
        that was changed by a run is written anew by `settle`, also where it may change.

        Args:
            folder: Relative to the top; made where it does not exist.

        Raises:
            GitexpError: It is outside, or no folder.
        """
        place = self._folder_in(folder)
        outer = {name: text for name, text in os.environ.items() if name not in _OUTER}
        variables = self._worktree.variables(outer) | self.repository.place | {"PWD": str(place)}
        self._standing = place
        self._content.begin_run(self._planned())
        try:
            with standing_in(place, variables):
                yield place
        finally:
            self._standing = None
            self._content.end_run()

    def _folder_in(self, folder: str) -> Path:
        parts = PurePosixPath(folder).parts
        place = self.folder.joinpath(*parts)
        outside_of_it = ".." in parts or ".git" in parts or PurePosixPath(folder).is_absolute()
        if outside_of_it or not place.resolve().is_relative_to(self.folder):
            raise GitexpError(f"The folder {folder!r} is outside of the code.")
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GitexpError(f"{folder!r} is no folder of the code: {error.strerror}.") from error
        return place

    # Afterwards

    def settle(self, *, outputs: bool = False) -> list[Breach]:
        """End what is left, and undo what may not be: to be called after each program.

        Args:
            outputs: After a run: new files stay for who reads them, an evaluation say, but for
                those that Python would import.

        Returns:
            What was not as it may be, 50 at most.

        Raises:
            GitexpError: The worktree cannot be made what it may be: the disk is full, say.
        """
        breaches = self._end_processes()
        try:
            breaches += self._settle_folders()
            breaches += self._content.settle(outputs=outputs)
        except OSError as error:
            raise write_error(error, "restore the worktree") from error
        breaches += self._look_outside()
        if self._standing is not None:
            self._standing.mkdir(parents=True, exist_ok=True)
            os.chdir(self._standing)  # it may be another folder of the same name
        return _summed_up(breaches)

    def _end_processes(self) -> list[Breach]:
        count = outlived(self._report) + end_marked(self._session)
        left = alive(self._session)
        breaches = []
        if count:
            words = _counted(count, "process", "processes")
            detail = f"{words} outlived the program that started it, and was ended."
            breaches.append(Breach("process", "", detail, undone=True))
        if left:
            numbers = ", ".join(map(str, left[:5]))
            detail = f"Processes that could not be ended: {numbers}."
            breaches.append(Breach("process", numbers, detail, undone=False))
        return breaches

    def _settle_folders(self) -> list[Breach]:
        """Make the worktree's folder, its .git and what git knows of it as they were."""
        breaches = []
        if self.folder.is_symlink() or not self.folder.is_dir():
            remove(self.folder)
            self.folder.mkdir(parents=True)
            breaches.append(Breach("git", "", "The worktree itself was removed.", undone=True))
        if self._administration.restore():
            detail = "HEAD, index or settings of the worktree were changed."
            breaches.append(Breach("git", "HEAD", detail, undone=True))
        if not self._borrowed.is_intact():
            self._borrowed.make()
            detail = "The worktree's .git was changed or removed; commits made in it are dropped."
            breaches.append(Breach("git", ".git", detail, undone=True))
        self._worktree.excluded.unlink(missing_ok=True)
        self._worktree.excluded.write_bytes(self._borrowed.excludes)
        remove(self._scratch)
        self._scratch.mkdir()
        return breaches

    def _look_outside(self) -> list[Breach]:
        """Say what changed in the user's repository and work tree, where nothing prevents it."""
        if self._sandbox is not None:
            return []
        names = outside.changed(self._user, self._outside)
        self._outside = outside.seen(self._user)
        return [
            Breach(
                "outside",
                quoted(name),
                f"Outside of the worktree {quoted(name)} changed meanwhile, by the program or by "
                f"somebody else; this is not undone.",
                undone=False,
            )
            for name in names
        ]

    def changed(self) -> list[str]:
        """Return the paths in which a snapshot taken now would differ from what it began with."""
        entries = changed_entries(self._user, self._tree, self._planned())
        return sorted(map(display_path, entries))

    def _planned(self) -> str:
        limits = SnapshotLimits.from_settings(self._user.settings)
        return planned_tree(self.repository, limits)[0]

    def close(self) -> None:
        """End what still runs, and remove what it left, however deep; `caged` does the rest."""
        end_marked(self._session)
        remove(self.folder)
        remove(self._scratch)


class _Explicit(Repository):
    """A repository whose git commands all name the git directory and the work tree of a cage."""

    def __init__(self, user: Repository, worktree: Worktree) -> None:
        pointer = (worktree.path / ".git").read_bytes()
        git_dir = Path(os.fsdecode(pointer.removeprefix(b"gitdir: ").rstrip(b"\n")))
        super().__init__(git_dir, user.common_dir, worktree.path, "")
        variables = worktree.variables(os.environ).items()
        self._excluding = {k: v for k, v in variables if k.startswith("GIT_CONFIG_")}

    @property
    def place(self) -> dict[str, str]:
        """The variables that name the two."""
        return super().environment

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self._excluding


@contextmanager
def caged(
    repository: Repository,
    tree: str,
    base: str,
    *,
    session: str,
    limits: Limits,
    links: Sequence[str] = (),
    sandbox: Sandbox | None = None,
) -> Iterator[Cage]:
    """Make a worktree with a tree in it; in the end remove it, and all that still runs in it.

    Args:
        repository: The user's.
        tree: Id of the code.
        base: Id of the commit that is its HEAD.
        session: Marks its processes.
        limits: Where `allow` is empty, all that is tracked may change, but for what is protected
            and for files that steer git.
        links: Ignored paths of the user's work tree that are made available.
        sandbox: From `gitexp.loop.cage.sandbox.find_sandbox`; None for none.

    Raises:
        GitexpError: It cannot be made.
    """
    if modules := submodules_of(repository, tree):
        raise GitexpError(
            f"The code has submodules ({', '.join(map(quoted, modules[:3]))}), which a new "
            f"worktree does not have.",
            "Take them into the repository, or work on a branch without them.",
        )
    with worktree_of(repository, tree, base) as worktree:
        link(repository, worktree, links, frozenset())
        cage = Cage(
            repository,
            worktree,
            tree,
            base,
            session=session,
            limits=limits,
            sandbox=sandbox,
        )
        try:
            yield cage
        finally:
            cage.close()


def _links_in(top: Path, tracked: Collection[str]) -> dict[str, str]:
    """Return the links that are not code, by path, with what they lead to."""
    found = {}
    for place, folders, names in os.walk(top):
        for name in (*folders, *names):
            path = Path(place, name)
            relative = str(path.relative_to(top))
            if path.is_symlink() and relative not in tracked:
                found[relative] = str(path.readlink())
    return found


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _summed_up(breaches: list[Breach]) -> list[Breach]:
    """Return a bounded number, those of the heaviest kinds first where there are more."""
    if len(breaches) <= _MOST_BREACHES:
        return breaches
    kinds = ("protected", "git", "process", "outside", "link", "repository", "path", "hidden")
    order = {kind: place for place, kind in enumerate(kinds)}
    breaches = sorted(breaches, key=lambda each: order.get(each.kind, len(order)))
    kept, rest = breaches[: _MOST_BREACHES - 1], breaches[_MOST_BREACHES - 1 :]
    undone = all(each.undone for each in rest)
    more = Breach(rest[0].kind, "", f"{len(rest)} more of the kind.", undone=undone)
    return [*kept, more]
