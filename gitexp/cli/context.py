"""What every command is given: the output, and the repository and memory when it asks."""

from __future__ import annotations

import functools

from gitexp.cli.output import Output, print_warning
from gitexp.git.repository import Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitexp.library.library import Library
    from gitexp.memory import Memory
    from gitexp.store.problem import Problem


_LISTED = 20
"""Problems of the store that a command tells of; a damaged one may have thousands."""


class Context:
    """The surroundings of one command."""

    def __init__(self, output: Output) -> None:
        """Start with nothing opened."""
        self.output = output
        self._reported: set[Problem] = set()

    @functools.cached_property
    def repository(self) -> Repository:
        """The repository of the current folder.

        Raises:
            NoRepositoryError: There is none.
        """
        return Repository.discover()

    @functools.cached_property
    def memory(self) -> Memory:
        """The runs of the repository; opening it seals the runs whose process is gone.

        What cannot be read, or was sealed just now, is said on stderr, once.
        """
        memory = self.open_memory()
        self.report_problems(memory)
        for kind, count in memory.unknown.items():
            print_warning(
                f"{count} line{'s' if count > 1 else ''} of kind {kind} came from a newer gitexp; "
                f"they are kept and not shown."
            )
        return memory

    @functools.cached_property
    def library(self) -> Library:
        """The papers, methods and events of the repository; what cannot be read is said once."""
        from gitexp.library.library import Library

        library = Library(self.repository)
        self._report(library.problems)
        return library

    def open_memory(self) -> Memory:
        """Seal the runs whose process is gone, saying so, and return the memory."""
        from gitexp.kept import has_journals
        from gitexp.memory import Memory

        if has_journals(self.repository):
            self._recover()
        return Memory(self.repository, self.output.progress("Reading runs"))

    def _recover(self) -> None:
        from gitexp import seal

        for result in seal.recover(self.repository):
            if result.error is not None:
                print_warning(f"Run {result.run_id[:12]} cannot be sealed yet: {result.error}")
            elif result.status == "crashed":
                print_warning(
                    f"Run {result.run_id[:12]} had lost its process; it is sealed as crashed."
                )

    def report_problems(self, memory: Memory) -> None:
        """Say on stderr what could not be read, as far as that was not said before."""
        self._report(memory.problems)

    def _report(self, problems: Iterable[Problem]) -> None:
        new = [problem for problem in problems if problem not in self._reported]
        self._reported.update(new)
        for problem in new[:_LISTED]:
            print_warning(f"{problem}.")
        if len(new) > _LISTED:
            more = len(new) - _LISTED
            print_warning(f"There are {more} more such problems; 'git exp status' lists them all.")
