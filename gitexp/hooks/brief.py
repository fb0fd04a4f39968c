"""What a coding agent is told at the start of its session: the brief, in half its usual length.

It goes into every session, whether or not it will be about experiments, so it costs little.
"""

from __future__ import annotations

from gitexp.memory import Memory
from gitexp.research.overview import brief as research

TOKENS = 1_000


def brief(memory: Memory) -> str:
    """Return the brief as plain text with a final line end; empty where no run is recorded.

    Raises:
        UsageError: A setting cannot be understood.
    """
    return research.brief(memory, TOKENS).text
