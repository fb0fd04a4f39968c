"""Runs as a table: a row for each run, a column for each thing that some run has.

Every value is exact and of its own type: numbers, texts, booleans, aware times, lists, None for
what a run does not have. What a library or a file format makes of the types is not decided here.

Of a metric there are two columns, since one number is not enough and all of its summary too much:
its last value, under its own name as everywhere, and the best that was reached, ``best(acc)``,
with the direction of ``git exp best``. Whoever wants others names them: ``min(acc)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from gitexp.document import OWN, Document, fields, metric_value
from gitexp.errors import GitexpError, UsageError
from gitexp.index.schema import NAN
from gitexp.light import NamedTuple
from gitexp.records.nested import number_from_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from gitexp.index.search import Found
    from gitexp.query.names import Catalog, Target
    from gitexp.query.syntax import Node

    Titles = str | Sequence[str]
    """Columns as they are asked for: expressions, or one text with commas between them."""

    class Searchable(Protocol):
        """What has runs: `gitexp.Memory`."""

        @property
        def catalog(self) -> Catalog:
            """The names that runs have."""

        def search(
            self,
            where: str | Node | None = None,
            *,
            sort: str | None = None,
            columns: Sequence[Node] = (),
            limit: int | None = None,
        ) -> list[Found]:
            """Return the runs that fulfil an expression."""


_ALIASES = {"id": "run", "tag": "tags"}
_METADATA = "metadata"


class Line(NamedTuple):
    """What a row is made of.

    Attributes:
        fields: Parameters and metadata by their dotted paths.
        computed: What the index computed of the run.
    """

    document: Document
    fields: Mapping[str, Any]
    computed: Sequence[Any]


class Column(NamedTuple):
    """A column: its title, and what a row has in it.

    Attributes:
        node: The expression that the index computes, if it does; see `nodes`.
    """

    title: str
    value: Callable[[Line], Any]
    node: Node | None = None


def every_column(documents: Iterable[Document], lower: Callable[[str], bool]) -> list[Column]:
    """Return the columns of all that some runs have, in an order that depends on nothing else.

    First what every run has by itself, then the metrics, the parameters and the metadata, each
    by name. A metric whose name is taken goes by ``metrics.`` and its name, as in expressions.

    Args:
        documents: Of the runs.
        lower: Says of a metric's path whether lower is better.
    """
    metrics: set[str] = set()
    paths: set[str] = set()
    for document in documents:
        metrics.update(document.get("metrics", ()))
        paths.update(_all_fields(document))
    paths.discard("seed")  # it has a column of its own
    inner = sorted(paths, key=lambda path: (not path.startswith("params."), path))
    taken = {*OWN, *paths, *metrics}
    columns = [own_column(name) for name in OWN]
    for path in sorted(metrics):
        hidden = path in OWN or path in paths
        title = _unused(f"metrics.{path}", "{}", taken) if hidden else path
        best = _unused(title, "best({})", taken)
        taken |= {title, best}
        columns += [metric_column(path, title), _best(best, path, lower=lower(path))]
    return columns + [field_column(path) for path in inner]


def _unused(name: str, shape: str, taken: set[str]) -> str:
    while shape.format(name) in taken:
        name = f"metrics.{name}"
    return shape.format(name)


def parse_columns(asked: Titles, catalog: Catalog) -> list[Column]:
    """Return the columns that are asked for, such as ``name,acc,max(acc)``; each title once.

    Raises:
        QueryError: It is no list of expressions.
        GitexpError: A name is unknown, or fits several columns.
    """
    from gitexp.query.syntax import parse_list

    texts = [asked] if isinstance(asked, str) else asked
    items = [item for text in texts for item in parse_list(text)]
    columns: dict[str, Column] = {}
    computed = 0
    for item in items:
        column = _parsed(item.node, item.text, catalog, computed)
        if column.title not in columns:
            columns[column.title] = column
            computed += column.node is not None
    if not columns:
        raise UsageError("No column is named.", "Name one, such as acc or params.lr.")
    return list(columns.values())


def _parsed(node: Node, text: str, catalog: Catalog, place: int) -> Column:
    from gitexp.query.syntax import Name

    if isinstance(node, Name):
        try:
            target = catalog.resolve(node.path)
        except GitexpError as error:
            raise node.error(error.message.rstrip("."), error.hint) from None
        known = _named(target, catalog)
        if known is not None:
            return known
    return Column(text, lambda line: _computed(line.computed[place]), node)


def _named(target: Target, catalog: Catalog) -> Column | None:
    """Return the column of something that documents hold; None for what only the index has."""
    if target.kind == "field":
        return field_column(target.path)
    if target.kind == "metric":
        hidden = target.path in OWN or target.path in catalog.fields
        return metric_column(target.path, f"metrics.{target.path}" if hidden else None)
    name = _ALIASES.get(target.path, target.path)
    return own_column(name) if name in OWN else None


def _computed(value: Any) -> Any:
    """Return a value of the index: what it has in place of NaN as that, an object id as text."""
    if isinstance(value, bytes):
        return value.hex() if value != NAN else math.nan
    return value


def own_column(name: str) -> Column:
    """Return the column of something that every run has by itself, a name of `OWN`."""
    if name == "tags":  # as a list: a tag may hold a comma
        return Column(name, lambda line: list(line.document.get("tags", ())))
    of = OWN[name]
    return Column(name, lambda line: of(line.document))


def metric_column(path: str, title: str | None = None) -> Column:
    """Return the column of a metric's last value."""
    return Column(title or path, lambda line: metric_value(line.document, path))


def _best(title: str, path: str, *, lower: bool) -> Column:
    return Column(title, lambda line: metric_value(line.document, path, "best", lower=lower))


def field_column(path: str) -> Column:
    """Return the column of a parameter or piece of metadata."""
    return Column(path, lambda line: number_from_json(line.fields.get(path)))


def _all_fields(document: Document) -> dict[str, Any]:
    """Return parameters and metadata by their paths; metadata that has none as a whole."""
    found = fields(document)
    metadata = document.get(_METADATA)
    return (
        found if metadata is None or isinstance(metadata, dict) else found | {_METADATA: metadata}
    )


def nodes(columns: Iterable[Column]) -> list[Node]:
    """Return the expressions that a search must compute for these columns."""
    return [column.node for column in columns if column.node is not None]


def row(found: Found, columns: Sequence[Column]) -> list[Any]:
    """Return the values of a run, which was found with the `nodes` of the columns."""
    document = found.document
    line = Line(document, _all_fields(document), found.row.values)
    return [column.value(line) for column in columns]


def fill(found: Iterable[Found], columns: Sequence[Column]) -> dict[str, list[Any]]:
    """Return title -> values of the runs, in their order."""
    table: dict[str, list[Any]] = {column.title: [] for column in columns}
    for each in found:
        for values, value in zip(table.values(), row(each, columns), strict=True):
            values.append(value)
    return table


def _table(
    memory: Searchable,
    where: str | Node | None,
    sort: str | None,
    titles: Titles | None,
    limit: int | None,
) -> dict[str, list[Any]]:
    columns = None if titles is None else parse_columns(titles, memory.catalog)
    found = memory.search(where, sort=sort, columns=nodes(columns or ()), limit=limit)
    if columns is None:
        columns = every_column((each.document for each in found), memory.catalog.lower)
    return fill(found, columns)


class Tabular:
    """The methods of a memory that give its runs as tables and data frames."""

    def table(
        self: Searchable,
        where: str | Node | None = None,
        *,
        sort: str | None = None,
        columns: Titles | None = None,
        limit: int | None = None,
    ) -> dict[str, list[Any]]:
        """Return runs as a table: title of each column -> its values, one a run.

        Args:
            where: Only runs that fulfil this expression (docs/reference/query.md).
            sort: What to sort by: expressions with commas between them; the latest first by
                default.
            columns: Which columns: ``["name", "lr", "max(acc)"]``, or one text with commas. By
                default all: what every run has by itself, of each metric its last and its best
                value, every parameter and piece of metadata. None stands for what is missing.
            limit: At most so many runs.

        Raises:
            QueryError: An expression cannot be understood.
        """
        return _table(self, where, sort, columns, limit)

    def to_numpy(
        self: Searchable,
        where: str | Node | None = None,
        *,
        sort: str | None = None,
        columns: Titles | None = None,
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Return runs as NumPy arrays, one a column; see `table`.

        Raises:
            GitexpError: NumPy is not installed, or as for `table`.
        """
        from gitexp import frames

        return frames.to_numpy(_table(self, where, sort, columns, limit))

    def to_pandas(
        self: Searchable,
        where: str | Node | None = None,
        *,
        sort: str | None = None,
        columns: Titles | None = None,
        limit: int | None = None,
    ) -> Any:
        """Return runs as a ``pandas.DataFrame``, one a row; see `table`.

        Raises:
            GitexpError: pandas is not installed, or as for `table`.
        """
        from gitexp import frames

        return frames.to_pandas(_table(self, where, sort, columns, limit))

    def to_polars(
        self: Searchable,
        where: str | Node | None = None,
        *,
        sort: str | None = None,
        columns: Titles | None = None,
        limit: int | None = None,
    ) -> Any:
        """Return runs as a ``polars.DataFrame``, one a row; see `table`.

        Raises:
            GitexpError: Polars is not installed, or as for `table`.
        """
        from gitexp import frames

        return frames.to_polars(_table(self, where, sort, columns, limit))

    def to_arrow(
        self: Searchable,
        where: str | Node | None = None,
        *,
        sort: str | None = None,
        columns: Titles | None = None,
        limit: int | None = None,
    ) -> Any:
        """Return runs as a ``pyarrow.Table``, one a row; see `table`.

        Raises:
            GitexpError: PyArrow is not installed, or as for `table`.
        """
        from gitexp import frames

        return frames.to_arrow(_table(self, where, sort, columns, limit))
