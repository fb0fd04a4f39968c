"""Which settings an idea changes, from what to what: out of a diff, parameters, or words.

A setting is a constant (``NAME = 0.04``), a key of a configuration file, a keyword argument, a
default of a command-line option or of a field, or a parameter of a run. Its symbol is its name in
small letters, words joined by ``_``, with aliases replaced (``LEARNING_RATE``, ``learningRate`` and
``--learning-rate`` are all ``lr``); its values are in one form (`gitexp.research.guard.values`).
What a line computes by calls is code and no setting.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from gitexp.research.guard.aliases import DOWN, UP, Aliases
from gitexp.research.guard.patch import Edit
from gitexp.research.guard.text import IS_NUMBER, MARKS, STOP
from gitexp.research.guard.tokens import Line
from gitexp.research.guard.values import Value, shown, value_of

Direction = Literal["up", "down"]

MAX_CHANGES = 64
"""Of one idea that are looked at."""
_MAX_VALUE_TOKENS = 16

_OWNERS = frozenset("self cls args cfg config conf hparams hp params opts options settings".split())  # noqa: SIM905
_NAME = re.compile(r"[^\W\d]\w*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\s_-]+")
_SIMPLE = re.compile(r"""["'].*|[-+]?\.?\d.*|[^\W\d]\w*|\*\*|//|[-+*/.,\[\]():]""", re.DOTALL)
_CLOSING, _OPENING = frozenset(")]};"), frozenset("([{")
_KEYED = ("yaml", "yml", "json", "jsonc", "json5", "toml")
_WITHOUT_MEANING = frozenset(("default", "type", "help", "x", "y", "i", "j", "n", "_"))
_HOLE = "\x00"


class SettingChange(NamedTuple):
    """A setting that an idea changes.

    Attributes:
        old: None where it is not known, or was not set; `new` likewise.
        said: The direction, where words alone say it.
    """

    symbol: str
    old: Value | None
    new: Value | None
    said: Direction | None = None

    @property
    def direction(self) -> Direction | None:
        """Which way a number goes; None where that is not known."""
        if isinstance(self.old, float) and isinstance(self.new, float) and self.old != self.new:
            return "up" if self.new > self.old else "down"
        return self.said

    def __str__(self) -> str:
        if self.new is None:
            return f"{self.symbol} {self.said}" if self.said else f"{self.symbol} unset"
        if self.old is None:
            return f"{self.symbol} = {shown(self.new)}"
        return f"{self.symbol} {shown(self.old)} -> {shown(self.new)}"


class Settings(NamedTuple):
    """What a diff does to settings.

    Attributes:
        pure: It does nothing else.
    """

    changes: tuple[SettingChange, ...]
    pure: bool


def symbol_of(name: str, aliases: Aliases) -> str:
    """Return the symbol of a setting of this name."""
    parts = _CAMEL.sub("_", name.strip().strip("\"'`").lstrip("-")).casefold().split(".")
    while len(parts) > 1 and parts[0] in _OWNERS:
        parts = parts[1:]
    return aliases.replaced(".".join(_SEPARATORS.sub("_", part).strip("_") for part in parts))


def from_edits(edits: Iterable[Edit], aliases: Aliases, *, opaque: bool = False) -> Settings:
    """Return the settings that a diff changes.

    Args:
        edits: Of the diff.
        aliases: Of the repository.
        opaque: It changes files besides that are not text.
    """
    changes: dict[SettingChange, None] = {}
    pure = not opaque
    for edit in edits:
        old, new = _assigned(edit.path, edit.removed), _assigned(edit.path, edit.added)
        pure = pure and (sorted(old.rests) == sorted(new.rests) or _is_plain(old, new))
        for name, value in new.values.items():
            before = old.values.get(name)
            if before != value:
                changes[_change(name, before, value, aliases)] = None
        for name in old.values.keys() - new.values.keys():
            changes[_change(name, old.values[name], None, aliases)] = None
    found = tuple(changes)[:MAX_CHANGES]
    return Settings(found, pure and bool(found) and len(changes) <= MAX_CHANGES)


def _change(name: str, old: str | None, new: str | None, aliases: Aliases) -> SettingChange:
    before, after = (None if text is None else value_of(text) for text in (old, new))
    return SettingChange(symbol_of(name, aliases), before, after)


class _Assigned(NamedTuple):
    """Values by name on one side of an edit, and its lines with holes where the values were."""

    values: dict[str, str]
    rests: list[str]


def _is_plain(old: _Assigned, new: _Assigned) -> bool:
    """Say whether all lines of an edit are assignments and nothing else."""
    return all(re.fullmatch(r"\S+ [=:] \x00 ?[,;]?", rest) for rest in (*old.rests, *new.rests))


def _assigned(path: str, lines: Iterable[Line]) -> _Assigned:
    values: dict[str, str] = {}
    rests = []
    is_keyed = path.rpartition(".")[2].lower() in _KEYED
    for line in lines:
        rest, at = [], 0
        for name, start, end in _settings(line.tokens, is_keyed=is_keyed):
            values.setdefault(name, _written(line.tokens[start:end]))
            rest += [*line.tokens[at:start], _HOLE]
            at = end
        rests.append(" ".join([*rest, *line.tokens[at:]]))
    return _Assigned(values, rests)


def _written(tokens: Sequence[str]) -> str:
    """Return the text of a value: signs and dots stand close, words apart."""
    return re.sub(r" ?(\*\*|//|[-+*/.,\[\]():]) ?", r"\1", " ".join(tokens))


def _settings(tokens: Sequence[str], *, is_keyed: bool) -> Iterator[tuple[str, int, int]]:
    """Yield name and place of the value of each setting on a line."""
    if tokens[:2] == ("#", "define") and len(tokens) > 3 and tokens[3] != "(":  # noqa: PLR2004
        if _is_simple(tokens[3:]):
            yield tokens[2], 3, len(tokens)
        return
    option = _option(tokens)
    at = 1
    while at < len(tokens) - 1:
        name = _name_before(tokens, at, is_keyed=is_keyed)
        end = _value_end(tokens, at + 1) if name else at
        if name == "default" and option:
            name = option
        if name and name not in _WITHOUT_MEANING and _is_simple(tokens[at + 1 : end]):
            yield name, at + 1, end
            at = end
        at += 1


def _option(tokens: Sequence[str]) -> str | None:
    """Return the long option that a line declares, as argparse and click have it."""
    if not {"add_argument", "option", "Option"} & set(tokens):
        return None
    return next((t.strip("\"'") for t in tokens if t.startswith(('"--', "'--"))), None)


def _name_before(tokens: Sequence[str], at: int, *, is_keyed: bool) -> str | None:
    """Return the name that a sign of assignment at a place gives a value to."""
    mark, before = tokens[at], tokens[at - 1]
    if mark == "=":
        if at >= 3 and tokens[at - 2] == ":" and _NAME.fullmatch(tokens[at - 3]):  # noqa: PLR2004
            return tokens[at - 3]  # name: type = value
        return _dotted(tokens, at) if _NAME.fullmatch(before) else None
    if mark == ":" and (before[0] in "\"'" or (is_keyed and _NAME.fullmatch(before))):
        return before.strip("\"'")
    return None


def _dotted(tokens: Sequence[str], at: int) -> str:
    start = at - 1
    while start >= 2 and tokens[start - 1] == "." and _NAME.fullmatch(tokens[start - 2]):  # noqa: PLR2004
        start -= 2
    return "".join(tokens[start:at])


def _value_end(tokens: Sequence[str], start: int) -> int:
    depth, last = 0, min(len(tokens), start + _MAX_VALUE_TOKENS + 1)
    for at in range(start, last):
        if depth == 0 and (tokens[at] in _CLOSING or tokens[at] == ","):
            return at
        depth += (tokens[at] in _OPENING) - (tokens[at] in _CLOSING)
    return last


def _is_simple(tokens: Sequence[str]) -> bool:
    """Say whether a value is written out or named, and not computed by a call."""
    if not 0 < len(tokens) <= _MAX_VALUE_TOKENS or not all(map(_SIMPLE.fullmatch, tokens)):
        return False
    pairs = itertools.pairwise(tokens)
    return not any(_NAME.fullmatch(a) and (b in "([" or _NAME.fullmatch(b)) for a, b in pairs)


def from_parameters(
    new: Mapping[str, Any], old: Mapping[str, Any], aliases: Aliases
) -> tuple[SettingChange, ...]:
    """Return what parameters change against others.

    Args:
        new: By dotted path, seeds left out.
        old: Those of the base likewise.
        aliases: Of the repository.
    """
    changes = []
    for path, given in new.items():
        value = value_of(given)
        before = value_of(old[path]) if path in old else None
        if before != value:
            changes.append(SettingChange(symbol_of(path, aliases), before, value))
    return tuple(changes[:MAX_CHANGES])


_RELATIVE = frozenset(("by", "times", "about"))
_BEFORE = frozenset(("was", "from", "vs", "over", "previously", "formerly"))
_BETWEEN = frozenset(("->", "to"))
_SKIPPED = frozenset(
    ("from", "to", "=", ":", "(", "of", "at", "is", "the", "a", "an", "up", "down")
)
_VERBS = frozenset(
    "set change changed changing move moved moving switch tune tuned tuning tweak adjust try make"  # noqa: SIM905
    " add added adding remove removed test sweep restore revert baseline new old only just after"
    " before also plus then at per each all one two first last step steps run runs seed value"
    " values please again now here".split()
)
_PHRASE = 3


def from_words(marked: Sequence[str]) -> tuple[SettingChange, ...]:
    """Return what the words of an idea say that it changes.

    ``lr from 0.04 to 0.4``, ``lr 0.04 -> 0.4``, ``lr 0.4 (was 0.04)``, ``lr=0.4``, ``lr 0.4``,
    ``increase warmup``, ``double the batch size``.

    Args:
        marked: As `gitexp.research.guard.text.marked_words` has them.
    """
    found: dict[str, SettingChange] = {}
    at = 0
    while at < len(marked) and len(found) < MAX_CHANGES:
        if _is_value(marked, at):
            symbol = _phrase_before(marked, at)
            old, new, at = _values(marked, at)
            if symbol and new is not None:
                found.setdefault(symbol, SettingChange(symbol, old, new))
        else:
            at += 1
    for change in _directions(marked):
        known = found.get(change.symbol)
        if known is None:
            found[change.symbol] = change
        elif known.old is None:
            found[change.symbol] = known._replace(said=change.said)
    return tuple(found.values())[:MAX_CHANGES]


def _is_value(marked: Sequence[str], at: int) -> bool:
    """Say whether there is a number, or a word where only a value can be."""
    if not at or marked[at] in MARKS:
        return False
    if IS_NUMBER.match(marked[at]):
        is_factor = marked[at].endswith("x") and not marked[at].startswith("0x")
        return marked[at - 1] not in _RELATIVE and not is_factor
    if marked[at - 1] == "=":
        return True
    follows = marked[at + 1 : at + 2]
    return marked[at - 1] == "from" and bool(follows) and follows[0] in _BETWEEN


def _values(marked: Sequence[str], at: int) -> tuple[Value | None, Value | None, int]:
    """Return the old and the new value that are said at a place, and where the text goes on."""
    first = value_of(marked[at])
    behind = list(marked[at + 1 : at + 4])
    if len(behind) > 1 and behind[0] in _BETWEEN and behind[1] not in MARKS:
        return first, value_of(behind[1]), at + 3
    skipped = 1 if behind[:1] in (["("], [","]) else 0
    behind = behind[skipped:]
    if len(behind) > 1 and behind[0] in _BEFORE and IS_NUMBER.match(behind[1]):
        return value_of(behind[1]), first, at + 3 + skipped
    return None, first, at + 1


def _phrase_before(marked: Sequence[str], at: int) -> str:
    end = at
    while end and (marked[end - 1] in _SKIPPED or marked[end - 1] in UP | DOWN):
        end -= 1
    start = end
    while start and end - start < _PHRASE and _is_name(marked[start - 1]):
        start -= 1
    return "_".join(marked[start:end])


def _is_name(word: str) -> bool:
    return not (
        word in MARKS or word in STOP or word in _VERBS or word in UP or word in DOWN
        or IS_NUMBER.match(word)
    )  # fmt: skip


def _directions(marked: Sequence[str]) -> Iterator[SettingChange]:
    """Yield the symbols that words such as "increase" or "halve" are said of."""
    for at, word in enumerate(marked):
        if word not in UP and word not in DOWN:
            continue
        start = at + 1
        while start < len(marked) and marked[start] in STOP:
            start += 1
        end = start
        while end < len(marked) and end - start < _PHRASE and _is_name(marked[end]):
            end += 1
        if end > start:
            said: Direction = "up" if word in UP else "down"
            yield SettingChange("_".join(marked[start:end]), None, None, said)


def residue(marked: Iterable[str], settings: Iterable[SettingChange]) -> int:
    """Return how many words of an idea are neither names nor values of its settings.

    Args:
        marked: As for `from_words`.
        settings: As `from_words` found them.
    """
    spoken = {part for change in settings for part in (change.symbol, *change.symbol.split("_"))}
    return sum(_is_name(word) and not spoken & {word, *word.split("_")} for word in set(marked))


def symbols_key(settings: Iterable[SettingChange]) -> str:
    """Return a text that is the same where the same settings change."""
    return "\n".join(sorted({change.symbol for change in settings}))
