"""Record the work tree as a commit, without touching anything of the user's.

The tree of the commit is the work tree: tracked files as they are on disk, and untracked files that
are not ignored. HEAD, index, refs, stash and work tree stay as they are. The steps:

1. Ask git what differs (`read_status`). Nothing: the tree is HEAD's, and no index is needed.
2. Choose what to record. Untracked files that are large or look like secrets stay out, so that
   snapshots neither fill the disk nor give secrets away; what a snapshot would add is known, and
   limited, before it is written. Smaller files are taken first: they are the code.
3. Let git record the chosen paths in a copy of the index, and write that as a tree.
4. Write the commit. Its id is the id of the run; a random nonce keeps runs of one state apart.

Nothing here stops a run for the sake of one file: a file that cannot be recorded stays as it is
in HEAD (or out, if HEAD does not have it), is listed in the record, and a warning names it.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from gitexp.errors import GitexpError, UsageError
from gitexp.git.commit import snapshot_message, tree_of, write_commit
from gitexp.git.repository import Repository
from gitexp.git.scratch_index import ABSENT, ScratchIndex, scratch_index
from gitexp.git.status import (
    Change,
    Status,
    diff_to_head,
    display_path,
    filtered_paths,
    read_status,
    submodule_at,
)
from gitexp.records.facts import GitState, LeftOut
from gitexp.sensitive import sensitive_content, sensitive_name

TOO_LARGE = "too large"
SECRET = "looks like a secret"  # noqa: S105 - a reason, not a password
OVER_TOTAL = "over the total limit"
UNREADABLE = "cannot be read"
FILTER_FAILED = "filter failed"
NO_COMMITS = "repository without commits"

_NAMED = 5
_DIGEST_BYTES = 64 << 20
"""Reading and digesting 64 MiB takes 20 ms when they are in the page cache."""
_DIGEST_TOTAL_BYTES = 256 << 20
_LISTED = 1000
"""More entries than this are summed up by folder: a record line must stay below 16 MiB."""

_SIZE = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True)
class Limits:
    """What a snapshot may add to the repository, in bytes.

    Attributes:
        file_bytes: Size of one untracked file.
        untracked_bytes: Size of all untracked files together.
        total_bytes: Size of all files together that a snapshot records. Files behind a clean
            filter do not count: what enters the repository for them is a pointer.
    """

    file_bytes: int = 1 << 20
    untracked_bytes: int = 10 << 20
    total_bytes: int = 100 << 20

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Limits:
        """Return the limits that ``exprag.*`` settings (names in lower case) ask for.

        Raises:
            UsageError: A value is not a size.
        """
        return cls(
            _size(settings, "exprag.maxUntrackedFile", cls.file_bytes),
            _size(settings, "exprag.maxUntracked", cls.untracked_bytes),
            _size(settings, "exprag.maxSnapshot", cls.total_bytes),
        )


@dataclass(frozen=True)
class Snapshot:
    """A recorded state of the work tree.

    Attributes:
        run_id: Id of the snapshot commit, 40 hexadecimal digits. No ref names it yet.
        tree: Id of its tree.
        git: What the record says about it.
        patches: Changes inside submodules, by the submodule's path: a binary-capable git diff
            against the commit that the snapshot records for it.
        warnings: What is not recorded as it is on disk, a sentence each.
    """

    run_id: str
    tree: str
    git: GitState
    patches: dict[str, bytes]
    warnings: tuple[str, ...]


@dataclass
class _Draft:
    """A snapshot in the making. Paths are relative to ``top``, which ends with a slash."""

    top: bytes
    limits: Limits
    status: Status
    tree: str = ""
    dirty: bool = False
    add: dict[bytes, os.stat_result] = field(default_factory=dict)
    remove: list[bytes] = field(default_factory=list)
    left_out: dict[bytes, tuple[str, int | None]] = field(default_factory=dict)
    digests: dict[bytes, str] = field(default_factory=dict)
    nested: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)
    patches: dict[bytes, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def leave_out(self, path: bytes, reason: str) -> None:
        """Drop a path that was going to be added."""
        found = self.add.pop(path)
        size = found.st_size if stat.S_ISREG(found.st_mode) else None
        self.left_out[path] = (reason, size)

    def lstat(self, path: bytes) -> os.stat_result | None:
        try:
            return os.lstat(self.top + path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def file(self, path: bytes) -> Path:
        return Path(os.fsdecode(self.top + path))

    def tracked(self) -> dict[bytes, Change]:
        return {change.path: change for change in self.status.changes}


def take_snapshot(repository: Repository, name: str, *, limits: Limits) -> Snapshot:
    """Record the work tree as a commit whose parent is HEAD.

    ``dirty`` in the result says whether the tree differs from HEAD's; on an unborn branch, from the
    empty tree.

    Args:
        repository: Whose work tree to record.
        name: Name of the run, for the subject of the commit.
        limits: What the snapshot may add to the repository.

    Raises:
        NoRepositoryError: The repository is bare, or libgit2 cannot open it.
        GitCommandError: git could not read or write the repository.
    """
    draft = _record_tree(repository, limits, repository.home / "tmp")
    parents = [draft.status.head] if draft.status.head else []
    message = snapshot_message(name, secrets.token_hex(8), dirty=draft.dirty)
    run_id = write_commit(repository, message, draft.tree, parents)
    patches = {display_path(path): patch for path, patch in draft.patches.items()}
    return Snapshot(run_id, draft.tree, _state(draft), patches, tuple(_warnings(draft)))


def planned_tree(repository: Repository, limits: Limits) -> tuple[str, str | None]:
    """Return the tree that a snapshot taken now would have, and the commit that HEAD names.

    The tree is written, but no commit: nothing is recorded.

    Raises:
        NoRepositoryError: The repository is bare, or libgit2 cannot open it.
        GitCommandError: git could not read or write the repository.
    """
    draft = _record_tree(repository, limits, repository.home / "tmp")
    return draft.tree, draft.status.head


def _record_tree(repository: Repository, limits: Limits, scratch: Path) -> _Draft:
    """Write the tree of a work tree, and say all that is to be said about it."""
    top = os.path.join(os.fsencode(repository.require_work_tree()), b"")  # noqa: PTH118 - bytes
    draft = _Draft(top, limits, read_status(repository))
    _choose_tracked(draft)
    _choose_untracked(draft)
    _keep_within_total(draft, repository)
    head_tree = draft.tree = tree_of(repository, draft.status.head)
    if draft.add or draft.status.changes:
        with scratch_index(repository, scratch) as index:
            _fill(index, draft)
            draft.tree = index.write_tree()
    draft.dirty = draft.tree != head_tree
    _add_digests(draft)
    for change in draft.status.changes:
        if change.dirty_submodule and change.path in draft.add:
            _record_submodule(draft, change.path, scratch)
    return draft


def _choose_tracked(draft: _Draft) -> None:
    for change in draft.status.changes:
        if not change.on_disk:
            continue
        found = None if change.deleted else draft.lstat(change.path)
        if found is None:
            draft.remove.append(change.path)
            continue
        draft.add[change.path] = found
        if not _is_recordable(found):
            draft.leave_out(change.path, UNREADABLE)


def _choose_untracked(draft: _Draft) -> None:
    """Take nested repositories by their commit, and files by name, size, sum and content."""
    files: dict[bytes, int] = {}
    for listed in draft.status.untracked:
        path = listed.rstrip(b"/")
        found = draft.lstat(path)
        if found is None:
            draft.changed.append(path)
            continue
        draft.add[path] = found
        if listed != path:
            draft.nested.append(path)
        elif sensitive_name(path):
            draft.leave_out(path, SECRET)
        elif found.st_size > draft.limits.file_bytes:
            draft.leave_out(path, TOO_LARGE)
        else:
            files[path] = found.st_size
    for path in _excess(files, draft.limits.untracked_bytes):
        draft.leave_out(path, OVER_TOTAL)
        del files[path]
    for path in files:
        if reason := _reason_by_content(draft, path):
            draft.leave_out(path, reason)


def _reason_by_content(draft: _Draft, path: bytes) -> str | None:
    if not stat.S_ISREG(draft.add[path].st_mode):
        return None
    try:
        content = draft.file(path).read_bytes()
    except OSError:
        return UNREADABLE
    return SECRET if sensitive_content(content) else None


def _keep_within_total(draft: _Draft, repository: Repository) -> None:
    """Leave out the largest files while all together are more than a snapshot may add."""
    sizes = {path: found.st_size for path, found in draft.add.items() if _is_file(found)}
    if sum(sizes.values()) <= draft.limits.total_bytes:
        return
    for path in filtered_paths(repository, sizes):
        del sizes[path]
    for path in _excess(sizes, draft.limits.total_bytes):
        draft.leave_out(path, OVER_TOTAL)


def _excess(sizes: Mapping[bytes, int], budget: int) -> list[bytes]:
    """Return the paths that do not fit when the smallest files are taken first."""
    if sum(sizes.values()) <= budget:
        return []
    excess = []
    for path in sorted(sizes, key=lambda path: (sizes[path], path)):
        budget -= sizes[path]
        if budget < 0:
            excess.append(path)
    return excess


def _fill(index: ScratchIndex, draft: _Draft) -> None:
    """Bring the index to what was chosen.

    Removals come first: they make room where a folder took the place of a file or the reverse.
    """
    tracked = draft.tracked()
    removed = [(ABSENT, b"0" * 40, path) for path in draft.remove]
    index.set_entries(removed + _head_entries(tracked, draft.left_out))
    rejected = index.add(list(draft.add))
    for path in rejected:
        draft.leave_out(path, _reason_of_rejection(draft, path))
    index.set_entries(_head_entries(tracked, rejected))
    draft.changed += [path for path, found in draft.add.items() if _differs(draft, path, found)]


def _head_entries(
    tracked: Mapping[bytes, Change], paths: Iterable[bytes]
) -> list[tuple[bytes, bytes, bytes]]:
    """Return the index entries that make tracked paths what they are in HEAD."""
    changes = [tracked[path] for path in paths if path in tracked]
    return [(change.head_mode, change.head_id, change.path) for change in changes]


def _reason_of_rejection(draft: _Draft, path: bytes) -> str:
    if stat.S_ISDIR(draft.add[path].st_mode):
        return NO_COMMITS
    return FILTER_FAILED if os.access(draft.top + path, os.R_OK) else UNREADABLE


def _differs(draft: _Draft, path: bytes, before: os.stat_result) -> bool:
    """Say whether a file is not what it was when it was chosen."""
    if stat.S_ISDIR(before.st_mode):
        return False
    now = draft.lstat(path)
    return now is None or (
        (now.st_mode, now.st_size, now.st_ino, now.st_mtime_ns, now.st_ctime_ns)
        != (before.st_mode, before.st_size, before.st_ino, before.st_mtime_ns, before.st_ctime_ns)
    )


def _add_digests(draft: _Draft) -> None:
    """Digest what was left out for its size.

    Secrets get none: xxh3 is no one-way function, and a short password could be found from it.
    """
    if len(draft.left_out) > _LISTED:
        return
    budget = _DIGEST_TOTAL_BYTES
    for path, (reason, size) in draft.left_out.items():
        if (
            reason not in (TOO_LARGE, OVER_TOTAL)
            or size is None
            or size > min(_DIGEST_BYTES, budget)
        ):
            continue
        budget -= size
        try:
            content = draft.file(path).read_bytes()
        except OSError:
            draft.changed.append(path)
            continue
        draft.digests[path] = xxhash.xxh3_128_hexdigest(content)


def _record_submodule(draft: _Draft, path: bytes, scratch: Path) -> None:
    """Keep the changes inside a submodule as a patch.

    Its tree is taken in the same way, with limits of its own. The objects stay unreachable in the
    submodule's repository and git's own housekeeping removes them.
    """
    try:
        submodule = submodule_at(draft.file(path))
        inner = _record_tree(submodule, draft.limits, scratch)
        patch = diff_to_head(submodule, inner.tree)
    except GitexpError as error:
        draft.warnings.append(
            f"The changes inside the submodule {_printable(path)} are not recorded: {error}"
        )
        return
    if patch:
        draft.patches[path] = patch
    below = path + b"/"
    draft.left_out |= {below + name: why for name, why in inner.left_out.items()}
    draft.digests |= {below + name: digest for name, digest in inner.digests.items()}
    draft.patches |= {below + name: patch for name, patch in inner.patches.items()}
    draft.nested += [below + name for name in inner.nested]
    draft.changed += [below + name for name in inner.changed]
    draft.warnings += inner.warnings


def _state(draft: _Draft) -> GitState:
    return GitState(
        head=draft.status.head,
        branch=draft.status.branch,
        dirty=draft.dirty,
        left_out=_listed(draft),
        submodules=tuple(map(display_path, draft.patches)),
        nested=tuple(map(display_path, _nested(draft))),
        changed=tuple(map(display_path, draft.changed)),
        assume_unchanged=draft.status.assume_unchanged,
        skip_worktree=draft.status.skip_worktree,
    )


def _nested(draft: _Draft) -> list[bytes]:
    return [path for path in draft.nested if path not in draft.left_out]


def _listed(draft: _Draft) -> tuple[LeftOut, ...]:
    """List what was left out, by file or, where that is too much, by folder.

    A path that ends with a slash stands for all that was left out below it for that reason.
    """
    if len(draft.left_out) <= _LISTED:
        return tuple(
            LeftOut(display_path(path), reason, size, draft.digests.get(path))
            for path, (reason, size) in sorted(draft.left_out.items())
        )
    depth = max(path.count(b"/") for path in draft.left_out)
    while len(sums := _by_folder(draft.left_out, depth)) > _LISTED and depth:
        depth -= 1
    return tuple(
        LeftOut(display_path(folder), reason, size) for (folder, reason), size in sums.items()
    )


def _by_folder(
    left_out: Mapping[bytes, tuple[str, int | None]], depth: int
) -> dict[tuple[bytes, str], int]:
    """Sum up sizes by reason and by folder, at most ``depth`` folders deep."""
    sums: dict[tuple[bytes, str], int] = {}
    for path, (reason, size) in sorted(left_out.items()):
        folders = path.split(b"/")[:-1][:depth]
        key = (b"/".join([*folders, b""]) or b"./", reason)
        sums[key] = sums.get(key, 0) + (size or 0)
    return sums


def _warnings(draft: _Draft) -> list[str]:
    limits = draft.limits
    reasons = {
        TOO_LARGE: f"larger than {_readable(limits.file_bytes)}",
        SECRET: "that look like secrets",
        OVER_TOTAL: "that would make it too large",
        UNREADABLE: "that cannot be read",
        FILTER_FAILED: "whose clean filter failed",
        NO_COMMITS: "that are repositories without commits",
    }
    sentences = list(draft.warnings)
    if not draft.status.submodules_read:
        sentences.append(
            "Changes inside submodules are not recorded, because git cannot read one of them."
        )
    for reason, words in reasons.items():
        paths = [path for path, (why, _) in sorted(draft.left_out.items()) if why == reason]
        if paths:
            sentences.append(f"The snapshot does not hold files {words}: {_names(paths)}.")
    if draft.patches:
        sentences.append(
            "Submodules with changes of their own are recorded by their commit, the changes as "
            f"patches: {_names(draft.patches)}."
        )
    if nested := _nested(draft):
        sentences.append(
            f"Nested repositories are recorded by their commit only: {_names(nested)}."
        )
    if draft.changed:
        sentences.append(f"Files changed while the snapshot was taken: {_names(draft.changed)}.")
    return sentences


def _names(paths: Iterable[bytes]) -> str:
    names = [_printable(path) for path in paths]
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _printable(path: bytes) -> str:
    text = display_path(path)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _readable(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def _is_file(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode)


def _is_recordable(found: os.stat_result) -> bool:
    """Say whether git can hold it: a file, a link, a submodule; not a pipe or a device."""
    return _is_file(found) or stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode)


def _size(settings: Mapping[str, str], name: str, default: int) -> int:
    text = settings.get(name.lower())
    if text is None:
        return default
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"The setting {name} is {text!r}, which is not a size.",
            f"Set it with 'git config {name} 10m'; k, m and g stand for KiB, MiB and GiB.",
        )
    return int(match[1]) * _UNITS[match[2].lower()]
