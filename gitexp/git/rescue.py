"""Bring objects back that are missing or corrupt here and whole elsewhere.

A repository with holes is a poor partner in a fetch: it says it has what it has not. So a remote is
fetched into a spare repository, and what is needed is copied out of that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from gitexp.errors import GitCommandError
from gitexp.git.objects import AS_STORED, Object, object_id, read_objects
from gitexp.git.process import run_git
from gitexp.git.repository import Repository
from gitexp.git.write import write_error

_WANTED = ("exprag", "notes", "heads", "tags")
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")


@contextlib.contextmanager
def spare_copy(repository: Repository, remote: str) -> Iterator[Repository]:
    """Fetch a remote, as the user's configuration has it, into a repository that is gone after.

    Args:
        repository: Whose remote.
        remote: Its name.

    Raises:
        GitCommandError: It cannot be fetched.
    """
    repository.home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spare-", dir=repository.home) as name:
        folder = Path(name)
        run_git(["init", "--quiet", "--bare", name], cwd=folder, environment=_ELSEWHERE)
        spare = Repository(folder, folder, None, "")
        spare.git(["config", "include.path", str(repository.common_dir / "config")])
        refspecs = [f"+refs/{part}/*:refs/spare/{part}/*" for part in _WANTED]
        # Where the user stands: the address of a remote may be relative.
        run_git(
            ["-c", "gc.auto=0", *_FETCH, "--end-of-options", remote, *refspecs],
            cwd=repository.top,
            environment={**_ELSEWHERE, "GIT_DIR": name},
        )
        yield spare


_ELSEWHERE = dict.fromkeys(
    ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"), None
)


def copy_objects(repository: Repository, spare: Repository, oids: Sequence[str]) -> list[str]:
    """Copy objects, and what they reach, out of another repository; return what was copied.

    What is here and sound stays as it is.
    """
    there = [found.oid for found in read_objects(spare, oids) if not found.problem]
    if not there:
        return []
    names = "".join(f"{oid}\n" for oid in there).encode("ascii")
    listed = spare.git(["rev-list", "--objects", "--stdin"], stdin=names).decode("utf-8", "replace")
    reached = dict.fromkeys([*there, *(line[:40] for line in listed.splitlines())])
    wanted = [found.oid for found in read_objects(repository, list(reached)) if found.problem]
    copied = []
    for found in read_objects(spare, wanted):
        if not found.problem:
            write_loose(repository, found)
            copied.append(found.oid)
    return copied


def write_loose(repository: Repository, found: Object) -> None:
    """Write an object as a file of its own, even where a pack claims to have it.

    Raises:
        GitexpError: It could not be written.
    """
    path = loose_path(repository, found.oid)
    head = b"%b %d\0" % (found.kind.encode("ascii"), len(found.content))
    try:
        path.parent.mkdir(exist_ok=True)
        set_aside(repository, path)
        descriptor, draft = tempfile.mkstemp(prefix="tmp_obj_", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(zlib.compress(head + found.content))
            os.fsync(file.fileno())
        Path(draft).chmod(0o444)
        Path(draft).replace(path)
    except OSError as error:
        raise write_error(error, f"write the object {found.oid}") from error


def write_blob_of(repository: Repository, oid: str, contents: Iterator[bytes]) -> bool:
    """Write the one of the contents whose blob has this id; say whether there was one."""
    for content in contents:
        if object_id("blob", content) == oid:
            write_loose(repository, Object(oid, "blob", content, ""))
            return True
    return False


def loose_path(repository: Repository, oid: str) -> Path:
    """Return where an object stands that is a file of its own."""
    return objects_folder(repository) / oid[:2] / oid[2:]


def objects_folder(repository: Repository) -> Path:
    """Return the folder of the repository's objects."""
    words = ["rev-parse", "--path-format=absolute", "--git-path", "objects"]
    return Path(os.fsdecode(repository.git(words).rstrip(b"\n")))


def set_aside(repository: Repository, path: Path) -> Path | None:
    """Move a damaged file to ``<common dir>/exprag/damaged``; return where it is now.

    Its path below the common directory is kept. Does nothing where there is no such file.
    """
    if not path.exists():
        return None
    try:
        below = path.relative_to(repository.common_dir)
    except ValueError:
        below = Path(path.name)
    place = repository.home / "damaged" / below
    place.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while place.exists():
        number += 1
        place = place.with_name(f"{path.name}.{number}")
    path.replace(place)
    return place


def repack_without(repository: Repository, packs: Collection[Path]) -> None:
    """Write all objects into new packs, when a pack has bad ones of which there are good copies.

    The packs are kept in ``<common dir>/exprag/damaged/packs`` first.

    Raises:
        GitCommandError: git could not; everything is as before.
    """
    folder = repository.home / "damaged" / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    for pack in packs:
        for path in pack.parent.glob(f"{pack.stem}.*"):
            if not (folder / path.name).exists():
                shutil.copy2(path, folder / path.name)
    repository.git(["-c", "gc.auto=0", "repack", "-A", "-d", "--quiet"])


def damaged_packs(repository: Repository) -> list[Path]:
    """Return the packs that git finds damaged."""
    found = []
    for pack in sorted((objects_folder(repository) / "pack").glob("*.pack")):
        try:
            repository.git(["verify-pack", str(pack)])
        except GitCommandError:
            found.append(pack)
    return found


def loose_commits(repository: Repository, reached: Collection[str]) -> list[Object]:
    """Return the commits that are here and not among those that are reached.

    Raises:
        GitCommandError: git gave up at a damaged object.
    """
    listed = repository.git(
        [
            "cat-file",
            "--batch-all-objects",
            "--unordered",
            "--buffer",
            "--batch-check=%(objecttype) %(objectname)",
        ],
        environment=AS_STORED,
    )
    commits = [line[7:] for line in listed.decode("ascii").split("\n") if line[:7] == "commit "]
    found = read_objects(repository, [oid for oid in commits if oid not in reached])
    return [each for each in found if not each.problem]


def move_refs(repository: Repository, *commands: str) -> None:
    """Run commands of ``git update-ref --stdin``, all or none of them; no log is begun.

    Raises:
        GitCommandError: A ref is not as a command says.
    """
    repository.git(
        ["-c", "core.logAllRefUpdates=false", "update-ref", "--stdin"],
        stdin="".join(f"{command}\n" for command in commands).encode("ascii"),
    )
    repository.forget_objects()
