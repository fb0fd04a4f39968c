"""Tokens of a call whose provider does not say how many they were.

Counted by the estimate that briefs are measured with: it is above what the common byte-pair
tokenizers make of a text, so a budget is rather spent too early than too late.
"""

from __future__ import annotations

from gitexp.providers.port import Tokens
from gitexp.research.overview.brief import estimated_tokens


def counted(prompt: str, completion: str) -> Tokens:
    """Return the tokens of a call, counted here, and marked so."""
    return Tokens(estimated_tokens(prompt), estimated_tokens(completion), estimated=True)
