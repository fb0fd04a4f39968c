"""What the names of an expression stand for.

In this order: a run's own attribute; the full path of a parameter, a piece of metadata or a
metric; ``metrics.X`` for the metric of exactly the path X; an unambiguous suffix, at a dot or a
slash, of a path of either kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from gitexp.errors import AmbiguousError, GitexpError
from gitexp.light import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["own", "field", "metric"]
    OwnType = Literal["number", "text", "time", "tags", "search"]


def _document(name: str) -> str:
    where = "(SELECT packed FROM doc WHERE run = r.number), (SELECT dictionary FROM meta)"
    return f"document_text({where}, '{name}')"


def _digits(column: str) -> str:
    """Return the SQL for an object id: in hexadecimal if it is kept as bytes, else as it is."""
    return f"CASE typeof({column}) WHEN 'blob' THEN lower(hex({column})) ELSE {column} END"


OWN: dict[str, tuple[OwnType, str]] = {
    "run": ("text", _digits("r.id")),
    "id": ("text", _digits("r.id")),
    "name": ("text", "+r.name"),
    "status": ("text", "+r.status"),
    "started": ("time", "r.started"),
    "ended": ("time", "r.ended"),
    "duration": ("number", "+r.duration"),
    "by": ("text", "+r.author"),
    "verdict": ("text", "+r.verdict"),
    "family": ("text", "+r.family"),
    "seed": ("number", "+r.seed"),
    "branch": ("text", "+r.branch"),
    "commit": ("text", _digits('r."commit"')),
    "dirty": ("number", "+r.dirty"),
    "host": ("text", "+r.host"),
    "calls": ("number", "+r.calls"),
    "exit_code": ("number", "+r.exit_code"),
    "parent": ("text", "+r.parent"),
    "action": ("text", "+r.action"),
    "tree": ("text", _digits("r.tree")),
    "tags": ("tags", "tag"),
    "tag": ("tags", "tag"),
    "description": ("text", _document("description")),
    "hypothesis": ("text", _document("hypothesis")),
    "text": ("search", ""),
}
"""Own attributes: their type, and their SQL over ``r``, a row of ``run``.

The unary plus takes the column's affinity away: SQLite would find the text ``5`` equal to 5.
"""

KEYWORDS = frozenset(
    ["and", "or", "not", "in", "is", "True", "False", "None", "true", "false", "none"]
)
"""What is no name without backquotes."""

_SHOWN = 10
_LONGEST = 200
_CLOSE = 3


class Target(NamedTuple):
    """What a name stands for.

    Attributes:
        path: The attribute's name, or the full path.
        number: Of the path in this database; None when no run in it has the path.
    """

    kind: Kind
    path: str
    number: int | None = None


class Catalog:
    """The names that runs have.

    Args:
        metrics: Path of each metric -> its number in the database, None if it is not there.
        fields: Likewise of parameters and metadata: ``params.lr``, ``metadata.note``.
        lower: Says of a metric's path whether lower is better.
    """

    def __init__(
        self,
        metrics: Mapping[str, int | None],
        fields: Mapping[str, int | None],
        lower: Callable[[str], bool],
    ) -> None:
        self.metrics = metrics
        self.fields = fields
        self.lower = lower

    def resolve(self, name: str) -> Target:
        """Return what a name stands for.

        Raises:
            AmbiguousError: It is a suffix of several paths; they are listed.
            GitexpError: It is nothing that is known; the nearest names are in the hint.
        """
        if name in OWN:
            return Target("own", name)
        if name in self.fields:
            return Target("field", name, self.fields[name])
        exact = self._exact_metric(name)
        if exact is not None:
            return exact
        found = [Target("field", p, self.fields[p]) for p in _ending(self.fields, name)]
        found += [Target("metric", p, self.metrics[p]) for p in _ending(self.metrics, name)]
        if not found:
            known = [*self.metrics, *self.fields, *OWN]
            raise unknown("metric, parameter or attribute", name, known)
        return self._only(name, found)

    def knows(self, name: str) -> bool:
        """Say whether a name stands for something, and for one thing only."""
        try:
            self.resolve(name)
        except GitexpError:
            return False
        return True

    def resolve_metric(self, name: str) -> Target:
        """Return the metric that a name stands for; errors as in `resolve`."""
        exact = self._exact_metric(name)
        if exact is not None:
            return exact
        found = [Target("metric", p, self.metrics[p]) for p in _ending(self.metrics, name)]
        if not found:
            raise unknown("metric", name, self.metrics)
        return self._only(name, found)

    def _exact_metric(self, name: str) -> Target | None:
        for path in (name, name.removeprefix("metrics.")):
            if path in self.metrics:
                return Target("metric", path, self.metrics[path])
        return None

    def _only(self, name: str, found: list[Target]) -> Target:
        if len(found) == 1:
            return found[0]
        hidden = (self.fields.keys() | OWN.keys()) & self.metrics.keys()
        ways = [
            quoted(f"metrics.{t.path}" if t.kind == "metric" and t.path in hidden else t.path)
            for t in found
        ]
        shown = ", ".join(ways[:_SHOWN]) + (", …" if len(ways) > _SHOWN else "")
        raise AmbiguousError(f"The name {name!r} is ambiguous: {shown}.", "Give more of its path.")


def quoted(name: str) -> str:
    """Return a name as an expression can hold it: in backquotes where it needs them."""
    if re.fullmatch(r"[A-Za-z_]\w*(?:\.\w+)*", name, re.ASCII) and name not in KEYWORDS:
        return name
    doubled = name.replace("`", "``")
    return f"`{doubled}`"


def _ending(paths: Iterable[str], name: str) -> list[str]:
    return sorted(path for path in paths if path.endswith((f".{name}", f"/{name}")))


def unknown(what: str, name: str, known: Iterable[str]) -> GitexpError:
    """Return the error for a name that is not known, with the nearest that are in its hint."""
    import difflib

    paths = list(known)
    tails = {path.rpartition(".")[2]: path for path in paths}
    near: list[str] = []
    if len(name) <= _LONGEST:
        close = difflib.get_close_matches(name, [*paths, *tails], n=_CLOSE)
        near = list(dict.fromkeys(quoted(tails.get(n, n)) for n in close))
    hint: str | None = None
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif paths:
        more = ", …" if len(paths) > _SHOWN else ""
        hint = f"Known: {', '.join(map(quoted, paths[:_SHOWN]))}{more}."
    shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
    return GitexpError(f"No run has a {what} named {shown!r}.", hint)
