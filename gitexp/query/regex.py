"""``matches(name, "pattern")``: Python's `re.search` that ends in time.

A pattern can take longer than the universe lasts, and nothing stops `re` within a process. Where
the number of ways in which a pattern can fit is small whatever the text, it is tried here; any
other goes to a child process, which is killed when the query has spent its time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import select
import subprocess
import sys
import time
import warnings
import weakref

from gitexp.errors import QueryError
from gitexp.query.syntax import Constant

SECONDS = 5.0
"""What all searches of one query may take together."""
MAX_PATTERN = 1000

_MAX_WAYS = 2_000_000  # some 20 ms
_MAX_BARS = 20
_LOOP = re.compile(r"[*+?{]")
_RISKY = re.compile(r"\)[*+{]|\\[0-9]|\(\?(?!:|=|!|i\))")
_CHILD = """
import json, re, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds}))
except (ImportError, ValueError, OSError):
    resource = None
for line in sys.stdin:
    pattern, value = json.loads(line)
    sys.stdout.write("1" if re.search(pattern, value) else "0")
    sys.stdout.flush()
"""


def is_cheap(pattern: str, length: int) -> bool:
    """Say whether a search is sure to be over within some 20 ms.

    The places where the parts of a pattern with ``n`` repetitions can begin in a text number at
    most ``length + n + 1`` over ``n + 1``, unless a repetition stands within one, and each ``|``
    doubles it. Repeated groups, references back, and options are taken for the worst.

    Args:
        pattern: A pattern that compiles.
        length: Characters of the text.
    """
    if _RISKY.search(pattern):
        return False
    bars, loops = pattern.count("|"), len(_LOOP.findall(pattern))
    if bars > _MAX_BARS or loops > _MAX_BARS:
        return False
    return math.comb(length + loops + 1, loops + 1) << bars <= _MAX_WAYS


class Matcher:
    """Searches for the regular expressions of one expression, in one query at a time.

    Attributes:
        number: Its key in `MATCHERS`: SQL names it so, for the function that a connection has
            cannot be another while statements are active.
        failure: Why a search was given up; sqlite3 swallows what its functions raise.
    """

    def __init__(self) -> None:
        self.failure: QueryError | None = None
        self.number = next(_NUMBERS)
        MATCHERS[self.number] = self
        self._known: dict[tuple[str, str], bool] = {}
        self._spent = 0.0
        self._child: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start the time of a query."""
        self.failure, self._spent = None, 0.0

    @staticmethod
    def check(node: Constant) -> None:
        """Raise a `QueryError` that points at what is wrong with a pattern."""
        pattern = str(node.value)
        if len(pattern) > MAX_PATTERN:
            raise node.error(
                f"The pattern has more than {MAX_PATTERN:,} characters.", "Use a shorter one."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                re.compile(pattern)
        except re.error as error:
            place = node.start
            if error.pos is not None and node.text[1:-1] == pattern:
                place += 1 + error.pos
            raise node.source.error(
                place,
                f"This is no regular expression: {error.msg}.",
                "A backslash before a character takes its meaning away: r'\\('.",
            ) from None
        except (RecursionError, OverflowError):
            raise node.error(
                "This regular expression is too deep or too large.", "Use a simpler one."
            ) from None

    def search(self, value: object, pattern: str) -> int | None:
        """Return 1 if the pattern is found in a text, else 0; None for what is no text."""
        if not isinstance(value, str):
            return None
        key = (pattern, value)
        if key not in self._known:
            began = time.perf_counter()
            self._known[key] = self._search(pattern, value)
            self._spent += time.perf_counter() - began
        return int(self._known[key])

    def _search(self, pattern: str, value: str) -> bool:
        if self.failure is not None:
            raise self.failure
        if self._spent >= SECONDS:
            raise self._too_slow(pattern)
        if is_cheap(pattern, len(value)):
            return re.search(pattern, value) is not None
        try:
            return self._ask(pattern, value)
        except OSError as error:
            message = f"The process that searches for {pattern!r} cannot go on: {error.strerror}."
            raise self._give_up(message, "Ask again, or use a simpler pattern.") from None

    def _ask(self, pattern: str, value: str) -> bool:
        child = self._child or self._start()
        assert child.stdin is not None  # noqa: S101 - both are pipes
        assert child.stdout is not None  # noqa: S101
        child.stdin.write(json.dumps([pattern, value]).encode() + b"\n")
        child.stdin.flush()
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        left = max(1, int((SECONDS - self._spent) * 1000))
        answer = child.stdout.read(1) if poll.poll(left) else b""
        if not answer:
            raise self._too_slow(pattern)
        return answer == b"1"

    def _start(self) -> subprocess.Popen[bytes]:
        seconds = math.ceil(SECONDS) + 1  # should this process be killed meanwhile
        code = _CHILD.format(seconds=seconds)
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._child

    def _too_slow(self, pattern: str) -> QueryError:
        return self._give_up(
            f"The pattern {pattern!r} takes more than {SECONDS:g} seconds.",
            "Repetitions within repetitions, as in (a+)+, are what takes so long.",
        )

    def _give_up(self, message: str, hint: str) -> QueryError:
        self.close()
        self.failure = QueryError(message, hint)
        return self.failure

    def close(self) -> None:
        """End the child process, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):  # what it did not read
                        pipe.close()


MATCHERS: weakref.WeakValueDictionary[int, Matcher] = weakref.WeakValueDictionary()
_NUMBERS = itertools.count(1)
