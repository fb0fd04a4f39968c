"""A checkout of single files: what they are now, how they are replaced, how they come back.

``git checkout COMMIT -- PATH`` overwrites without asking, so everything is looked at first: a
file may be replaced if it is missing, or as in the commit, or as it is kept somewhere (in the
index when nothing is saved, else in the saved snapshot).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gitexp.errors import CheckoutError, GitCommandError
from gitexp.git import saved as store
from gitexp.git import switch
from gitexp.git.repository import Repository
from gitexp.git.saved import Entry, FileState, Position

_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")


def select(repository: Repository, target: str, paths: Sequence[str]) -> dict[str, Entry]:
    """Return the files of a commit that paths name, without those a sparse checkout leaves out.

    Raises:
        CheckoutError: A path names none.
    """
    sides = switch.changed_files(repository, None, target)
    tree = {path: entry for path, (_, entry) in sides.items() if entry}
    records = switch.listed(repository, "ls-files", "-t", "-z")
    spared = {record[2:] for record in records if record.startswith("S ")}
    found: dict[str, Entry] = {}
    with switch.temporary_index(repository, tree) as index:
        for path in paths:
            names = _match(repository, index, path)
            if not set(names) - spared:
                raise CheckoutError(
                    f"The run {target} has no file {switch.show_paths([path])} to bring back.",
                    f"'git ls-tree -r --name-only {target}' lists its files.",
                )
            found.update({name: tree[name] for name in names if name not in spared})
    return dict(sorted(found.items()))


def _match(repository: Repository, index: Path, path: str) -> list[str]:
    """Return the files of an index that one path of the caller names.

    Raises:
        CheckoutError: It is no path in this work tree.
    """
    if not path or "\0" in path:
        raise CheckoutError("An empty path, or one with a NUL, names no file.")
    here = switch.caller_folder(repository)
    command = ("ls-files", "-z", "--full-name", "--", path)
    try:
        return switch.listed(repository, *command, index=index, cwd=here)
    except GitCommandError as error:
        raise CheckoutError(
            f"{switch.show_paths([path])} is not a path in the work tree {repository.work_tree}.",
            "Paths are relative to the current folder.",
        ) from error


def plan_files(
    repository: Repository,
    position: Position,
    files: dict[str, Entry],
    save: Callable[[], str] | None,
) -> Position:
    """Say what each file that has to change is now; keep what only this position knows.

    Raises:
        CheckoutError: Local changes, or something else in the way, would be lost.
    """
    copy = store.index_copy(repository, position.token)
    index = switch.index_entries(repository, copy, files)
    there = {path for path in files if os.path.lexists(repository.top / path)}
    unlike = switch.differing(repository, files)
    changed = {
        path: entry
        for path, entry in files.items()
        if path in unlike or path not in there or index.get(path) != entry
    }
    if not changed:
        return replace(position, files={})
    if save is not None and switch.local_changes(repository, "normal"):
        position = replace(position, saved=save())
    known = _known_files(repository, position, changed, index)
    lost = unlike & switch.differing(repository, known)
    lost |= switch.obstacles(repository, changed, set())
    if not position.saved:
        staged = switch.staged(repository, position.head, copy) & set(index)
        lost |= {path for path in staged & set(changed) if index[path] != changed[path]}
    if lost:
        raise CheckoutError(
            f"The checkout would overwrite local changes or files in the way: "
            f"{switch.show_paths(lost)}.",
            switch.KEEP_HINT + " Ignored files and folders have to be moved away.",
        )
    before = {
        path: None if path not in there else known[path] if path in unlike else entry
        for path, entry in changed.items()
    }
    return _describe(repository, position, before, changed, index)


def _describe(
    repository: Repository,
    position: Position,
    before: switch.Files,
    changed: dict[str, Entry],
    index: dict[str, Entry],
) -> Position:
    """Return the position with the state of each file, kept out of reach of garbage collection."""
    intended = _intended(repository, store.index_copy(repository, position.token), index)
    states = {
        path: FileState(before[path], index.get(path), entry, path in intended)
        for path, entry in changed.items()
    }
    position = replace(position, files=states, raw=switch.unreproducible(repository, before))
    store.keep(repository, position)
    return position


def _known_files(
    repository: Repository,
    position: Position,
    changed: dict[str, Entry],
    index: dict[str, Entry],
) -> dict[str, Entry | None]:
    """Return the content of files that is kept somewhere: in the saved snapshot or the index."""
    if not position.saved:
        return {path: index.get(path) for path in changed}
    sides = switch.changed_files(repository, position.saved, position.target)
    return {path: sides[path][0] if path in sides else entry for path, entry in changed.items()}


def _intended(repository: Repository, index: Path, paths: dict[str, Entry]) -> set[str]:
    """Return the paths that are in the index by ``git add -N`` only: no tree is made of them."""
    tree = switch.git(repository, "write-tree", "--missing-ok", index=index).decode().strip()
    return set(paths) - set(switch.listed(repository, "ls-tree", "-r", "-z", "--name-only", tree))


def replace_files(repository: Repository, position: Position) -> CheckoutError | None:
    """Run ``git checkout COMMIT -- PATH`` for the files of a position.

    Returns:
        The failure of a hook, after everything was done; None if there was none.

    Raises:
        CheckoutError: git failed.
    """
    files = position.files or {}
    words = (position.target, *_FROM_STDIN)
    failure = switch.checkout(repository, "checkout", *words, stdin=_literal(files))
    if failure and switch.differing(repository, {path: s.target for path, s in files.items()}):
        raise failure
    return failure


def restore_files(repository: Repository, position: Position) -> None:
    """Bring the files of a checkout of paths back, in work tree and index.

    Raises:
        CheckoutError: They have been changed since.
    """
    files = position.files or {}
    now = switch.index_entries(repository, repository.git_dir / "index", files)
    staged = {p for p, entry in now.items() if entry not in (files[p].target, files[p].index)}
    if staged:
        raise CheckoutError(
            f"Going back would lose staged changes: {switch.show_paths(staged)}.",
            "Commit or unstage them, then repeat the command.",
        )
    before = {path: state.before for path, state in files.items()}
    target = {path: state.target for path, state in files.items()}
    switch.put_back(repository, before, [target], position.raw)
    intended = [path for path, state in files.items() if state.intended]
    entries = {path: None if state.intended else state.index for path, state in files.items()}
    switch.set_entries(repository, entries)
    if intended:
        names = _literal(intended)
        switch.git(repository, "add", "--force", "--intent-to-add", *_FROM_STDIN, stdin=names)
    switch.git(repository, "update-index", "-q", "--refresh")


def _literal(paths: Iterable[str]) -> bytes:
    """Return pathspecs that mean just these files, relative to the top of the work tree."""
    return b"".join(b":(top,literal)" + os.fsencode(path) + b"\0" for path in paths)
