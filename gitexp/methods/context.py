"""The brief for an agent with methods in it: what is known here, and what could be tried."""

from __future__ import annotations

from gitexp.library.library import Library
from gitexp.memory import Memory
from gitexp.methods.search import Methods
from gitexp.methods.suggestion import methods_section
from gitexp.research.overview.brief import TOKENS, Brief, brief

SUGGESTED = 5


def context(memory: Memory, library: Library, query: str = "", tokens: int = TOKENS) -> Brief:
    """Return the brief with a section of methods.

    Args:
        memory: Whose runs.
        library: Of the same repository.
        query: What methods are wanted for; empty for those that fit the project as it is.
        tokens: How long it may be.

    Raises:
        UsageError: There are too few tokens, or a setting cannot be understood.
    """
    methods = Methods(memory, library)
    found = methods.search(query, limit=SUGGESTED) if query else methods.next(limit=SUGGESTED)
    return brief(memory, tokens, [methods_section(found)])
