"""Every error that gitexp raises on purpose: one tree, each class with its exit code.

A message is one sentence that says what is wrong. A hint is one sentence that says what to
do next. The command line prints both and exits with ``exit_code``; a library caller catches
`GitexpError` or one of its classes.
"""

from __future__ import annotations


class GitexpError(Exception):
    """Base of all expected failures.

    Args:
        message: What is wrong, as one sentence.
        hint: What to do about it, as one sentence, if there is something to do.

    Attributes:
        details: What the message sums up, a line each.
    """

    exit_code = 1
    details: tuple[str, ...] = ()

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GitexpError):
    """The request itself is malformed: a bad option value, an unusable run spec."""

    exit_code = 2


class QueryError(UsageError):
    """An expression, as in ``--where``, cannot be understood or answered.

    The message has several lines where it points at a place: a sentence, the line of the
    expression, and a caret under the place.

    Attributes:
        position: Where in the expression, counted in characters from 0; None for the whole.
    """

    position: int | None = None


class NoRepositoryError(GitexpError):
    """There is no git repository here, or none that gitexp can work in."""

    exit_code = 10


class ConflictError(GitexpError):
    """Another process kept winning a race for a ref; nothing was written."""

    exit_code = 11


class RemoteMovedError(ConflictError):
    """A ref of a remote is not as expected, or locked: fetch, unite, and try again."""


class TransferError(GitexpError):
    """git could not talk to a remote, or the remote refused; nothing was changed by halves."""


class FormatTooNewError(GitexpError):
    """Data was written by a newer gitexp than this one and cannot be used here."""

    exit_code = 12


class GitCommandError(GitexpError):
    """The git program failed in a way that has no class of its own.

    Attributes:
        said: All that git wrote to stderr.
        code: Its exit code, negative for a signal; 0 where it is not known.
    """

    said = ""
    code = 0


class MissingObjectError(GitexpError):
    """A ref or a run names an object that the repository does not have."""


class BadShardError(GitexpError):
    """A state of a shard is not of the form that it must have, so it is not taken."""


class RunNotFoundError(GitexpError):
    """No run answers to the given spec."""


class AmbiguousError(GitexpError):
    """A run spec or a metric name fits several candidates."""


class RunEndedError(GitexpError):
    """The run has ended: nothing more can be tracked in it."""


class CheckoutError(GitexpError):
    """A checkout would lose work or cannot be done here; nothing was changed."""


class ValueRejectedError(GitexpError, TypeError):
    """A value cannot be kept in a run. The message names its key path.

    It is also a `TypeError`, as users of JSON encoders expect.
    """


class GitexpWarning(UserWarning):
    """Something is not recorded as fully as it could be; the run goes on."""
