"""A linked worktree that holds exactly the code of a run, for as long as it is needed.

Its HEAD is the commit that the run was made on, its index and its files are the run's snapshot:
so a run in it has the same code, the same base, and the same changes. It stands in a temporary
folder, under the name of the user's own work tree. The user's HEAD, index, branches and files are
not touched.

Who makes one leaves a note below ``<common dir>/exprag/worktrees``, so that what a killed process
left is found and removed by the next one; another host's is left alone.

Files that git does not have (data, virtual environments) can be linked into it. Links are excluded
by a list of their own, beside the user's: they are never part of a snapshot, not even where
``.gitignore`` names folders only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gitexp.errors import GitCommandError, GitexpError, GitexpWarning, UsageError
from gitexp.git.process import run_git
from gitexp.git.read import list_tree
from gitexp.git.repository import Repository
from gitexp.git.status import display_path
from gitexp.git.write import write_error
from gitexp.journal import Owner, is_dead, this_process
from gitexp.records.facts import DECODE_ERRORS

_PREFIX = "gitexp-replicate-"
_QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false")
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX")
_SHOWN = 5


@dataclass(frozen=True)
class Worktree:
    """A linked worktree that stands.

    Attributes:
        path: Its top.
        excluded: File of patterns that git is to ignore in it.
        source: The user's own work tree, which links lead to; None in a bare repository.
    """

    path: Path
    excluded: Path
    source: Path | None

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return an environment for programs that work in it: git finds it, and no other."""
        count = environment.get("GIT_CONFIG_COUNT", "0")
        number = int(count) if count.isdecimal() else 0
        kept = {name: text for name, text in environment.items() if name not in _ELSEWHERE}
        return kept | {
            "GIT_CONFIG_COUNT": str(number + 1),
            f"GIT_CONFIG_KEY_{number}": "core.excludesFile",
            f"GIT_CONFIG_VALUE_{number}": str(self.excluded),
        }


class _Note(msgspec.Struct, frozen=True):
    """What is known of a worktree while it stands: who made it, and where."""

    owner: Owner
    path: str


@contextmanager
def worktree_of(repository: Repository, tree: str, base: str) -> Iterator[Worktree]:
    """Make a worktree with a tree in index and files and a commit as HEAD; remove it in the end.

    Args:
        repository: Whose objects.
        tree: Id of the tree.
        base: Id of the commit.

    Raises:
        GitexpError: It cannot be made: the disk is full, an object is missing, a filter fails.
    """
    remove_abandoned(repository)
    try:
        folder = Path(os.path.realpath(tempfile.mkdtemp(prefix=_PREFIX)))
        place = folder / (repository.top.name if repository.work_tree else "tree")
        note = _write_note(repository, place)
    except OSError as error:
        raise write_error(error, "make a worktree") from error
    try:
        add = ["worktree", "add", "--quiet", "--no-checkout", "--detach", "--", str(place), base]
        repository.git([*_QUIET, *add])
        fill = [*_QUIET, "read-tree", "-u", "--reset", tree]
        run_git(fill, cwd=place, environment=dict.fromkeys(_ELSEWHERE))
        excluded = folder / "exclude"
        excluded.write_bytes(_users_excludes(repository))
        yield Worktree(place, excluded, repository.work_tree)
    finally:
        _remove(repository, place, note)


def _write_note(repository: Repository, place: Path) -> Path:
    folder = repository.home / "worktrees"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / place.parent.name
    draft = note.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(_Note(this_process(), str(place))))
    return draft.rename(note)


def _users_excludes(repository: Repository) -> bytes:
    """Return the content of the user's own list of what git ignores everywhere."""
    try:
        named = repository.git(["config", "--path", "--get", "core.excludesFile"])
    except GitCommandError:  # it is not set
        home = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
        named = os.fsencode(Path(home, "git", "ignore"))
    try:
        return Path(repository.top, os.fsdecode(named.rstrip(b"\n"))).read_bytes() + b"\n"
    except OSError:
        return b""  # git goes on without it as well


def remove_abandoned(repository: Repository) -> None:
    """Remove the worktrees of processes of this machine that are gone."""
    try:
        notes = list((repository.home / "worktrees").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for note in notes:
        with suppress(FileNotFoundError):  # another process was quicker
            try:
                known = msgspec.json.decode(note.read_bytes(), type=_Note)
            except DECODE_ERRORS:
                note.unlink()  # torn, by a crash of the system
                continue
            if is_dead(known.owner):
                _remove(repository, Path(known.path), note)


def _remove(repository: Repository, place: Path, note: Path) -> None:
    """Remove a worktree, what git knows of it, and the note; links in it are not followed."""
    folder = place.parent
    if not folder.name.startswith(_PREFIX) or folder.is_symlink():
        note.unlink(missing_ok=True)  # it names a folder that was never made here
        return
    if not remove(folder):
        message = f"The worktree {folder} cannot be removed; the next command that makes one tries."
        warnings.warn(message, GitexpWarning, stacklevel=3)
        return
    with suppress(GitCommandError):  # git never knew it
        repository.git(["worktree", "remove", "--force", "--force", "--", str(place)])
    note.unlink(missing_ok=True)


def remove(path: Path) -> bool:
    """Remove a file, a link, or a folder with all in it, whoever made it and however deep it is.

    Links are not followed.

    Returns:
        Whether nothing is there any more.
    """
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        pass  # somebody was quicker, or it was never there
    except (OSError, RecursionError):
        _insist(path)
    return not os.path.lexists(path)


def _insist(path: Path) -> None:
    """Remove a folder by the programs that go deeper than Python, after taking it over."""
    for words in (["chmod", "-R", "u+rwx", "--"], ["rm", "-rf", "--"]):
        with suppress(FileNotFoundError):  # there are no such programs
            subprocess.run(
                [*words, str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )


@contextmanager
def standing_in(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Stand in another folder, with other variables: a run is of where the process stands."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# What git does not have


def link(
    repository: Repository, worktree: Worktree, paths: Iterable[str], known: AbstractSet[str]
) -> None:
    """Make ignored files and folders of the user's work tree available in a worktree.

    A folder that the run's code has, too, is linked entry by entry: those that are ignored.

    Args:
        repository: That of the user's work tree.
        worktree: Where to put the links.
        paths: Relative to the top of the work tree.
        known: Paths, relative to the top, that may be linked though they are not ignored: those
            that the run's snapshot left out.

    Raises:
        UsageError: A path leads out of the work tree, or is not there.
        GitexpError: What is there is code, or would become part of a snapshot.
    """
    wanted = list(paths)
    if not wanted:
        return
    if worktree.source is None:
        raise UsageError("A bare repository has no files to link.", "Leave --link out.")
    patterns: list[bytes] = []
    for path in wanted:
        _require_inside(worktree.source, path)
        made = _link(repository, worktree, [path], known)
        if not made:
            raise GitexpError(
                f"Nothing at {_printable(path)} is ignored by git: it is code, which may differ "
                f"from that of the run.",
                "Link data and environments that .gitignore names.",
            )
        patterns += map(_pattern, made)
    with worktree.excluded.open("ab") as file:
        file.writelines(patterns)
    _require_clean(worktree)


def _require_inside(top: Path, path: str) -> None:
    parts = Path(path).parts
    if Path(path).is_absolute() or ".." in parts or ".git" in parts or not parts:
        raise UsageError(f"{_printable(path)} is not a path inside of the work tree.")
    if "\n" in path or not os.path.lexists(top / path):
        raise UsageError(
            f"There is no {_printable(path)} to link.", f"Paths are relative to {top}."
        )


def _link(
    repository: Repository, worktree: Worktree, paths: Sequence[str], known: AbstractSet[str]
) -> list[str]:
    """Link those of the paths that are ignored, and what is ignored below the others."""
    source = Path(worktree.source or "")
    ignored = _ignored(repository, paths) | (known & set(paths))
    made = []
    for path in paths:
        origin, target = source / path, worktree.path / path
        is_folder = origin.is_dir() and not origin.is_symlink()
        if path in ignored and not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(origin)
            made.append(path)
        elif is_folder and not (target.is_symlink() or target.is_file()):
            names = (entry.name for entry in origin.iterdir())
            below = [f"{path}/{name}" for name in names if name != ".git" and "\n" not in name]
            made += _link(repository, worktree, below, known)
    return made


def _ignored(repository: Repository, paths: Sequence[str]) -> set[str]:
    listing = b"".join(os.fsencode(path) + b"\0" for path in paths)
    try:
        output = repository.git(["check-ignore", "-z", "--stdin"], stdin=listing)
    except GitCommandError as error:
        if error.code == 1 and not error.said:
            return set()  # none is
        raise
    return {os.fsdecode(path) for path in output.split(b"\0") if path}


def _pattern(path: str) -> bytes:
    """Return a pattern that fits this path only."""
    return b"/" + re.sub(rb"([\\*?\[\] ])", rb"\\\1", os.fsencode(path)) + b"\n"


def _require_clean(worktree: Worktree) -> None:
    """Check that no link would be taken for code."""
    output = run_git(
        ["ls-files", "-z", "--others", "--exclude-standard"],
        cwd=worktree.path,
        environment=worktree.variables({}) | dict.fromkeys(_ELSEWHERE),
    )
    found = [display_path(path) for path in output.split(b"\0") if path]
    if found:
        raise GitexpError(
            f"In the code of the run git does not ignore {_printable(', '.join(found[:_SHOWN]))}.",
            "Link only what its .gitignore names.",
        )


def submodules_of(repository: Repository, tree: str) -> list[str]:
    """Return the paths of the submodules, and other repositories, that a tree names."""
    entries = list_tree(repository, tree)
    return [display_path(entry.path) for entry in entries if entry.mode == "160000"]


def _printable(path: str) -> str:
    text = display_path(os.fsencode(path))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
