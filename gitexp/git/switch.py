"""Change the files of a work tree through the git program, and put them back.

Moving HEAD is ``git checkout`` itself: filters, hooks, sparse checkouts and submodule settings
do what the user configured. ``--no-overwrite-ignore`` makes it refuse where an ignored file is
in the way; without it git overwrites ignored files silently.

Putting files back (`put_back`) is what undoes a checkout of paths and a checkout that was
interrupted. It only ever replaces a file whose content is one that it was told about (or the
beginning of one: git was killed while it wrote), so an edit made in between is never lost.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from gitexp.errors import CheckoutError, GitCommandError, GitexpWarning
from gitexp.git.history import EMPTY_TREE
from gitexp.git.process import last_line, run_git, start_git
from gitexp.git.repository import Repository
from gitexp.git.saved import Entry, index_is_locked
from gitexp.git.status import display_path

_GITLINK = "160000"
_ABSENT = "000000"
_STOP_SECONDS = 10.0
"""How long git may take to remove its locks after a Ctrl-C before it is killed."""

_OPERATIONS = {
    "MERGE_HEAD": "A merge",
    "CHERRY_PICK_HEAD": "A cherry-pick",
    "REVERT_HEAD": "A revert",
    "rebase-merge": "A rebase",
    "rebase-apply": "A rebase or 'git am'",
    "sequencer": "A cherry-pick or revert",
}
KEEP_HINT = "Repeat it with --save to keep the changes first, or commit or stash them."
Files = Mapping[str, Entry | None]
"""Files by path relative to the top of the work tree; None where there is to be none."""


def git(
    repository: Repository,
    *arguments: str,
    stdin: bytes | None = None,
    index: Path | None = None,
    cwd: Path | None = None,
) -> bytes:
    """Run git at the top of the work tree or in ``cwd``, on another index if one is given."""
    environment = _environment(repository)
    if index:
        environment["GIT_INDEX_FILE"] = str(index)
    return run_git(arguments, cwd=cwd or repository.top, stdin=stdin, environment=environment)


def _environment(repository: Repository) -> dict[str, str]:
    # Hooks inherit these variables, so they are set only where a relative GIT_DIR would mislead.
    return repository.environment if "GIT_DIR" in os.environ else {}


def caller_folder(repository: Repository) -> Path:
    """Return the folder the caller stood in; git keeps the folder that it was started in."""
    folder = repository.require_work_tree() / repository.prefix
    return folder if folder.is_dir() else repository.top


def require_calm(repository: Repository) -> None:
    """Check that there is a work tree and that no merge or the like is under way.

    Raises:
        CheckoutError: Otherwise.
    """
    if repository.work_tree is None:
        raise CheckoutError(
            "This is a bare repository: it has no work tree to change.",
            "Use --worktree DIR to get the code in a folder of its own.",
        )
    for name, operation in _OPERATIONS.items():
        if (repository.git_dir / name).exists():
            raise CheckoutError(
                f"{operation} is in progress.",
                "Finish or abort it first; 'git status' says how. "
                "With --worktree DIR the code can be had beside it.",
            )
    unmerged = listed(repository, "ls-files", "-u", "-z")
    if unmerged:
        names = {record.partition("\t")[2] for record in unmerged}
        raise CheckoutError(
            f"There are unresolved conflicts: {show_paths(names)}.",
            "Resolve them and 'git add' the files first.",
        )


def read_head(repository: Repository) -> tuple[str | None, str | None]:
    """Return HEAD's commit (None if unborn) and the short name of its branch (None if detached)."""
    try:
        commit = git(repository, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
    except GitCommandError:
        commit = b""
    try:
        ref = git(repository, "symbolic-ref", "--quiet", "HEAD")
    except GitCommandError:
        ref = b""
    branch = os.fsdecode(ref.rstrip(b"\n")).removeprefix("refs/heads/")
    return commit.decode("ascii").strip() or None, branch or None


def set_head(repository: Repository, commit: str | None, branch: str | None) -> None:
    """Point HEAD at a branch, or at a commit, without touching index or work tree."""
    if branch is not None:
        git(repository, "symbolic-ref", "-m", "gitexp: back", "HEAD", f"refs/heads/{branch}")
    elif commit is not None:
        git(repository, "update-ref", "--no-deref", "-m", "gitexp: back", "HEAD", commit)


def changed_files(
    repository: Repository, before: str | None, after: str
) -> dict[str, tuple[Entry | None, Entry | None]]:
    """Return the files that differ between two commits, with both sides; submodules left out.

    Args:
        repository: Where to look.
        before: None for no files at all.
        after: A commit.

    Raises:
        CheckoutError: A tree is missing from the object database.
    """
    arguments = ["diff-tree", "-r", "-z", "--no-renames", before or EMPTY_TREE, after]
    try:
        fields = git(repository, *arguments).split(b"\0")
    except GitCommandError as error:
        raise _missing(after, error.message) from error
    changes: dict[str, tuple[Entry | None, Entry | None]] = {}
    for raw, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, mode, old, new, _ = raw.decode("ascii")[1:].split(" ")
        changes[os.fsdecode(path)] = (_entry(old_mode, old), _entry(mode, new))
    return {path: sides for path, sides in changes.items() if sides != (None, None)}


def _entry(mode: str, blob: str) -> Entry | None:
    return None if mode in (_ABSENT, _GITLINK) else (mode, blob)


def require_blobs(repository: Repository, commit: str, files: Iterable[Entry | None]) -> None:
    """Check that the content of files is here: ``git checkout`` goes on without what is missing.

    A partial clone fetches what it lacks, so nothing is asked of it.

    Raises:
        CheckoutError: A blob is missing.
    """
    blobs = {entry[1] for entry in files if entry}
    if not blobs or "extensions.partialclone" in _extensions(repository):
        return
    listing = "\n".join(blobs).encode()
    answer = git(repository, "cat-file", "--batch-check=%(objectname)", stdin=listing)
    missing = [line for line in answer.splitlines() if line.endswith(b" missing")]
    if missing:
        raise _missing(commit, f"{len(missing)} files have no content, among them {missing[0]!r}")


def _extensions(repository: Repository) -> str:
    try:
        output = git(repository, "config", "--name-only", "--get-regexp", r"^extensions\.")
    except GitCommandError:
        return ""  # git config exits with 1 when nothing matches
    return output.decode("utf-8", "replace").lower()


def _missing(commit: str, reason: str) -> CheckoutError:
    return CheckoutError(
        f"The files of {commit} are not complete in this repository: {reason}.",
        "Fetch them again from where they came, for example with 'git exp pull', "
        "and look at the repository with 'git fsck'.",
    )


def listed(
    repository: Repository, *arguments: str, index: Path | None = None, cwd: Path | None = None
) -> list[str]:
    """Return the paths that a git command printed, each ended by NUL."""
    output = git(repository, *arguments, index=index, cwd=cwd)
    return [os.fsdecode(path) for path in output.split(b"\0") if path]


def local_changes(repository: Repository, untracked: str) -> list[str]:
    """Return changed paths; ``untracked`` is an option of ``git status``."""
    records = listed(
        repository,
        *("status", "--porcelain", "-z", "--no-renames"),
        *("--ignore-submodules=all", f"--untracked-files={untracked}"),
    )
    return [record[3:] for record in records]


def staged(repository: Repository, head: str | None, index: Path) -> set[str]:
    """Return the paths whose index entry differs from a commit's."""
    arguments = ("diff-index", "--cached", "-z", "--name-only", "--no-renames", head or EMPTY_TREE)
    return set(listed(repository, *arguments, "--", index=index))


def index_entries(repository: Repository, index: Path, paths: Iterable[str]) -> dict[str, Entry]:
    """Return those of the paths that an index holds."""
    wanted = set(paths)
    entries: dict[str, Entry] = {}
    for record in git(repository, "ls-files", "-s", "-z", index=index).split(b"\0"):
        head, _, path = record.partition(b"\t")
        if os.fsdecode(path) in wanted:
            mode, blob, _ = head.decode("ascii").split(" ")
            entries[os.fsdecode(path)] = (mode, blob)
    return entries


def set_entries(repository: Repository, files: Files, index: Path | None = None) -> None:
    """Make index entries what they are told to be; None removes one."""
    lines = []
    for path, entry in files.items():
        mode, blob = entry or (_ABSENT, "0" * 40)
        lines.append(f"{mode} {blob}\t".encode() + os.fsencode(path) + b"\0")
    if lines:
        git(repository, "update-index", "-z", "--index-info", stdin=b"".join(lines), index=index)


@contextmanager
def temporary_index(repository: Repository, files: Files) -> Iterator[Path]:
    """Make an index that holds these files only; it is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
        index = Path(folder, "index")
        set_entries(repository, {p: e for p, e in files.items() if e}, index)
        yield index


def differing(repository: Repository, files: Files) -> set[str]:
    """Return the paths whose file is there and is not what ``files`` says."""
    there = {path for path in files if os.path.lexists(repository.top / path)}
    present = {path: entry for path, entry in files.items() if entry and path in there}
    if not present:
        return there
    with temporary_index(repository, present) as index:
        git(repository, "update-index", "-q", "--refresh", index=index)
        changed = listed(repository, "diff-files", "-z", "--name-only", index=index)
    return (there - set(present)) | set(changed)


def put_back(
    repository: Repository, wanted: Files, known: Sequence[Files], raw: Mapping[str, str]
) -> None:
    """Make files what they were, unless that would lose a content that nobody knows.

    Args:
        repository: Whose work tree.
        wanted: The files as they are to be.
        known: What they may be now, beside missing and as wanted; same paths.
        raw: By path, blobs to write byte for byte instead of what filters make of ``wanted``.

    Raises:
        CheckoutError: Some files are neither; nothing was changed.
    """
    changed = differing(repository, wanted)
    unknown = set(changed)
    for files in known:
        unknown &= differing(repository, {path: files[path] for path in unknown})
    unknown = {p for p in unknown if not any(_unfinished(repository, p, f[p]) for f in known)}
    missing = {p for p, e in wanted.items() if e and not os.path.lexists(repository.top / p)}
    write = {p: e for p, e in wanted.items() if e and p in changed | missing}
    remove = {p for p in changed if not wanted[p]}
    unknown |= obstacles(repository, write, remove)
    if unknown:
        raise CheckoutError(
            f"Going back would overwrite changes made since: {show_paths(unknown)}.",
            "Commit these files or move them away, then repeat the command.",
        )
    for path in remove:
        _remove(repository, path)
    if write:
        with temporary_index(repository, write) as index:
            names = b"".join(os.fsencode(path) + b"\0" for path in write)
            git(repository, "checkout-index", "-f", "-z", "--stdin", stdin=names, index=index)
    write_raw(repository, {path: blob for path, blob in raw.items() if path in write})


def obstacles(repository: Repository, files: Iterable[str], gone: set[str]) -> set[str]:
    """Return what stands where a file is to be written: a folder, or a file or link above it.

    Args:
        repository: Whose work tree.
        files: The paths to be written.
        gone: Paths that will have been removed by then.
    """
    found: set[str] = set()
    for path in files:
        target = repository.top / path
        if target.is_dir() and not target.is_symlink() and not _will_vanish(target, gone, path):
            found.add(path)
        parts = path.split("/")[:-1]
        for parent in ("/".join(parts[: i + 1]) for i in range(len(parts))):
            place = repository.top / parent
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                found |= {parent} - gone
                break
    return found


def _will_vanish(folder: Path, gone: set[str], path: str) -> bool:
    """Say whether a folder holds nothing but files that will have been removed."""
    for place, folders, names in os.walk(folder):
        below = os.path.relpath(place, folder)
        prefix = path if below == "." else f"{path}/{below}"
        links = [name for name in folders if Path(place, name).is_symlink()]
        if any(f"{prefix}/{name}" not in gone for name in [*names, *links]):
            return False
    return True


def _unfinished(repository: Repository, path: str, entry: Entry | None) -> bool:
    """Say whether a file is the beginning of an entry's content: git was killed writing it."""
    target = repository.top / path
    if entry is None or target.is_symlink() or not target.is_file():
        return False
    try:
        whole = smudged(repository, path, entry)
    except GitCommandError:
        return False
    return whole.startswith(target.read_bytes())


def smudged(repository: Repository, path: str, entry: Entry) -> bytes:
    """Return the bytes that a checkout writes for an entry, filters and line ends applied."""
    return git(repository, "cat-file", "--filters", f"--path={path}", entry[1])


def _remove(repository: Repository, path: str) -> None:
    """Remove a file, and the folders that are empty without it."""
    target = repository.top / path
    target.unlink()
    for folder in target.relative_to(repository.top).parents[:-1]:
        place = repository.top / folder
        if any(place.iterdir()) or place == caller_folder(repository):
            break
        place.rmdir()


def unreproducible(repository: Repository, files: Files) -> dict[str, str]:
    """Store the bytes of files that a checkout of their entries would not give back.

    A clean filter or a line-end conversion can lose something (notebook outputs, CRLF).

    Returns:
        The blobs by path.
    """
    blobs: dict[str, str] = {}
    for path, entry in files.items():
        target = repository.top / path
        if entry is None or target.is_symlink() or not target.is_file():
            continue
        content = target.read_bytes()
        if _blob_id(content) == entry[1] or smudged(repository, path, entry) == content:
            continue
        output = git(repository, "hash-object", "-w", "--no-filters", "--stdin", stdin=content)
        blobs[path] = output.decode("ascii").strip()
    return blobs


def write_raw(repository: Repository, raw: Mapping[str, str]) -> None:
    """Write files byte for byte from their blobs, without filters."""
    for path, blob in raw.items():
        content = git(repository, "cat-file", "blob", blob)
        (repository.top / path).write_bytes(content)


def _blob_id(content: bytes) -> str:
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def checkout(
    repository: Repository, command: str, *arguments: str, stdin: bytes | None = None
) -> CheckoutError | None:
    """Run ``git checkout``, or another command that moves HEAD, for the user.

    Returns:
        What went wrong; None if nothing did. The caller looks at what became of it: a hook
        ``post-checkout`` that fails makes git exit with its status after everything was done.
    """
    process = start_git(
        [command, "--quiet", *arguments],
        cwd=repository.top if stdin is not None else caller_folder(repository),
        environment=_environment(repository),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
    )
    try:
        _, errors = process.communicate(stdin)
    except BaseException:
        _stop(process)
        raise
    return _failure(repository, errors) if process.returncode else None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End git so that it removes its lock files; kill it only if it does not."""
    process.terminate()
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _failure(repository: Repository, errors: bytes) -> CheckoutError:
    text = errors.decode("utf-8", "surrogateescape")
    paths = [line[1:] for line in text.splitlines() if line.startswith("\t")]
    if paths:
        return CheckoutError(
            f"The checkout would overwrite local changes or files in the way: {show_paths(paths)}.",
            "Repeat it with --save to keep the changes first, or commit or stash them; "
            "ignored files and files left out of the snapshot have to be moved away.",
        )
    if "index.lock" in text:
        return index_is_locked(repository.git_dir / "index.lock")
    line = display_path(os.fsencode(last_line(text)))
    return CheckoutError(f"git checkout failed: {line}", "Nothing was changed.")


def show_paths(paths: Iterable[str], limit: int = 10) -> str:
    """Return paths as one line for a message, without control characters, the first few only."""
    names = sorted(paths)
    shown = [display_path(os.fsencode(name)) for name in names[:limit]]
    text = ", ".join(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
        for name in shown
    )
    more = len(names) - limit
    return f"{text} and {more} more" if more > 0 else text


def warn_of_hook() -> None:
    """Say that the checkout was done and the user's hook was not."""
    warnings.warn("The hook post-checkout failed; the checkout itself is done.", GitexpWarning, 2)
