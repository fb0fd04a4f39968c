"""What an HTML page of runs shows of them: their documents, curves and code, within a budget.

A page is one file that somebody opens or mails, so its size decides what is in it. The table has
every run. Curves and patches are read of the first runs only, curves in at most so many points:
the goal metric of all these runs comes before the second metric of any. What did not fit is
counted and said; nothing is cut silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from gitexp.document import Document
from gitexp.errors import GitexpError
from gitexp.git.process import start_git
from gitexp.git.read import read_trees
from gitexp.git.refs import is_run_id
from gitexp.git.repository import Repository
from gitexp.index.search import Found
from gitexp.memory import Memory
from gitexp.naming import direction, resolve_name
from gitexp.records.sample import sample
from gitexp.render.page import Goal, PageData, Point
from gitexp.run import Run

POINTS = 500
"""Of one curve: a plot is drawn a thousand pixels wide."""
DETAILED_RUNS = 300
"""Runs with curves and patches. Reading those of one costs about 10 ms."""
CURVE_POINTS = 400_000
"""Of all curves together: about 9 MB of page."""
PATCH_BYTES = 64 << 10
"""Of one run; what is longer is cut."""
ALL_PATCH_BYTES = 8 << 20
"""Of all runs together; when it is used up, no more are read."""

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

Curves = dict[str, dict[str, Sequence[Point]]]
Progress = Callable[[int, int], None]


class LeftOut(NamedTuple):
    """What a page does not show.

    Attributes:
        curves: How many curves of metrics were not read.
        patches: Of how many runs the code is not shown: over the budget, or not here.
        cut_patches: Of how many runs only the beginning of the patch is.
    """

    curves: int
    patches: int
    cut_patches: int


def gather(
    memory: Memory, found: Sequence[Found], title: str, progress: Progress | None
) -> tuple[PageData, LeftOut]:
    """Return what a page shows of some runs, and what it leaves out.

    Args:
        memory: Where the runs are.
        found: The runs, in the order of the page's table.
        title: Of the page.
        progress: Told how many runs have been read in detail, of how many.
    """
    documents = [each.document for each in found]
    settings = memory.repository.settings
    metrics = _by_weight(documents, settings.get("exprag.metric"))
    goals: dict[str, Goal] = {
        path: "min" if direction(path, settings).lower else "max" for path in metrics
    }
    detailed = found[:DETAILED_RUNS]
    patches, cut = read_patches(memory.repository, documents[:DETAILED_RUNS])
    curves = read_curves(memory, detailed, metrics, progress)
    shown = sum(map(len, curves.values()))
    tracked = sum(len(document.get("metrics", ())) for document in documents)
    left_out = LeftOut(tracked - shown, len(documents) - len(patches), len(cut))
    now = datetime.now(UTC)
    return PageData(title, now, documents, goals, curves, patches, cut), left_out


def _by_weight(documents: Iterable[Document], goal_metric: str | None) -> list[str]:
    """Return all metrics: the goal metric, then those that most runs have."""
    counts = Counter(path for document in documents for path in document.get("metrics", ()))
    ordered = sorted(counts, key=lambda path: (-counts[path], path))
    if goal_metric is not None:
        try:
            first = resolve_name(goal_metric, counts)
        except GitexpError:  # it is set, but these runs do not have it, or have several like it
            return ordered
        ordered.sort(key=lambda path: path != first)
    return ordered


def read_curves(
    memory: Memory, found: Sequence[Found], metrics: Sequence[str], progress: Progress | None
) -> Curves:
    """Return the curves of runs, sampled, as many as the budget allows."""
    chosen = _chosen([each.document for each in found], metrics)
    curves: Curves = {}
    for number, each in enumerate(found):
        if progress is not None:
            progress(number, len(found))
        run = Run.from_document(each.document)
        if chosen.get(run.id):
            histories = memory.histories(run, chosen[run.id])
            curves[run.id] = {m: sample(history, POINTS) for m, history in histories.items()}
    if progress is not None:
        progress(len(found), len(found))
    return curves


def _chosen(documents: Sequence[Document], metrics: Sequence[str]) -> dict[str, list[str]]:
    """Return run -> metrics whose curves fit into the budget, metric by metric."""
    chosen: dict[str, list[str]] = {}
    left = CURVE_POINTS
    for metric in metrics:
        for document in documents:
            summary = document.get("metrics", {}).get(metric)
            if summary is None:
                continue
            left -= min(summary["count"], POINTS)
            if left < 0:
                return chosen
            chosen.setdefault(document["run"], []).append(metric)
    return chosen


def read_patches(
    repository: Repository, documents: Sequence[Document]
) -> tuple[dict[str, str], set[str]]:
    """Return run -> unified diff from the commit it was made on to its code.

    Runs whose code is not here, or does not fit into the budget, are not in it. Runs of one code
    on one commit, as those of a sweep, share what git was asked once.

    Returns:
        The patches, and the runs whose patch is cut.
    """
    known: dict[tuple[str, str], tuple[str, bool] | None] = {}
    patches: dict[str, str] = {}
    cut: set[str] = set()
    left = ALL_PATCH_BYTES
    for run_id, sides in _sides(repository, documents):
        if sides not in known:
            known[sides] = read_patch(repository, *sides, limit=PATCH_BYTES) if left > 0 else None
            left -= len((known[sides] or ("",))[0])
        patch = known[sides]
        if patch is not None:
            patches[run_id] = patch[0]
            if patch[1]:
                cut.add(run_id)
    return patches, cut


def _sides(
    repository: Repository, documents: Sequence[Document]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each run whose code is here, with the commit it was made on and its tree.

    What a run says of its commit becomes an argument of git's, so it has to be the id of one.
    """
    runs = [
        (document["run"], head)
        for document in documents
        if "git" in document and is_run_id(head := document["git"].get("head") or _EMPTY_TREE)
    ]
    trees = read_trees(repository, [run_id for run_id, _ in runs])
    for (run_id, head), tree in zip(runs, trees, strict=True):
        if tree is not None:
            yield run_id, (head, tree)


def read_patch(
    repository: Repository, old: str, new: str, *, limit: int
) -> tuple[str, bool] | None:
    """Return the difference of two trees as git prints it, and whether it was cut.

    Git's plumbing is asked, which no one's configuration changes, and no more is read than is
    kept. Nothing is fetched.

    Args:
        repository: Where they are.
        old: A commit or tree.
        new: Another.
        limit: How many bytes to keep, to the end of a line.

    Returns:
        None where an object is missing.
    """
    words = ["diff-tree", "-p", "-r", "-M", "--no-ext-diff", "--no-textconv", old, new, "--"]
    environment = {**repository.environment, "GIT_NO_LAZY_FETCH": "1"}
    with start_git(words, cwd=repository.top, environment=environment) as process:
        content = process.stdout.read(limit + 1) if process.stdout is not None else b""
        is_cut = len(content) > limit
        if is_cut:
            process.kill()
        elif process.wait() != 0:
            return None
    if is_cut:
        content = content[: content.rfind(b"\n", 0, limit) + 1]
    return content.decode("utf-8", "backslashreplace"), is_cut
