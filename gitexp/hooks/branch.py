"""The runs that belong to a pushed branch: those that were started on one of its commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitexp.git import refs
from gitexp.git.read import list_refs
from gitexp.git.received import object_heads, off_history
from gitexp.git.repository import Repository
from gitexp.store.shard import known_shard

_BRANCHES = "refs/heads/"
_STORE = ("refs/exprag/", "refs/notes/exprag")


def share_branch(repository: Repository, remote: str, lines: Iterable[bytes]) -> list[str]:
    """Share the runs of this clone that belong to pushed branches and are news to a remote.

    Args:
        repository: Where.
        remote: Name or URL, as git gives it to ``pre-push``.
        lines: What git writes to the standard input of ``pre-push``.

    Returns:
        The runs that were shared.

    Raises:
        GitexpError: They could not be.
    """
    tips = pushed_tips(lines)
    runs = started_on(repository, news(repository, remote), tips) if tips else []
    if not runs:
        return []
    from gitexp.share import push

    return push(repository, remote, runs=runs).runs


def news(repository: Repository, remote: str) -> list[str]:
    """Return the runs of which this clone's shard says what a remote was not seen to have.

    Raises:
        UsageError: There is no such remote.
    """
    from gitexp.share.ahead import changed_runs
    from gitexp.share.remote import choose_remote

    own = refs.FACTS + (known_shard(repository) or "")
    seen = choose_remote(repository, remote).tracking(own)
    tips = list_refs(repository, own, seen)
    return changed_runs(repository, tips.get(seen), tips.get(own))


def pushed_tips(lines: Iterable[bytes]) -> list[str]:
    """Return the commits that branches of a remote are about to name.

    There are none where refs of the store are pushed too: then plain git shares the runs, and a
    push in between would only win the race against it.

    Args:
        lines: What git writes to the standard input of ``pre-push``.
    """
    words = [line.decode("utf-8", "surrogateescape").split() for line in lines]
    pushed = {remote: oid for _, oid, remote, _ in words if oid.strip("0")}
    if any(ref.startswith(_STORE) for ref in pushed):
        return []
    return list(dict.fromkeys(oid for ref, oid in pushed.items() if ref.startswith(_BRANCHES)))


def started_on(repository: Repository, runs: Sequence[str], tips: Sequence[str]) -> list[str]:
    """Return those of some runs that were started on a commit in the history of a tip.

    It takes two git processes, however many runs there are. A run whose snapshot is not here, or
    that was started before the first commit, belongs to no branch.
    """
    if not runs or not tips:
        return []
    off = off_history(repository, runs, tips)
    listed = {run: off[run][:1] for run in runs if run in off}
    rest = object_heads(repository, [run for run in runs if run not in off])
    on = {run for run, head in listed.items() if head and head[0] not in off}
    on |= {run for run, head in rest.items() if head is not None and head.kind == "commit"}
    return [run for run in runs if run in on]
