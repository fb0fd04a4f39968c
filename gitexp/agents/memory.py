"""A `Memory` that also knows what was read and learned around the runs: methods and the brief.

`gitexp.open` gives it. What it adds stands on floors above the reader, and is loaded when it is
first asked for::

    memory = gitexp.open()
    for suggestion in memory.methods.search("smaller kv cache"):
        print(suggestion.method.name, suggestion.evidence.runs, suggestion.risk)
    print(memory.context(tokens=1_000, methods="smaller kv cache").text)
"""

from __future__ import annotations

import functools

from gitexp.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitexp.library.library import Library
    from gitexp.methods.search import Methods
    from gitexp.research.overview.brief import Brief


class AgentMemory(Memory):
    """All runs of a repository, and what was read and learned around them."""

    @functools.cached_property
    def library(self) -> Library:
        """Papers, methods, retrievals, proposals, lessons and usage."""
        from gitexp.library.library import Library

        return Library(self.repository)

    @functools.cached_property
    def methods(self) -> Methods:
        """Methods, ranked by what is asked and by what came of them here.

        Opened once, it answers as things were then; `refresh` looks again.
        """
        from gitexp.methods.search import Methods

        return Methods(self, self.library)

    def refresh(self) -> None:
        """Forget what was read, so that the next question reads again."""
        super().refresh()
        self.__dict__.pop("methods", None)
        if "library" in self.__dict__:
            self.library.refresh()

    def context(self, tokens: int = 2_000, methods: str | None = None) -> Brief:
        """Return the brief for an agent: goal, champion, failures, what to do next.

        Args:
            tokens: How long it may be, counted by an estimate that is above tokenizers' counts.
            methods: What methods are wanted for, to have them in the brief; empty for those that
                fit the project as it is.

        Raises:
            UsageError: There are too few tokens, or a setting cannot be understood.
        """
        if methods is None:
            from gitexp.research.overview.brief import brief

            return brief(self, tokens)
        from gitexp.methods.context import context

        return context(self, self.library, methods, tokens)
