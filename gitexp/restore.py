"""Bring a run's code back into the work tree, and go back again, without losing work.

A run is a commit, so bringing its code back is ``git checkout``. What is added to git:

* Local changes that the checkout would overwrite stop it, ignored files and deletions included.
* With ``save`` the state is kept first: the work tree as a snapshot, the index as a file and as
  a tree, HEAD. Then HEAD and index are set to that snapshot, so that git itself sees a clean
  tree, and an edit made meanwhile still stops it.
* `checkout_back` (``checkout -``) undoes the latest checkout that is not yet undone: after
  A -> RUN1 -> RUN2 it leads to RUN1 and, called again, to A. It does not toggle, so that a saved
  state stays within reach however many runs were looked at meanwhile. Positions without a
  saved state that HEAD is at already are passed over.
* Any checkout can be interrupted. The state that undoes it is on disk before the first file
  changes (`gitexp.git.saved`); the next call, of whatever kind, first undoes what was left
  half done. So a repeated command starts afresh, and ``checkout -`` brings the old state back.

What was saved includes neither ignored files nor those that the snapshot left out. They stay in
place untouched; where one is in the way, git refuses even with ``save``. File modes are kept as
git keeps them: executable or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gitexp.errors import CheckoutError, GitCommandError
from gitexp.git import replaced, switch
from gitexp.git import saved as store
from gitexp.git.history import EMPTY_TREE
from gitexp.git.read import resolve
from gitexp.git.repository import Repository
from gitexp.git.saved import Entry, Position, Trail

Save = Callable[[], str]
"""Takes a snapshot of the work tree, keeps it alive by a ref, and returns its commit id."""


@dataclass(frozen=True)
class Restored:
    """What a checkout did.

    Attributes:
        target: Id of the commit whose code is there now; empty on a branch without commits.
        branch: The branch that HEAD names now; None when it is detached.
        worktree: The new linked worktree, for `checkout_worktree`.
        saved: Id of the snapshot that was taken first; None if none was asked for or needed.
        paths: The files that were replaced one by one, relative to the top of the work tree.
        previous: The branch, or else the commit, that HEAD named before.
    """

    target: str
    branch: str | None
    worktree: Path | None
    saved: str | None
    paths: tuple[str, ...]
    previous: str


def checkout(repository: Repository, commit: str, *, save: Save | None = None) -> Restored:
    """Check out a commit with HEAD detached, like ``git checkout RUN``.

    Args:
        repository: Where to work.
        commit: The id of a run's snapshot, or any revision.
        save: Called first if there is anything to keep.

    Raises:
        CheckoutError: Work would be lost, or something else forbids it; nothing was changed.
    """
    with _at_work(repository):
        return _switch(repository, commit, None, save)


def checkout_branch(
    repository: Repository, commit: str, branch: str, *, save: Save | None = None
) -> Restored:
    """Make a new branch at a commit and check it out, like ``git checkout -b BRANCH RUN``.

    Raises:
        CheckoutError: The branch exists, its name is not valid, or as for `checkout`.
    """
    _require_branch_name(repository, branch)
    with _at_work(repository):
        return _switch(repository, commit, branch, save)


def checkout_worktree(repository: Repository, commit: str, directory: Path) -> Restored:
    """Check out a commit in a new linked worktree; this work tree is not touched.

    Args:
        repository: A bare one will do.
        commit: The id of a run's snapshot, or any revision.
        directory: Must not exist, or be empty.

    Raises:
        CheckoutError: The directory is in use, or the commit is not here.
    """
    target = _require_commit(repository, commit)
    place = directory.absolute()
    if place.is_symlink() or place.is_file() or (place.is_dir() and any(place.iterdir())):
        raise CheckoutError(
            f"{switch.show_paths([str(place)])} exists already and is not an empty folder.",
            "Name a folder that does not exist.",
        )
    files = switch.changed_files(repository, None, target)
    switch.require_blobs(repository, target, (entry for _, entry in files.values()))
    head, branch = switch.read_head(repository)
    try:
        switch.git(repository, "worktree", "add", "--detach", "--quiet", "--", str(place), target)
    except GitCommandError as error:
        if not _is_worktree(place, target):
            raise CheckoutError(
                error.message, "See 'git worktree list'; 'git worktree prune' clears lost ones."
            ) from error
        switch.warn_of_hook()
    return Restored(target, None, place, None, (), branch or head or "")


def checkout_paths(
    repository: Repository, commit: str, paths: Sequence[str], *, save: Save | None = None
) -> Restored:
    """Bring single files of a commit back into work tree and index; HEAD stays.

    Args:
        repository: Where to work.
        commit: The id of a run's snapshot, or any revision.
        paths: Files, folders or patterns as for ``git checkout RUN -- PATH``, relative to the
            folder that the caller stood in. Files that the commit lacks stay as they are.
        save: Called first if there is anything to keep.

    Raises:
        CheckoutError: A path is not in the commit or lies outside of the work tree, local
            changes would be lost, or as for `checkout`; nothing was changed.
    """
    with _at_work(repository):
        target = _require_commit(repository, commit)
        _undo_unfinished(repository)
        files = replaced.select(repository, target, paths)
        switch.require_blobs(repository, target, files.values())
        head, branch = switch.read_head(repository)
        position = Position(store.new_token(), head, branch, target)
        position = _replace_files(repository, position, files, save)
    names = tuple(position.files or ())
    return Restored(target, branch, None, position.saved, names, position.name)


def checkout_back(repository: Repository, *, save: Save | None = None) -> Restored:
    """Undo the latest checkout that is not yet undone, like ``git checkout -``.

    If that checkout saved the state before it, work tree, index and HEAD are as they were;
    otherwise HEAD goes back, and local changes are kept or stop it as git does.

    Args:
        repository: Where to work.
        save: Called first if there is anything to keep; the next way back leads here.

    Raises:
        CheckoutError: There is nothing to go back from, or changes made since would be lost.
    """
    with _at_work(repository):
        head, branch = switch.read_head(repository)
        undone = _undo_unfinished(repository)
        if undone is None or undone.back:
            undone = _latest(repository)
            if undone.files is None:
                return _return_to(repository, undone, save)
            replaced.restore_files(repository, undone)
            _drop_latest(repository, undone)
        now, now_branch = switch.read_head(repository)
    names = tuple(undone.files or ())
    return Restored(now or "", now_branch, None, None, names, branch or head or "")


@contextmanager
def _at_work(repository: Repository) -> Iterator[None]:
    """Be the only checkout of a work tree that is fit for one.

    Raises:
        CheckoutError: It is not, or another one is running.
    """
    switch.require_calm(repository)
    with store.exclusive(repository):
        store.sweep(repository)
        yield


def undo_unfinished(repository: Repository) -> bool:
    """Undo a checkout that was interrupted; say whether there was one.

    Raises:
        CheckoutError: Files were edited since and would be lost.
    """
    with _at_work(repository):
        return _undo_unfinished(repository) is not None


def _undo_unfinished(repository: Repository) -> Position | None:
    """Undo a checkout of this work tree that was interrupted, and return it.

    Raises:
        CheckoutError: Files were edited since and would be lost.
    """
    trail = store.read_trail(repository)
    position = trail.pending
    if position is None:
        return None
    if position.files is not None:
        replaced.restore_files(repository, position)
    elif switch.read_head(repository)[0] in _stations(trail, position):
        _restore_tree(repository, position)
    elif position.saved:
        # The user has gone elsewhere with git, so the checkout counts as done.
        _finish(repository, replace(position, back=False))
        return None
    store.write_trail(repository, Trail(trail.positions))
    store.forget(repository, position)
    return position


def _stations(trail: Trail, position: Position) -> set[str | None]:
    """Return the commits that HEAD names in the course of a checkout."""
    stations = {position.head, position.saved or position.head, position.target}
    if position.back and trail.positions:
        stations.add(trail.positions[-1].head)
    return stations


def _switch(
    repository: Repository, commit: str, created: str | None, save: Save | None
) -> Restored:
    target = _require_commit(repository, commit)
    _undo_unfinished(repository)
    if created is not None and resolve(repository, f"refs/heads/{created}"):
        raise CheckoutError(
            f"The branch {created} exists already.",
            f"Choose another name, or go there with 'git checkout {created}'.",
        )
    head, branch = switch.read_head(repository)
    position = Position(store.new_token(), head, branch, target, created=created)
    position = _prepare(repository, position, save)
    arguments = ["--detach"] if created is None else ["-b", created, "--no-track"]
    with_hook = _move(
        repository, position, ["checkout", *arguments, target, "--"], (target, created)
    )
    _finish(repository, position)
    if not with_hook:
        switch.warn_of_hook()
    return Restored(target, created, None, position.saved, (), position.name)


def _replace_files(
    repository: Repository, position: Position, files: dict[str, Entry], save: Save | None
) -> Position:
    """Replace files one by one, and return the position with what they were."""
    store.copy_index(repository, position.token)
    try:
        position = replaced.plan_files(repository, position, files, save)
        if position.files:
            _begin(repository, position)
    except BaseException:
        store.forget(repository, position)
        raise
    if not position.files:
        store.forget(repository, position)
        return position
    try:
        failure = replaced.replace_files(repository, position)
    except Exception:
        _undo_unfinished(repository)
        raise
    _finish(repository, position)
    if failure:
        switch.warn_of_hook()
    return position


def _return_to(repository: Repository, top: Position, save: Save | None) -> Restored:
    """Go back to a position by moving HEAD."""
    head, branch = switch.read_head(repository)
    tip = resolve(repository, f"refs/heads/{top.branch}") if top.branch else top.head
    if top.saved is not None:
        _require_return(repository, top, tip, save)
    position = Position(store.new_token(), head, branch, top.saved or tip or EMPTY_TREE, back=True)
    position = _prepare(repository, position, save)
    if top.saved:
        with_hook = _move(
            repository, position, ["checkout", "--detach", top.saved, "--"], (top.saved, None)
        )
    elif tip is None:
        with_hook = _move(
            repository, position, ["switch", "--orphan", top.name], (None, top.branch)
        )
    else:
        words = [top.branch] if top.branch else ["--detach", tip]
        with_hook = _move(repository, position, ["checkout", *words, "--"], (tip, top.branch))
    if top.saved:
        switch.write_raw(repository, top.raw)
        switch.set_head(repository, top.head, top.branch)
        store.install_index(repository, top.token)
    _drop_latest(repository, top, position)
    if not with_hook:
        switch.warn_of_hook()
    return Restored(tip or "", top.branch, None, position.saved, (), position.name)


def _require_return(
    repository: Repository, top: Position, tip: str | None, save: Save | None
) -> None:
    """Check that a saved state can be brought back exactly.

    Raises:
        CheckoutError: Its branch has moved, or tracked files have changed since.
    """
    if tip != top.head:
        raise CheckoutError(
            f"The branch {top.branch} has moved since its state was saved as {top.saved}.",
            f"Look at the saved state with 'git exp checkout {top.saved}', "
            f"or take files from it with 'git checkout {top.saved} -- PATH'.",
        )
    changed = set(switch.local_changes(repository, "no")) - set(top.left_out)
    if changed and save is None:
        raise CheckoutError(
            f"Going back would overwrite changes made since: {switch.show_paths(changed)}.",
            switch.KEEP_HINT,
        )


def _require_commit(repository: Repository, commit: str) -> str:
    target = None if "\0" in commit else resolve(repository, commit)
    if target is None:
        raise CheckoutError(
            f"The commit {switch.show_paths([commit])} is not in this repository.",
            "Fetch 'refs/exprag/*' from where the run was recorded.",
        )
    return target


def _require_branch_name(repository: Repository, branch: str) -> None:
    try:
        if "\0" in branch:
            raise GitCommandError("a NUL")  # noqa: TRY301 - the same answer as git's
        switch.git(repository, "check-ref-format", f"refs/heads/{branch}")
        switch.git(repository, "check-ref-format", "--branch", branch)
    except GitCommandError as error:
        raise CheckoutError(
            f"{switch.show_paths([branch])!r} is not a valid branch name.",
            "See 'git help check-ref-format'.",
        ) from error


def _is_worktree(place: Path, target: str) -> bool:
    """Say whether a worktree was made although git failed: because of a hook."""
    if not (place / ".git").is_file():
        return False
    return switch.read_head(Repository.discover(place)) == (target, None)


def _prepare(repository: Repository, position: Position, save: Save | None) -> Position:
    """Put on disk what undoes a move of HEAD; save the state first if that is asked for.

    Raises:
        CheckoutError: Deleted files would come back, or content is missing here.
    """
    store.copy_index(repository, position.token)
    try:
        if save is not None and switch.local_changes(repository, "normal"):
            position = replace(position, saved=save())
        touched = _touched(repository, position)
        sides = touched.values()
        switch.require_blobs(repository, position.target, (after for _, after in sides))
        before = {path: sides[0] for path, sides in touched.items()}
        if position.saved:
            raw = switch.unreproducible(repository, before)
            left_out = _left_out(repository, position.head or EMPTY_TREE, position.saved)
            position = replace(position, raw=raw, left_out=left_out)
            store.keep(repository, position)
        else:
            _require_no_deletion(repository, before)
        unlike = tuple(switch.differing(repository, before))
        position = replace(position, unlike=unlike)
        _begin(repository, position)
    except BaseException:
        store.forget(repository, position)
        raise
    return position


def _left_out(repository: Repository, head: str, saved: str) -> tuple[str, ...]:
    """Return tracked files that have changes of which the saved snapshot knows nothing."""
    changed = switch.listed(
        repository, "diff", "-z", "--name-only", "--no-renames", "--ignore-submodules", head, "--"
    )
    return tuple(set(changed) - set(switch.changed_files(repository, head, saved)))


def _require_no_deletion(repository: Repository, before: switch.Files) -> None:
    deleted = set(switch.listed(repository, "ls-files", "-d", "-z")) & set(before)
    if deleted:
        raise CheckoutError(
            f"The checkout would undo deletions: {switch.show_paths(deleted)}.", switch.KEEP_HINT
        )


def _touched(
    repository: Repository, position: Position
) -> dict[str, tuple[Entry | None, Entry | None]]:
    """Return the files that a move of HEAD replaces, with what is there before and after.

    Staged changes are kept by git, and files outside of a sparse checkout are not there.
    """
    copy = store.index_copy(repository, position.token)
    left = position.saved or position.head
    changes = switch.changed_files(repository, left, position.target)
    records = switch.listed(repository, "ls-files", "-t", "-z", index=copy)
    spared = {record[2:] for record in records if record.startswith("S ")}
    if not position.saved:
        spared |= switch.staged(repository, position.head, copy)
    return {path: sides for path, sides in changes.items() if path not in spared}


def _begin(repository: Repository, position: Position) -> None:
    trail = store.read_trail(repository)
    store.write_trail(repository, Trail(trail.positions, position))


def _finish(repository: Repository, position: Position) -> None:
    """Put a position that was left on the stack."""
    trail = store.read_trail(repository)
    store.write_trail(repository, Trail((*trail.positions, position)))
    if not position.saved and position.files is None:
        store.forget(repository, position)


def _latest(repository: Repository) -> Position:
    """Return the position to go back to, and forget those that HEAD is at already.

    Raises:
        CheckoutError: There is none.
    """
    trail = store.read_trail(repository)
    here = switch.read_head(repository)
    positions = list(trail.positions)
    while positions and not positions[-1].saved and positions[-1].files is None:
        top = positions[-1]
        if (top.branch != here[1]) or (top.branch is None and top.head != here[0]):
            break
        positions.pop()
    if len(positions) != len(trail.positions):
        store.write_trail(repository, Trail(tuple(positions)))
    if not positions:
        raise CheckoutError(
            "There is no checkout to go back from.",
            "'git checkout -' goes to the branch that you were on last.",
        )
    return positions[-1]


def _drop_latest(repository: Repository, top: Position, left: Position | None = None) -> None:
    """Take the position that was gone back to off the stack; what was saved is in place again.

    Args:
        repository: Where to work.
        top: The latest position.
        left: Where the way back began; it is kept if its state was saved.
    """
    below = store.read_trail(repository).positions[:-1]
    if left is not None and left.saved:
        below = (*below, replace(left, back=False))
    store.write_trail(repository, Trail(below))
    store.forget(repository, top)
    if left is not None and not left.saved:
        store.forget(repository, left)


def _move(
    repository: Repository,
    position: Position,
    arguments: Sequence[str],
    goal: tuple[str | None, str | None],
) -> bool:
    """Run ``git checkout``; undo it all if it fails. Ctrl-C leaves it pending.

    Returns:
        False if the user's hook failed after everything was done.

    Raises:
        CheckoutError: git refused or failed; everything is as it was.
    """
    try:
        if position.saved:
            switch.set_head(repository, position.saved, None)
            switch.git(repository, "read-tree", "--reset", position.saved)
            switch.git(repository, "update-index", "-q", "--refresh")
        command, *words = arguments
        failure = switch.checkout(repository, command, "--no-overwrite-ignore", *words)
        if failure and switch.read_head(repository) != goal:
            raise failure  # noqa: TRY301 - undone like every other failure
    except Exception:
        _undo_unfinished(repository)
        raise
    return failure is None


def _restore_tree(repository: Repository, position: Position) -> None:
    """Bring files, HEAD and index back to where a move of HEAD began."""
    touched = _touched(repository, position)
    for path in position.unlike:
        touched.pop(path, None)
    before = {path: sides[0] for path, sides in touched.items()}
    after = {path: sides[1] for path, sides in touched.items()}
    switch.put_back(repository, before, [after], position.raw)
    if switch.read_head(repository) != (position.head, position.branch):
        switch.set_head(repository, position.head, position.branch)
    store.install_index(repository, position.token)
    if position.created and resolve(repository, f"refs/heads/{position.created}"):
        ref = f"refs/heads/{position.created}"
        switch.git(repository, "update-ref", "-d", ref, position.target)
