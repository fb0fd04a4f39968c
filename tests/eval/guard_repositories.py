"""Real diffs through the whole guard: trees, changes, levels.

Each pull request (its head against where it left the main branch), or else each commit against its
first parent, is written as a run whose snapshot has that base; then every run is checked by those
before it. Truth is made without gitexp: two changes are the same patch where ``git patch-id
--stable`` says so of what git diffs of the files that matter, or where they add and remove the
same lines, white space and comments behind ``#`` apart. Code is the same where those files are.
That second sense is what the guard means too, but it is made of lines by a search for ``#``.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pygit2

from gitexp.memory import Memory
from gitexp.research.cache import open_in_memory
from gitexp.research.code import IGNORED
from gitexp.research.guard.novelty import Finding, Guard
from tests.eval.guard_store import new_repository, write_commits

_EXCLUDED = [f":(exclude,glob)**/{pattern}" for pattern in IGNORED if "/" not in pattern]
_SPACE = re.compile(r"\s+")
_HASHED = (".py", ".yaml", ".yml", ".toml", ".sh")
MAX_DIFF_BYTES = 2 << 20


class Change(NamedTuple):
    """A change of a repository: what was tried.

    Attributes:
        patch: git's patch-id of the files that matter; empty where they do not change.
        lines: Digest of the multiset of added and removed lines without comments.
        code: Digest of the files that matter; `base_code` likewise of the base.
    """

    number: int
    title: str
    tree: str
    base: str
    patch: str
    lines: str
    code: str
    base_code: str


def git_output(path: Path, *arguments: str, check: bool = True) -> str:
    """Return what git prints, in a repository."""
    done = subprocess.run(["git", "-C", str(path), *arguments], capture_output=True, check=check)
    return done.stdout.decode("utf-8", "replace") if not done.returncode else ""


def repositories_in(folder: Path) -> list[tuple[str, Path]]:
    """Return name and place of each bare repository in a folder, or one folder further down."""
    places = sorted({*folder.glob("*/HEAD"), *folder.glob("*/*/HEAD")})
    return [
        (
            place.parent.name if place.parent.parent == folder else place.parent.parent.name,
            place.parent,
        )
        for place in places
    ]


def changes_of(path: Path, limit: int) -> list[Change]:
    """Return the changes of a repository, the earliest first."""
    found = [*_pulls(path, limit), *_commits(path, limit)]
    return [change for change in found if change is not None and change.patch][:limit]


def _pulls(path: Path, limit: int) -> Iterator[Change | None]:
    listed = git_output(path, "for-each-ref", "--format=%(refname) %(objectname)", "refs/pull/")
    heads = [
        (int(found[1]), found[2])
        for line in listed.splitlines()
        if (found := re.fullmatch(r"refs/pull/(\d+)/head (\w+)", line))
    ]
    repo = pygit2.Repository(str(path))
    main = repo.head.target
    for number, head in sorted(heads)[:limit]:
        fork = str(repo.merge_base(main, pygit2.Oid(hex=head)))
        base = _start(path, head, fork)
        if base not in ("None", head):
            yield _change(path, number, head, base)


def _start(path: Path, head: str, fork: str) -> str:
    """Return what a pull request was made on: a branch may have merged others that main has not.

    A squashed merge is known by its subject, which ends with the number of what it merged.
    """
    log = git_output(path, "log", "-100", "--first-parent", "--format=%H %s", head)
    for line in log.splitlines()[1:]:
        commit, _, subject = line.partition(" ")
        if commit == fork or re.search(r"\(#\d+\)$", subject):
            return commit
    return fork


def _commits(path: Path, limit: int) -> Iterator[Change | None]:
    if git_output(path, "for-each-ref", "--count=30", "refs/pull/").count("\n") >= 30:
        return  # its pull requests say more
    log = git_output(path, "log", "--all", "--no-merges", "--reverse", "--format=%H %P")
    pairs = [line.split() for line in log.splitlines()]
    for number, (commit, *parents) in enumerate(pairs[-limit:]):
        if parents:
            yield _change(path, number, commit, parents[0])


def _change(path: Path, number: int, head: str, base: str) -> Change | None:
    """Return what lies between two commits; None where objects of it are missing."""
    options = ["diff", "--no-renames", "--no-ext-diff", base, head, "--", ".", *_EXCLUDED]
    done = subprocess.run(["git", "-C", str(path), *options], capture_output=True, check=False)
    if done.returncode or len(done.stdout) > MAX_DIFF_BYTES:
        return None
    identified = subprocess.run(
        ["git", "patch-id", "--stable"], input=done.stdout, capture_output=True, check=True
    ).stdout.split()
    title = git_output(path, "log", "-1", "--format=%s", head).strip()
    tree = git_output(path, "rev-parse", f"{head}^{{tree}}").strip()
    patch = identified[0].decode() if identified else ""
    codes = _code(path, head), _code(path, base)
    return Change(number, title, tree, base, patch, _lines(done.stdout), *codes)


def _lines(diff: bytes) -> str:
    """Return a digest of which lines come and go in which file, without spaces and comments.

    A line of which only the comment changes comes and goes, and so does not count.
    """
    counts: Counter[str] = Counter()
    name = ""
    for line in diff.decode("utf-8", "replace").split("\n"):
        if line.startswith("diff --git "):
            name = line.rpartition(" b/")[2]
        elif line[:1] in "+-" and line[:3] not in ("+++", "---"):
            text = _SPACE.sub(
                "", line[1:].partition("#")[0] if name.endswith(_HASHED) else line[1:]
            )
            if text:
                counts[f"{name} {text}"] += 1 if line[0] == "+" else -1
    listed = "\n".join(f"{count} {line}" for line, count in sorted(counts.items()) if count)
    return hashlib.sha256(listed.encode()).hexdigest() if listed else ""


@lru_cache(maxsize=4096)
def _code(path: Path, commit: str) -> str:
    listed = git_output(path, "ls-tree", "-r", commit)
    lines = [line for line in listed.split("\n") if not _is_excluded(line.partition("\t")[2])]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


_EXCLUDED_PATH = re.compile(
    r"(?:^|/)(?:[^/]*\.(?:md|rst|log)|LICENSE[^/]*|\.git[^/]*|results[^/]*\.(?:tsv|csv|jsonl?))(?:/|$)"
    r"|^results/memorylab/"
)


def _is_excluded(path: str) -> bool:
    return _EXCLUDED_PATH.search(path) is not None


def evaluate_repositories(folder: Path, limit: int, since: int) -> Iterator[str]:
    """Yield the lines of the section on real diffs.

    Args:
        folder: Of bare repositories.
        limit: Changes of one repository at most.
        since: Pull requests from this number on have a line of their own.
    """
    yield (
        "| repository | changes | same patch: recall | moved base: retest | same patch: precision"
        " | same code: recall | same code: precision | ms a run |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, path in repositories_in(folder):
        changes = changes_of(path, limit)
        if len(changes) < 2:
            continue
        yield from _evaluate(
            f"{name} @ {git_output(path, 'rev-parse', '--short', 'HEAD').strip()}", path, changes
        )
        if any(change.number < since <= changes[-1].number for change in changes):
            yield from _evaluate(f"{name}, from {since}", path, changes, since)


def _evaluate(name: str, path: Path, changes: Sequence[Change], since: int = 0) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        repository = new_repository(Path(folder), path / "objects")
        runs = write_commits(repository, [(c.tree, c.base, c.title) for c in changes])
        memory = Memory(repository)
        began = time.perf_counter()
        guard = Guard(memory, None, None, open_in_memory())
        spent = (time.perf_counter() - began) / len(changes)
        findings = [guard.check_run(run, limit=40) for run in map(memory.get, runs)]
    score = _Score()
    for at, (change, finding) in enumerate(zip(changes, findings, strict=True)):
        if change.number >= since:
            score.add(change, changes[:at], finding, runs)
        score.remember(change, at)
    cells = [
        str(sum(change.number >= since for change in changes)),
        *(
            f"{score.hit[key]}/{score.all[key]}"
            for key in ("patch", "moved", "found patch", "code", "found code")
        ),
        f"{1e3 * spent:.1f}",
    ]
    yield f"| {name} | {' | '.join(cells)} |"
    for line in score.missed[:10]:
        yield f"<!-- {line} -->"


class _Score:
    """Counts, and what earlier changes are known by."""

    def __init__(self) -> None:
        self.hit: Counter[str] = Counter()
        self.all: Counter[str] = Counter()
        self.missed: list[str] = []
        self._by: dict[str, dict[str, list[int]]] = {
            key: defaultdict(list) for key in ("patch", "lines", "code")
        }

    def remember(self, change: Change, at: int) -> None:
        for key, places in self._by.items():
            places[getattr(change, key)].append(at)

    def add(
        self, change: Change, before: Sequence[Change], finding: Finding, runs: Sequence[str]
    ) -> None:
        """Compare what the guard said of a change with the truth."""
        code = set(self._by["code"][change.code])
        patch = {
            *self._by["patch"][change.patch],
            *(self._by["lines"][change.lines] if change.lines else []),
        }
        place = {run: at for at, run in enumerate(runs)}
        named = {place[each.run] for each in finding.novelty.evidence}
        level = finding.novelty.evidence[0].level if finding.novelty.evidence else ""
        self._count("code", bool(code), level == "identity" and bool(named & code), change)
        if level == "identity":
            self._count("found code", True, bool(named & code), change)
        if patch and not code:
            found = level == "patch" and bool(named & patch)
            self._count("patch", True, found, change)
            if all(before[at].base_code != change.base_code for at in patch):
                is_retest = finding.novelty.classification == "retest_on_new_base"
                self._count("moved", True, found and is_retest, change)
        if level == "patch":
            self._count("found patch", True, bool(named & (patch | code)), change)

    def _count(self, key: str, truth: bool, hit: bool, change: Change) -> None:
        if truth:
            self.all[key] += 1
            self.hit[key] += hit
            if not hit:
                self.missed.append(
                    f"{key}: {change.number} {change.title[:60]!r}".replace("--", "- -")
                )
