"""The files of a cage: which are as they may be, and making the others so again.

The tree that the step began with is the measure. What ``lstat`` said of each file when it was put
there is kept in memory, where no program can change it; protected files are hashed as well, since
who may set the clock can make a changed file look unchanged. What differs and may not is written
anew by git, from the tree, with an index that is made for it.

Links are never followed, and what is in the way (a link or a file in place of a folder, a
nested repository, a folder without permissions) is removed first.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gitexp.errors import GitCommandError
from gitexp.git.read import list_tree
from gitexp.git.repository import Repository
from gitexp.loop.cage.limits import STEERING, Limits
from gitexp.research.overview.brief import quoted
from gitexp.research.worktree import remove
from gitexp.sensitive import sensitive_content, sensitive_name

_DEPTH = 64
"""Folders in folders, beyond which nothing is looked at and all is removed."""

_MOST_NEW = 200_000
"""New files, beyond which nobody looks at each."""

_IMPORTED = (".py", ".pyc", ".pyo", ".pyd", ".pyx", ".so", ".pth", ".egg-link", ".zip", ".egg")
"""Endings of files that Python would run when it imports something."""

_CACHE = "__pycache__"
_LINK = "120000"

Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Breach:
    """Something that an agent or a run did and may not.

    Attributes:
        kind: ``protected`` (a protected file), ``path`` (a file that may not change), ``new`` (a
            file that may not be there), ``hidden`` (a file that may be there, but that no
            snapshot would hold), ``link`` (it leads out of the worktree), ``repository`` (a nested
            one), ``git`` (HEAD, index, settings or hooks of the worktree), ``process`` (it
            outlived its step), ``outside`` (the user's repository or work tree changed meanwhile).
        path: Relative to the top of the worktree, or what is meant; in quotes, printable.
        detail: A sentence.
        undone: It was; else it was only seen.
    """

    kind: str
    path: str
    detail: str
    undone: bool


@dataclass
class _Found:
    """What stands in a worktree: files and links by path, folders, what was removed at once."""

    files: dict[str, os.stat_result] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)


class Content:
    """The files of one worktree.

    Args:
        repository: Names git directory and work tree.
        tree: What the step begins with; it is in the worktree already.
        modes: Its paths, with their modes.
        limits: What may change.
        links: Paths that were linked, with what they lead to.
        file_bytes: The largest new file that a snapshot holds.
    """

    def __init__(
        self,
        repository: Repository,
        tree: str,
        modes: Mapping[str, str],
        limits: Limits,
        *,
        links: dict[str, str],
        file_bytes: int,
    ) -> None:
        self._repository = repository
        self._tree = tree
        self._limits = limits
        self._links = links
        self._file_bytes = file_bytes
        self._top = repository.require_work_tree()
        self._modes = modes
        self._fixed = [p for p in self._modes if not limits.permits(p)]
        self._stamps = {path: self._stamp(path) for path in self._fixed}
        self._code: tuple[str, list[str]] = (tree, [])
        self._digests = {p: self._digest(p) for p in self._fixed if limits.protects(p)}

    def settle(self, *, outputs: bool) -> list[Breach]:
        """Make it what it may be; return what it was not.

        Args:
            outputs: New files may stay that may not be part of the code, unless Python would
                import them.
        """
        put_back = self._put_links_back()
        found = self._walk()
        if len(found.files) > len(self._modes) + _MOST_NEW:
            return self._start_over()
        breaches = put_back + found.breaches
        breaches += self._remove_links(found.files)
        steering = [p for p in found.files if p.rpartition("/")[2] in STEERING]
        breaches += self._remove_new(self._unknown(found.files, steering))
        breaches += self._restore([p for p in self._fixed if p.rpartition("/")[2] in STEERING])
        breaches += self._restore(self._fixed)
        breaches += self._restore(self._code[1], self._code[0])
        new = list(self._unknown(found.files, found.files))
        if outputs:
            return breaches + self._remove_new(p for p in new if p.endswith(_IMPORTED))
        ignored = self._ignored(p for p in found.files if p not in self._modes)
        for path in ignored.intersection(new):
            self._remove(path)
        breaches += self._remove_new(path for path in new if path not in ignored)
        breaches += self._remove_hidden(found.files, ignored)
        self._remove_empty(found.folders)
        return breaches

    def begin_run(self, tree: str) -> None:
        """Take what the next program starts with for the code of a run, which stays as it is.

        What else may change may be written by the run; what Python would import may not, so that
        an evaluation has the code that was recorded.

        Args:
            tree: Id of the code's tree; it is in the worktree.
        """
        paths = (os.fsdecode(entry.path) for entry in list_tree(self._repository, tree))
        code = [p for p in paths if p.endswith(_IMPORTED) and self._limits.permits(p)]
        self._stamps |= {path: self._stamp(path) for path in code}
        self._code = (tree, code)

    def end_run(self) -> None:
        """Take nothing for the code of a run any more."""
        self._code = (self._tree, [])

    # What is there

    def _walk(self) -> _Found:
        """Look at everything; remove what can be no part of any worktree."""
        found = _Found()
        folders = [""]
        while folders:
            folder = folders.pop()
            if len(found.files) > len(self._modes) + _MOST_NEW:
                break
            for entry in self._entries(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if path == ".git":
                    continue
                if entry.name.lower() == ".git":
                    remove(self._top / path)
                    found.breaches.append(_breach("repository", path, "was a nested repository"))
                elif entry.name == _CACHE and path not in self._modes:
                    remove(self._top / path)
                elif not entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found.files[path] = entry.stat(follow_symlinks=False)
                elif path.count("/") < _DEPTH:
                    folders.append(path)
                    found.folders.append(path)
                else:
                    remove(self._top / path)
                    found.breaches.append(_breach("new", path, "was too deep a folder"))
        return found

    def _start_over(self) -> list[Breach]:
        """Write all files anew, where there are too many to look at each."""
        for entry in self._entries(""):
            if entry.name != ".git":
                remove(self._top / entry.name)
        for path, target in self._links.items():
            self._clear_way(path)
            (self._top / path).symlink_to(target)
        self._check_out(self._modes, self._tree)
        self._stamps = {path: self._stamp(path) for path in self._stamps}
        self.end_run()
        detail = f"There were more than {_MOST_NEW} new files, so all files were written anew."
        return [Breach("new", "", detail, undone=True)]

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        place = self._top / folder
        mode = stat.S_IMODE(place.lstat().st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            place.chmod(mode | stat.S_IRWXU)
        with os.scandir(place) as entries:
            return list(entries)

    def _unknown(self, files: dict[str, os.stat_result], among: Iterable[str]) -> Iterator[str]:
        """Yield what is neither in the tree, nor allowed, nor one of our links, and still there."""
        for path in list(among):
            known = path in self._modes or path in self._links or self._limits.permits(path)
            if not known and path in files and self._stands(path):
                yield path

    # What goes

    def _remove_links(self, files: dict[str, os.stat_result]) -> list[Breach]:
        """Remove links that lead out, and what is neither file nor link."""
        breaches = []
        for path, status in list(files.items()):
            if path in self._links:
                continue
            is_link = stat.S_ISLNK(status.st_mode)
            if is_link and self._leads_out(path) and not self._is_of_tree(path):
                breaches.append(_breach("link", path, "was a link that leads out of the worktree"))
            elif not is_link and not stat.S_ISREG(status.st_mode):
                breaches.append(_breach("new", path, "was no file"))
            else:
                continue
            self._remove(path)
            del files[path]
        return breaches

    def _put_links_back(self) -> list[Breach]:
        """Make the session's links again, before anybody looks at what stands in their place."""
        breaches = []
        for path, target in self._links.items():
            if not self._is_link_to(path, target):
                self._clear_way(path)
                remove(self._top / path)
                (self._top / path).symlink_to(target)
                breaches.append(_breach("link", path, "was a link of the session and is again"))
        return breaches

    def _stands(self, path: str) -> bool:
        """Say whether what was seen at a path, which was no folder, still stands there.

        Once code was written anew, a folder may stand in its place.
        """
        place = self._top / path
        if not self._is_inside(path) or not os.path.lexists(place):
            return False
        return place.is_symlink() or not place.is_dir()

    def _is_inside(self, path: str) -> bool:
        """Say whether real folders lead to a path.

        What was seen in a folder may, once that is a link again, be somebody else's file.
        """
        place = self._top
        for part in path.split("/")[:-1]:
            place /= part
            if place.is_symlink():
                return False
        return True

    def _remove(self, path: str) -> bool:
        """Remove what is at a path, in the worktree and nowhere else; say whether it is gone."""
        return not self._stands(path) or remove(self._top / path)

    def _remove_empty(self, folders: Iterable[str]) -> None:
        """Remove folders that are new, with nothing left in them."""
        for folder in sorted(folders, reverse=True):
            if self._is_inside(folder) and not self._limits.permits(folder):
                with suppress(OSError):  # something is in it
                    (self._top / folder).rmdir()

    def _leads_out(self, path: str) -> bool:
        try:
            real = (self._top / path).resolve(strict=False)
            inside = real.relative_to(self._top).parts
        except (ValueError, OSError, RuntimeError):
            return True
        return bool(inside) and inside[0].lower() == ".git"

    def _is_of_tree(self, path: str) -> bool:
        """Say whether a link is as the tree has it."""
        return self._modes.get(path) == _LINK and (
            path in self._stamps and self._stamps[path] == self._stamp(path)
        )

    def _is_link_to(self, path: str, target: str) -> bool:
        try:
            return str((self._top / path).readlink()) == target
        except OSError:
            return False

    def _remove_new(self, paths: Iterable[str]) -> list[Breach]:
        breaches = []
        for path in paths:
            gone = self._remove(path)
            words = "was new and may not be there"
            breaches.append(_breach("new", path, words, undone=gone))
        return breaches

    def _remove_hidden(self, files: dict[str, os.stat_result], ignored: set[str]) -> list[Breach]:
        """Remove files that may be there, but that a snapshot would not hold."""
        breaches = []
        for path, status in files.items():
            if path in self._modes or path in self._links or not self._limits.permits(path):
                continue
            reason = "git ignores it" if path in ignored else self._why_left_out(path, status)
            if reason and self._remove(path):
                breaches.append(
                    _breach("hidden", path, f"would not be part of the run's code ({reason})")
                )
        return breaches

    def _why_left_out(self, path: str, status: os.stat_result) -> str | None:
        if sensitive_name(os.fsencode(path)):
            return "it has the name of a secret"
        if status.st_size > self._file_bytes:
            return "it is too large"
        if stat.S_ISREG(status.st_mode):
            with suppress(OSError):
                if sensitive_content((self._top / path).read_bytes()):
                    return "it holds a secret"
        return None

    def _ignored(self, paths: Iterable[str]) -> set[str]:
        listing = b"".join(os.fsencode(path) + b"\0" for path in paths if self._stands(path))
        if not listing:
            return set()
        try:
            output = self._repository.git(["check-ignore", "-z", "--stdin"], stdin=listing)
        except GitCommandError as error:
            if error.code == 1 and not error.said:
                return set()  # none is
            raise
        return {os.fsdecode(path) for path in output.split(b"\0") if path}

    # What comes back

    def _restore(self, paths: Iterable[str], tree: str | None = None) -> list[Breach]:
        """Write what changed anew; say so where it really was another content."""
        changed = [path for path in paths if self._differs(path)]
        if not changed:
            return []
        before = {path: self._seen(path, self._stamps[path]) for path in changed}
        for path in changed:
            self._clear_way(path)
            remove(self._top / path)
        self._check_out(changed, tree or self._tree)
        breaches = []
        for path in changed:
            self._stamps[path] = self._stamp(path)
            if before[path] != self._seen(path, self._stamps[path]):
                breaches.append(self._changed(path, gone=before[path][0] == 0))
        return breaches

    def _seen(self, path: str, usual: Stamp) -> tuple[int, int, str]:
        """Return mode, size and content; nobody reads what has another size than it should."""
        mode, size, *_ = self._stamp(path)
        return mode, size, self._digest(path) if size == usual[1] else ""

    def _changed(self, path: str, *, gone: bool) -> Breach:
        what = "was removed" if gone else "was changed"
        restored = self._stamps[path] != _NOTHING
        if self._limits.protects(path):
            return _breach("protected", path, f"is protected and {what}", undone=restored)
        may_not = "is code of the run" if self._limits.permits(path) else "may not change"
        return _breach("path", path, f"{may_not} and {what}", undone=restored)

    def _differs(self, path: str) -> bool:
        if self._stamps[path] != self._stamp(path):
            return True
        return path in self._digests and self._digests[path] != self._digest(path)

    def _clear_way(self, path: str) -> None:
        """Make all folders on the way to a path real ones."""
        place = self._top
        for part in path.split("/")[:-1]:
            place /= part
            if not os.path.lexists(place):
                place.mkdir()
            elif place.is_symlink() or not place.is_dir():
                remove(place)
                place.mkdir()

    def _check_out(self, paths: Iterable[str], tree: str) -> None:
        listing = b"".join(os.fsencode(path) + b"\0" for path in paths)
        with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
            variables = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self._repository.git([*_QUIET, "read-tree", tree], environment=variables)
            words = [*_QUIET, "checkout-index", "--force", "--quiet", "-z", "--stdin"]
            self._repository.git(words, stdin=listing, environment=variables)

    # What is known of a file

    def _stamp(self, path: str) -> Stamp:
        try:
            found = (self._top / path).lstat()
        except OSError:
            return _NOTHING
        return (
            found.st_mode,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
        )

    def _digest(self, path: str) -> str:
        """Return what a file holds, or where a link leads; the same for all else."""
        place = self._top / path
        with suppress(OSError):
            if place.is_symlink():
                return str(place.readlink())
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return hashlib.file_digest(file, "sha256").hexdigest()
        return ""


_NOTHING: Stamp = (0, 0, 0, 0, 0)
_QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false")


def _breach(kind: str, path: str, words: str, *, undone: bool = True) -> Breach:
    named = quoted(path)
    ending = "" if undone else "; this could not be undone"
    return Breach(kind, named, f"{named} {words}{ending}.", undone)
