"""What the columns of a ledger mean: as the user says, else by their names, and their values.

A *field* is what a column becomes of a run; see `FIELDS`. The rules, in their order:

* what was given with ``--map`` holds;
* a name that `_NAMES` knows gives that field to the first column that bears it, if its values fit:
  a status is a status word, a time can be read as one, a commit is no decimal number;
* a nested column follows its outermost key: ``params`` and its like are parameters, ``results``
  and ``metrics`` are metrics;
* a column named like a setting (`_SETTINGS`: ``lr``, ``batch``, ``n_…``) is a parameter, one named
  like a number of the row (`_COUNTERS`) or of another text is metadata;
* a column most of whose values are numbers is a metric, any other is metadata.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitexp.errors import UsageError
from gitexp.interchange.cells import number, time_ns
from gitexp.interchange.outcomes import outcome

FIELDS = (
    "commit",
    "status",
    "description",
    "name",
    "hypothesis",
    "time",
    "seed",
    "family",
    "tag",
    "duration",
    "exit_code",
    "error",
    "external_id",
    "parent",
    "metric",
    "ignore",
)
"""Fields that stand for themselves; ``metric`` is a metric of the column's name and the goal.
``metrics.NAME``, ``params.NAME`` and ``metadata.NAME`` are the others."""

GROUPS = ("metrics", "params", "metadata")

_SEVERAL = frozenset({"tag", "ignore"})
"""Fields that several columns may become."""

_NAMES: dict[str, tuple[str, ...]] = {
    "commit": ("commit", "sha", "git_commit", "commit_sha", "commit_hash", "git_sha", "revision"),
    "status": ("status", "decision", "verdict", "outcome", "result", "correctness", "correct"),
    "description": (
        *("description", "desc", "notes", "note", "change", "idea", "summary", "text", "message"),
        *("comment", "commit_subjects", "assignment"),
    ),
    "name": ("name", "run_name", "experiment_name", "exp_name", "title", "label"),
    "hypothesis": ("hypothesis",),
    "time": (
        *("timestamp", "timestamp_utc", "ts", "ts_utc", "time", "datetime", "date"),
        *("created_at", "started_at", "start_time", "started"),
    ),
    "seed": ("seed", "random_seed"),
    "family": ("family", "category"),
    "tag": ("tags", "tag"),
    "duration": (
        *("duration", "duration_s", "duration_seconds", "wallclock_seconds", "wall_seconds"),
        *("wall_time_s", "elapsed", "elapsed_s", "elapsed_seconds", "runtime_seconds"),
    ),
    "exit_code": ("exit_code", "returncode", "return_code"),
    "error": ("error", "error_message", "exception", "traceback"),
    "external_id": ("external_id",),
    "parent": ("parent", "parent_commit", "parent_run", "parent_id", "base_commit"),
}
"""Field -> names of columns in small letters, the best first."""

_KNOWN_NAMES = frozenset(name for names in _NAMES.values() for name in names)

_GROUP_NAMES = {
    **dict.fromkeys(("params", "parameters", "config", "hyperparameters", "hparams"), "params"),
    **dict.fromkeys(("metrics", "results", "result", "scores"), "metrics"),
    "metadata": "metadata",
}

_COUNTER_NAMES = """
    experiment exp exp_id experiment_id id run run_id iteration iter trial trial_number num idx
    index row pr optuna_trial segment cycle
"""
_COUNTERS = frozenset(_COUNTER_NAMES.split())
_SETTINGS = re.compile(
    r"model|model_name|backend|slice_fn|direction|width|depth|dim|gen|epochs|window|gpus?|threads"
    r"|batch|steps_max|n_(?!params).+"
    r"|(?:.*_)?(?:lr|learning_rate|wd|weight_decay|batch_size|ubatch|dropout|momentum|hidden"
    r"|layers|heads|ctx|context|seq_len|max_len|model_len|flash_attn|type_[kv]|temperature"
    r"|top_[kp]|eps|epsilon|beta[0-9]?|warmup|warmdown|optimizer|dtype|precision|quantization"
    r"|max_steps)(?:_ratio|_steps|_frac|_pattern)?"
)
_SIDE_WORDS = """
    memory mem vram ram gb mb kb bytes byte gib mib seconds secs sec ms us time elapsed steps
    step tokens params param count num size improvement delta diff gain cost usd gap adds dels hit
    util pct mfu qubits ops run epoch epochs latency b m
"""
_SIDE = frozenset(_SIDE_WORDS.split())
"""Words in the name of a metric that is not what a loop is after, if there is another one."""

_MAIN = frozenset({"score", "loss", "bpb", "acc", "accuracy", "tok", "throughput"})
"""Words that say more than those: ``tok_per_sec`` is no time."""

_MOST = 0.8
"""Share of a column's values that must fit what it is taken for."""


@dataclass(frozen=True)
class Meaning:
    """What a column becomes.

    Attributes:
        field: One of `FIELDS`, or a group, a dot and a name.
        source: ``option``, ``name`` or ``values``: how that is known.
    """

    field: str
    source: str

    @property
    def group(self) -> str | None:
        """``metrics``, ``params`` or ``metadata``; None for the other fields."""
        head, dot, _ = self.field.partition(".")
        return head if dot else None

    @property
    def path(self) -> str:
        """The name within the group."""
        return self.field.partition(".")[2]


def known_name(column: str) -> bool:
    """Say whether a column's name alone tells its field."""
    return _plain_name(column) in _KNOWN_NAMES


def parse_map(options: Sequence[str]) -> dict[str, str]:
    """Return column -> field of ``COLUMN=FIELD`` texts.

    Raises:
        UsageError: One is not of that form, or there is no such field.
    """
    given: dict[str, str] = {}
    for option in options:
        column, equals, field = option.rpartition("=")
        group, dot, name = field.partition(".")
        if not (equals and column):
            raise UsageError(f"--map {option!r} is not COLUMN=FIELD.", "As in --map val=metric.")
        if field not in FIELDS and not (group in GROUPS and dot and name):
            groups = ", ".join(f"{name}.NAME" for name in GROUPS)
            raise UsageError(
                f"--map {option!r}: there is no field {field!r}.",
                f"Use one of {', '.join(FIELDS)}, {groups}.",
            )
        given[column] = field
    return given


def infer(
    columns: Sequence[str], values: Mapping[str, Sequence[Any]], given: Mapping[str, str]
) -> dict[str, Meaning]:
    """Return what each column means.

    Args:
        columns: Their names, in the ledger's order, keys of nested ones joined by dots.
        values: Of each column, as the ledger has them, without those that are missing.
        given: What the user said, as from `parse_map`.

    Raises:
        UsageError: The user speaks of a column that is not there, or gives a field to two.
    """
    meanings = _given(columns, given)
    taken = {meaning.field for meaning in meanings.values()}
    for field, names in _NAMES.items():
        for column in _ranked(columns, names):
            if column in meanings or (field in taken and field not in _SEVERAL):
                continue
            fitting = _fitting(field, values[column])
            if fitting is not None:
                field_ = _or_name(fitting, taken, values[column])
                meanings[column] = Meaning(field_, "name")
                taken.add(field_)
    for column in columns:
        if column not in meanings:
            meanings[column] = _other(column, values[column])
    return {column: meanings[column] for column in columns}


def _given(columns: Sequence[str], given: Mapping[str, str]) -> dict[str, Meaning]:
    meanings: dict[str, Meaning] = {}
    for column, field in given.items():
        if column not in columns:
            shown = ", ".join(columns[:20])
            raise UsageError(f"The ledger has no column {column!r}.", f"It has {shown}.")
        if field not in _SEVERAL and any(m.field == field for m in meanings.values()):
            raise UsageError(f"Two columns cannot both be the {field}.", "Map one of them.")
        if field == "metric":
            field = f"metrics.{column}"  # noqa: PLW2901
        meanings[column] = Meaning(field, "option")
    return meanings


def _ranked(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the columns that bear one of the names, by the names' order."""
    found = [column for column in columns if _plain_name(column) in names and not _is_param(column)]
    return sorted(found, key=lambda column: names.index(_plain_name(column)))


def _plain_name(column: str) -> str:
    """Return a column's name in small letters; of a nested result its last key."""
    head, dot, _ = column.partition(".")
    if dot and _GROUP_NAMES.get(head.lower()) == "metrics":
        column = column.rpartition(".")[2]
    return re.sub(r"[^a-z0-9.]+", "_", column.lower()).strip("_")


def _is_param(column: str) -> bool:
    head, dot, _ = column.partition(".")
    return bool(dot) and _GROUP_NAMES.get(head.lower()) == "params"


def _fitting(field: str, values: Sequence[Any]) -> str | None:
    """Return the field if the values fit it; None where they do not."""
    fits = sum(map(_FITS.get(field, _is_prose), values))
    return field if fits >= _MOST * len(values) else None


def _is_prose(value: Any) -> bool:
    return isinstance(value, str) and number(value) is None


_FITS: dict[str, Callable[[Any], bool]] = {
    "status": lambda value: isinstance(value, str) and outcome(value) is not None,
    "time": lambda value: time_ns(value) is not None,
    "seed": lambda value: isinstance(number(value), int),
    "duration": lambda value: number(value) is not None,
    "exit_code": lambda value: isinstance(number(value), int),
    "tag": lambda value: isinstance(value, str | list),
    "commit": lambda value: isinstance(value, str),
    "parent": lambda value: isinstance(value, str | int),
}
"""Whether a value can be what a field holds; of other fields, whether it is a text."""


def _or_name(field: str, taken: set[str], values: Sequence[Any]) -> str:
    """Return ``name`` for a column of tags that tell runs apart, where no other one does."""
    if field != "tag" or "name" in taken:
        return field
    texts = [value for value in values if isinstance(value, str)]
    return "name" if len(set(texts)) * 2 > len(texts) > 1 else field


def _other(column: str, values: Sequence[Any]) -> Meaning:
    """Return what a column means that is none of the fields of its own."""
    head, dot, rest = column.partition(".")
    group = _GROUP_NAMES.get(head.lower()) if dot else None
    if group == "params":
        return Meaning(f"params.{rest}", "name")
    path = rest if group is not None else column
    name = _plain_name(path)
    if group != "metrics" and name in _COUNTERS:
        return Meaning(f"metadata.{path}", "name")
    if group is None and _SETTINGS.fullmatch(name):
        return Meaning(f"params.{path}", "name")
    if group != "metadata" and _is_numeric(values):
        return Meaning(f"metrics.{path}", "values")
    return Meaning(f"metadata.{path}", "name" if group == "metadata" else "values")


def _is_numeric(values: Sequence[Any]) -> bool:
    return bool(values) and sum(number(v) is not None for v in values) >= _MOST * len(values)


def guess_goal(meanings: Mapping[str, Meaning], given: Mapping[str, str]) -> str | None:
    """Return the metric that a ledger is about; None where it has none.

    That is the one mapped to ``metric``, else the first that is not named after memory, time or
    another thing on the side, else the first.
    """
    for column, field in given.items():
        if field == "metric":
            return column
    paths = [meaning.path for meaning in meanings.values() if meaning.group == "metrics"]
    main = [path for path in paths if _is_main(_words(path))]
    return next(iter(main or paths), None)


def _is_main(words: Sequence[str]) -> bool:
    return bool(_MAIN.intersection(words)) or not _SIDE.intersection(words)


def _words(path: str) -> list[str]:
    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path).lower()
    return re.split(r"[^a-z]+", spread)
