"""Say something about a run, afterwards or while it runs: one line in this clone's shard.

Nothing that was said before is rewritten, and anybody may remark on anybody's run; readers merge
what all shards say.
"""

from __future__ import annotations

import time
from typing import Any

from gitexp.errors import ValueRejectedError
from gitexp.git.commit import identity
from gitexp.git.repository import Repository
from gitexp.records.facts import MAX_LINE_BYTES, RemarkFact, encode_fact
from gitexp.records.times import format_time
from gitexp.store.batch import Batch, write_batch
from gitexp.store.shard import shard_name


def add_remark(repository: Repository, run_id: str, **fields: Any) -> RemarkFact:
    """Write a remark about a run, in the name of git's user, now.

    Args:
        repository: Where.
        run_id: Full id of the run, 40 hexadecimal digits.
        fields: What is said; the fields of `RemarkFact` but for ``time`` and ``by``.

    Returns:
        What was written.

    Raises:
        ValueRejectedError: It is longer than a stored line may be.
        ConflictError: Others kept winning the race for the shard; nothing was written.
    """
    name, email = identity(repository)
    remark = RemarkFact(time=format_time(time.time_ns()), by=f"{name} <{email}>", **fields)
    line = encode_fact(remark)
    if len(line) > MAX_LINE_BYTES:
        raise ValueRejectedError(
            f"The remark takes {len(line) / 2**20:.0f} MiB; the limit is 16.",
            "Keep long texts in a file of the project and name it here.",
        )
    write_batch(repository, shard_name(repository), Batch(facts={run_id: [line]}))
    return remark
