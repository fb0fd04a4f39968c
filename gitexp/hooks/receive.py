"""The check of a server, before it accepts a push: nothing of the store may be lost or damaged.

Only refs of the store are looked at. Handles of runs never move, shards only grow, chains of code
hold no files, and nothing is deleted. What clones keep for themselves (what they saw on remotes,
what a checkout saved) comes with a plain ``git push REMOTE 'refs/exprag/*'`` and is let through.
Everything is asked of the git program, which sees the objects of the push in their quarantine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gitexp.errors import GitCommandError, GitexpError
from gitexp.git import refs
from gitexp.git.history import EMPTY_TREE, MERGE_MESSAGE
from gitexp.git.received import ObjectHead, is_behind, new_commits, object_heads
from gitexp.git.repository import Repository
from gitexp.hooks.growth import (
    Finding,
    Step,
    check_fact_line,
    check_files,
    check_library,
    check_metric_line,
    check_notes,
)
from gitexp.light import NamedTuple
from gitexp.share.code import CODE_MESSAGE

DEFAULT_MAX_BLOB = 256 << 20
"""Bytes that a note or a file of a shard may have."""

_SHARDS = (refs.FACTS, refs.METRICS, refs.FILES, refs.LIBRARY, refs.CODE)
_LINKS = (CODE_MESSAGE, MERGE_MESSAGE.strip())
"""What the subjects of the commits of a chain of code begin with."""


class Update(NamedTuple):
    """What a push asks of a ref: object ids before and after; None: there is none."""

    ref: str
    old: str | None
    new: str | None


def parse_updates(lines: Iterable[bytes]) -> list[Update]:
    """Return what git says on the standard input of ``pre-receive``.

    Raises:
        GitexpError: It is something else.
    """
    updates = []
    for line in lines:
        words = line.decode("utf-8", "surrogateescape").rstrip("\n").split(" ", 2)
        if len(words) != 3:  # noqa: PLR2004 - "<old> <new> <ref>"
            raise GitexpError(
                "The input is not what git gives to a pre-receive hook.",
                "This command is called by the hook; install it with 'git exp init --hooks'.",
            )
        old, new, ref = words
        updates.append(Update(ref, *(oid if oid.strip("0") else None for oid in (old, new))))
    return updates


def max_blob(repository: Repository) -> int:
    """Return the bytes that a note or a file of a shard may have here (``exprag.maxBlob``).

    Raises:
        GitexpError: The setting is no number.
    """
    if "exprag.maxblob" not in repository.settings:
        return DEFAULT_MAX_BLOB
    try:
        return int(repository.git(["config", "--type=int", "--get", "exprag.maxBlob"]))
    except GitCommandError as error:
        message = "The setting exprag.maxBlob of this server is not a number."
        raise GitexpError(message, "Give bytes, or a number with k, m or g.") from error


def check_push(repository: Repository, updates: Sequence[Update]) -> Iterator[Finding]:
    """Yield why a push cannot be accepted; nothing if it can.

    Raises:
        GitexpError: The server's settings are not usable.
    """
    limit = max_blob(repository)
    handles = [update for update in updates if update.ref.startswith(refs.RUNS)]
    shards = [update for update in updates if update.ref.startswith(_SHARDS)]
    for update in updates:
        if update.new is not None and any(p.startswith(update.ref + "/") for p in _prefixes()):
            yield Finding(update.ref, "", "a ref of this name would be in the way of all runs")
    heads = object_heads(repository, [u.new for u in (*handles, *shards) if u.new is not None])
    for update in handles:
        yield from _check_handle(update, heads)
    for update in shards:
        yield from _check_shard(repository, update, heads, limit)


def _prefixes() -> tuple[str, ...]:
    return (refs.RUNS, refs.REMOTES, *_SHARDS)


def _check_handle(update: Update, heads: dict[str, ObjectHead | None]) -> Iterator[Finding]:
    run = update.ref.removeprefix(refs.RUNS)
    if not refs.is_run_id(run):
        yield Finding(update.ref, "", "its last part is not the id of a run")
    elif update.new is None:
        yield Finding(update.ref, "", "the handle of a run is not deleted")
    elif update.old is not None:
        yield Finding(update.ref, "", "the handle of a run does not move")
    elif update.new != run:
        what = _kind(heads[update.new])
        yield Finding(update.ref, "", f"it names the {what} {update.new[:12]}, not its run")
    elif (what := _kind(heads[update.new])) != "commit":
        yield Finding(update.ref, "", f"it names a {what}, and a run is a commit")


def _kind(head: ObjectHead | None) -> str:
    return "missing object" if head is None else head.kind


def _check_shard(
    repository: Repository, update: Update, heads: dict[str, ObjectHead | None], limit: int
) -> Iterator[Finding]:
    prefix = next(prefix for prefix in _SHARDS if update.ref.startswith(prefix))
    name = update.ref.removeprefix(prefix)
    if update.new is None:
        yield Finding(update.ref, "", "a shard is not deleted")
    elif not refs.is_shard_name(name):
        yield Finding(update.ref, "", f"{name!r} cannot be the name of a shard")
    elif (what := _kind(heads[update.new])) != "commit":
        yield Finding(update.ref, "", f"it names a {what}, and the state of a shard is a commit")
    else:
        try:
            yield from _check_step(
                repository, prefix, Step(update.ref, update.old, update.new), limit
            )
        except GitexpError as error:
            yield Finding(update.ref, "", f"it cannot be checked: {error.message}")


def _check_step(repository: Repository, prefix: str, step: Step, limit: int) -> Iterator[Finding]:
    if step.old is not None and not is_behind(repository, step.old, step.new):
        yield Finding(
            step.ref, "", "its history would be rewritten; pull first, a shard only grows"
        )
    if prefix == refs.CODE:
        yield from _check_chain(repository, step)
    elif prefix == refs.FILES:
        yield from check_files(repository, step, limit)
    elif prefix == refs.LIBRARY:
        yield from check_library(repository, step, limit)
    else:
        check_line = check_fact_line if prefix == refs.FACTS else check_metric_line
        yield from check_notes(repository, step, check_line, limit)


def _check_chain(repository: Repository, step: Step) -> Iterator[Finding]:
    """Walk the new commits of a chain down to the snapshots, which may hold what they like."""
    commits = new_commits(repository, step.new)
    tip = commits[step.new]
    if not tip.subject.startswith(_LINKS):
        yield Finding(step.ref, "", f"{step.new[:12]} is no commit of a chain of code")
        return
    waiting, seen = [step.new], {step.new}
    while waiting:
        oid = waiting.pop()
        commit = commits[oid]
        if commit.tree == EMPTY_TREE and commit.subject.startswith(_LINKS):
            parents = [p for p in commit.parents if p in commits and p not in seen]
            seen.update(parents)
            waiting += parents
        elif oid == step.new or commit.subject.startswith(CODE_MESSAGE):
            yield Finding(
                step.ref, "", f"its commit {oid[:12]} has files; a chain of code has none"
            )
