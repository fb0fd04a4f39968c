"""Signatures of snapshots and of the commits of shards, as git itself judges them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitexp.errors import GitCommandError
from gitexp.git.commit import signs
from gitexp.git.objects import AS_STORED, PLAIN, parse_commit, read_objects
from gitexp.git.signature import BAD, UNSURE, Signature, signatures, signed_commits
from gitexp.store.shard import known_shard
from gitexp.verify.findings import Finding
from gitexp.verify.store import SHARDS, Store, notes_by_run

_UNION = b"exprag: union"
_ASK = "Ask who signed it; 'git verify-commit {}' says more."


def check_signatures(store: Store) -> Iterator[Finding]:
    """Yield the signatures that are not good, and what is unsigned though it was to be signed."""
    history = _behind(store, list(store.below(*SHARDS).values()))
    snapshots = [run for run, found in store.snapshots.items() if found.kind == "commit"]
    signed = signed_commits(store.repository, [*snapshots, *history])
    for signature in signatures(store.repository, signed):
        yield from _judged(signature, signature.commit in store.snapshots)
    if signs(store.repository):
        yield from _unsigned(store, set(signed))


def _judged(signature: Signature, is_snapshot: bool) -> Iterator[Finding]:
    commit = signature.commit
    what = f"snapshot of run {commit[:12]}" if is_snapshot else f"shard's commit {commit[:12]}"
    run, by = commit if is_snapshot else "", f" (by {signature.signer})" if signature.signer else ""
    if signature.state == BAD:
        message = f"The signature of the {what} is bad{by}: what it says is not what was signed."
        yield Finding("signature", "damaged", message, _ASK.format(commit[:12]), run=run)
    elif signature.state in UNSURE:
        message = f"The signature of the {what}{by} {UNSURE[signature.state]}."
        yield Finding("signature", "note", message, _ASK.format(commit[:12]), run=run)


def _unsigned(store: Store, signed: set[str]) -> Iterator[Finding]:
    """Yield a note on what this clone wrote without a signature; unions never have one."""
    own = known_shard(store.repository)
    shards = [shard for ref, shard in store.shards.items() if own and ref.endswith(f"/{own}")]
    runs = [run for run, _ in notes_by_run(shards)]
    snapshots = [run for run in runs if store.snapshots[run].kind == "commit"]
    commits = [*snapshots, *_behind(store, [shard.tip for shard in shards])]
    unsigned = [
        found
        for found in read_objects(store.repository, [c for c in commits if c not in signed])
        if found.kind == "commit" and not parse_commit(found.content).message.startswith(_UNION)
    ]
    if unsigned:
        message = (
            f"exprag.sign is set, and {len(unsigned)} of {len(commits)} snapshots and commits of "
            f"this clone's shard have no signature: they are older, or signing failed."
        )
        yield Finding("unsigned", "note", message, "'git config exprag.sign' shows the setting.")


def _behind(store: Store, tips: Sequence[str]) -> list[str]:
    """Return the commits behind tips; none, where git cannot tell."""
    try:
        output = store.repository.git(
            [*PLAIN, "rev-list", "--stdin"],
            stdin="".join(f"{tip}\n" for tip in tips).encode("ascii"),
            environment=AS_STORED,
        )
    except GitCommandError:
        return []  # what stopped git is a finding of another check
    return output.decode("ascii").split()
