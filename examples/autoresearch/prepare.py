"""The data: notes in a small invented language, and the budget. Do not change this file.

The training text is made here, from a fixed seed: nothing is downloaded, and it is the same bytes
on every machine and Python. It has structure at several ranges: spelling, words that are frequent
or rare, agreement in number, one topic in each note, brackets that close, sums that are right,
names that come again. ``python prepare.py`` shows some of it.

The validation text is not made here: ``evaluate.py`` draws a new one each time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

TIME_BUDGET = float(os.environ.get("AUTORESEARCH_SECONDS") or 3.0)
"""Seconds that a training may take, of its own processor time: a busy machine costs it nothing."""
STEP_BUDGET = int(os.environ.get("AUTORESEARCH_STEPS") or 0)
"""Where it is given, steps that a training takes, however long they are."""

LANGUAGE_SEED = 1
TRAIN_SEED = 2
TRAIN_BYTES = 600_000

ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr", "kl", "sh")
VOWELS = ("a", "e", "i", "o", "u", "ai", "ou")
CODAS = ("", "", "", "n", "r", "s", "l", "k", "m")


class Dice:
    """Random choices from `random.random` alone, which is the same in every version of Python."""

    def __init__(self, seed: int | str) -> None:
        self._next = random.Random(seed).random

    def below(self, end: int) -> int:
        return int(self._next() * end)

    def chance(self, probability: float) -> bool:
        return self._next() < probability

    def pick(self, options: tuple[str, ...]) -> str:
        return options[self.below(len(options))]

    def frequent(self, options: tuple[str, ...]) -> str:
        """Pick one; the first are picked far more often than the last."""
        return options[int(len(options) * self._next() ** 2.5)]


def invent_words(dice: Dice, count: int) -> tuple[str, ...]:
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = 1 + dice.chance(0.6) + dice.chance(0.2)
        word = "".join(dice.pick(ONSETS) + dice.pick(VOWELS) for _ in range(syllables))
        words[word + dice.pick(CODAS)] = None
    return tuple(words)


_dice = Dice(LANGUAGE_SEED)
TOPICS = tuple(invent_words(_dice, 40) for _ in range(8))
VERBS = invent_words(_dice, 60)
ADJECTIVES = invent_words(_dice, 60)
NAMES = tuple(word.capitalize() for word in invent_words(_dice, 80))


def phrase(dice: Dice, topic: tuple[str, ...], *, plural: bool) -> str:
    adjective = dice.frequent(ADJECTIVES) + " " if dice.chance(0.4) else ""
    noun = dice.frequent(topic)
    return f"some {adjective}{noun}en" if plural else f"the {adjective}{noun}"


def sentence(dice: Dice, topic: tuple[str, ...], name: str) -> str:
    plural = dice.chance(0.4)
    subject = name if dice.chance(0.3) else phrase(dice, topic, plural=plural)
    verb = dice.frequent(VERBS) + ("" if plural and subject != name else "it")
    target = phrase(dice, topic, plural=dice.chance(0.4))
    return f"{subject[0].upper()}{subject[1:]} {verb} {target}."


def total(dice: Dice) -> str:
    left, right = dice.below(60), dice.below(40)
    return f"{left} + {right} = {left + right}"


def group(dice: Dice, topic: tuple[str, ...], depth: int = 0) -> str:
    parts = [
        group(dice, topic, depth + 1) if depth < 2 and dice.chance(0.3) else dice.frequent(topic)
        for _ in range(2 + dice.below(2))
    ]
    return f"({' '.join(parts)})" if depth % 2 == 0 else f"[{' '.join(parts)}]"


def note(dice: Dice) -> str:
    """A note: a heading, then some lines of four kinds about one topic and one name."""
    topic = TOPICS[dice.below(len(TOPICS))]
    name = dice.frequent(NAMES)
    lines = [f"# {name}"]
    for _ in range(3 + dice.below(6)):
        kind = dice.below(10)
        if kind < 6:
            line = sentence(dice, topic, name)
        elif kind < 8:
            line = f"  {name}: {total(dice)}"
        else:
            line = f"  {name} {group(dice, topic)}"
        lines.append(line)
    return "\n".join(lines) + "\n\n"


def notes(seed: int | str) -> Iterator[str]:
    dice = Dice(seed)
    while True:
        yield note(dice)


def text(seed: int | str, size: int) -> bytes:
    """The first `size` bytes of the notes that `seed` gives."""
    parts: list[bytes] = []
    length = 0
    for part in notes(seed):
        if length >= size:
            break
        parts.append(part.encode("ascii"))
        length += len(parts[-1])
    return b"".join(parts)[:size]


def training_text() -> bytes:
    """All that a training may learn from."""
    return text(TRAIN_SEED, TRAIN_BYTES)


if __name__ == "__main__":
    print(training_text()[:2_000].decode("ascii"))
