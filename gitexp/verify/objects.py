"""Objects: all that the project's refs reach is here and sound.

git's own check looks at the whole repository. Only where it complains are the refs of ours
followed, object by object, to tell what of it is ours and what is the user's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitexp.git import refs
from gitexp.git.fsck import Complaint, complaints, damaged_derived
from gitexp.git.objects import Object, is_folder, parse_commit, parse_tree, read_objects
from gitexp.store.read import noted_run
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.store import Store, text

_LINK = b"160000"
_PIECE = 2_000
"""Objects that are held in memory at a time."""


class Place:
    """Where an object was met first: a ref, and the path in a tree behind it."""

    __slots__ = ("path", "ref")

    def __init__(self, ref: str, path: bytes) -> None:
        self.ref = ref
        self.path = path


def check_objects(store: Store, said: Sequence[Complaint]) -> Iterator[Finding]:
    """Yield which objects are missing or damaged, given what ``git fsck`` said."""
    for derived in damaged_derived(store.repository):
        message = f"git's {derived.name} is damaged: {derived.reason.rstrip('.')}."
        remedy = f"Delete the file, or {REPAIR[0].lower()}{REPAIR[1:]}; git makes it again."
        yield Finding("derived", "repairable", message, remedy, True, path=str(derived.path))
    if not said:
        return
    said = [complaint for complaint in said if not _is_over(store, complaint)]
    if not said:
        return
    reach = Reach(store)
    yield from (_object_finding(store, oid, *found) for oid, found in reach.bad.items())
    for complaint in said:
        yield from _complaint(complaint, reach)


def _is_over(store: Store, complaint: Complaint) -> bool:
    """Say whether git missed what was being written while it looked."""
    if not complaint.text.startswith("missing "):
        return False
    found = read_objects(store.repository, complaint.oids)
    return not any(each.problem for each in found)


def _object_finding(store: Store, oid: str, place: Place, problem: str) -> Finding:
    run = noted_run(place.path) or (
        place.ref.removeprefix(refs.RUNS) if place.ref.startswith(refs.RUNS) else ""
    )
    if store.remotes:
        remedy = f"{REPAIR}: it asks for the object at {', '.join(store.remotes)}."
    else:
        remedy = f"Name a clone that has it with 'git remote add NAME URL'. {REPAIR} then."
    message = f"The object {oid} {problem}."
    return Finding("object", "lost", message, remedy, True, place.ref, run, text(place.path))


def _complaint(complaint: Complaint, reach: Reach) -> Iterator[Finding]:
    """Yield what git complains of and is not found already."""
    if any(oid in reach.bad for oid in complaint.oids):
        return
    ours = next((reach.places[oid] for oid in complaint.oids if oid in reach.places), None)
    if ours is None:
        message = f"git finds fault with what is not gitexp's: {complaint.text}."
        yield Finding("other", "note", message, "Run 'git fsck' to see all of it.")
    else:
        message = f"git finds fault with an object, which is here and whole: {complaint.text}."
        remedy = "Run 'git fsck' to see all of it."
        yield Finding("other", "note", message, remedy, ref=ours.ref, path=text(ours.path))


class Reach:
    """All that the refs of ours reach.

    Attributes:
        places: Object id -> where it was met first.
        bad: Those that cannot be read, and what is wrong with each.
    """

    def __init__(self, store: Store) -> None:
        """Follow every ref, through whatever can be read."""
        self._store = store
        self.places: dict[str, Place] = {}
        self.bad: dict[str, tuple[Place, str]] = {}
        level: list[str] = []
        shallow = _shallow(store)
        for ref, oid in sorted(store.refs.items(), key=lambda item: _importance(item[0])):
            self._meet(oid, Place(ref, b""), level)
        while level:
            below: list[str] = []
            for start in range(0, len(level), _PIECE):
                for found in read_objects(store.repository, level[start : start + _PIECE]):
                    self._follow(found, below, shallow)
            level = below

    def _meet(self, oid: str, place: Place, level: list[str]) -> None:
        if oid not in self.places:
            self.places[oid] = place
            level.append(oid)

    def _follow(self, found: Object, below: list[str], shallow: set[str]) -> None:
        place = self.places[found.oid]
        if found.problem:
            self.bad[found.oid] = (place, found.problem)
        elif found.kind == "commit":
            commit = parse_commit(found.content)
            self._meet(commit.tree, place, below)
            for parent in () if found.oid in shallow else commit.parents:
                self._meet(parent, place, below)
        elif found.kind == "tree":
            for entry in parse_tree(found.content):
                path = place.path + entry.path + (b"/" if is_folder(entry) else b"")
                if entry.mode != _LINK:
                    self._meet(entry.oid, Place(place.ref, path), below)


def _importance(ref: str) -> tuple[bool, bool, str]:
    """Order refs: the shards first, then snapshots, then what is on remotes."""
    return ref.startswith(refs.REMOTES), ref.startswith((refs.RUNS, refs.CODE)), ref


def _shallow(store: Store) -> set[str]:
    """Return the commits behind which a shallow clone ends."""
    try:
        return set((store.repository.common_dir / "shallow").read_text("ascii").split())
    except FileNotFoundError:
        return set()


def fsck(store: Store) -> list[Complaint]:
    """Return what ``git fsck`` has to say; it may run beside the other checks."""
    return complaints(store.repository)
