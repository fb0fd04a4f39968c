"""What every command is given: the output, and the repository and memory when it asks."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitexp.cli.output import Output, print_warning
from gitexp.git.repository import Repository

if TYPE_CHECKING:
    from gitexp.memory import Memory


@dataclass
class Context:
    """The surroundings of one command."""

    output: Output

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
        from gitexp import seal
        from gitexp.memory import Memory

        for result in seal.recover(self.repository):
            if result.error is not None:
                print_warning(f"Run {result.run_id[:12]} cannot be sealed yet: {result.error}")
            elif result.status == "crashed":
                print_warning(
                    f"Run {result.run_id[:12]} had lost its process; it is sealed as crashed."
                )
        memory = Memory(self.repository)
        for problem in memory.problems:
            print_warning(f"{problem}.")
        for kind, count in memory.unknown.items():
            print_warning(
                f"{count} line{'s' if count > 1 else ''} of kind {kind} came from a newer gitexp; "
                f"they are kept and not shown."
            )
        return memory
