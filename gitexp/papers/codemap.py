"""A map of Python code: a section for each module, class, function and method, with its symbols.

The code is parsed and never run. The section of a module holds what stands outside of its
functions and classes, its constants above all, without imports. Symbols are the names that a
section defines, then those that it uses: by them a method's signature is found in code.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence

from gitexp.papers.document import PaperError, Section

MAX_SYMBOLS = 200
"""Of a section."""

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)


def map_module(path: str, source: str) -> list[Section]:
    """Return the sections of a module.

    Args:
        path: Where it stands in its repository.
        source: Its text.

    Raises:
        PaperError: It is no Python of this version.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the code does wrong is not ours to say
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PaperError(f"{path} is no Python that can be read.") from error
    lines = source.split("\n")
    outside = [each for each in tree.body if not isinstance(each, (*_DEFINITIONS, *_IMPORTS))]
    found = [_section(path, outside, lines)]
    for each in tree.body:
        if isinstance(each, _DEFINITIONS):
            found += _definition(path, each, lines)
    return [section for section in found if section.text]


def _definition(path: str, node: _Definition, lines: Sequence[str]) -> Iterator[Section]:
    """Yield a function as a whole; a class without its methods, then each method."""
    if not isinstance(node, ast.ClassDef):
        yield _section(f"{path}: {node.name}", [node], lines, [node.name])
        return
    methods = [each for each in node.body if isinstance(each, _DEFINITIONS)]
    names = [node.name, *(each.name for each in methods)]
    attributes = [each for each in node.body if not isinstance(each, _DEFINITIONS)]
    head = "\n".join(lines[_first_line(node) - 1 : node.body[0].lineno - 1])
    body = _section("", [*node.bases, *attributes], lines, names)
    own = _source(attributes, lines)
    yield Section(f"{path}: {node.name}", f"{head}\n{own}".strip("\n"), body.symbols)
    for each in methods:
        yield _section(f"{path}: {node.name}.{each.name}", [each], lines, [each.name])


def _section(
    title: str, nodes: Sequence[ast.AST], lines: Sequence[str], names: Sequence[str] = ()
) -> Section:
    symbols = dict.fromkeys([*names, *_assigned(nodes), *_used(nodes)])
    return Section(title, _source(nodes, lines), tuple(symbols)[:MAX_SYMBOLS])


def _source(nodes: Sequence[ast.AST], lines: Sequence[str]) -> str:
    """Return the lines of statements, with an empty line where there were others between them."""
    made: list[str] = []
    last = 0
    for node in nodes:
        if not isinstance(node, ast.stmt):
            continue
        first = max(_first_line(node), last + 1)
        if made and first > last + 1:
            made.append("")
        last = max(last, node.end_lineno or first)
        made += lines[first - 1 : last]
    return "\n".join(made).strip("\n")


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _assigned(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the names that statements give a value, arguments of functions included."""
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                yield each.id
            elif isinstance(each, ast.arg) and each.arg not in ("self", "cls"):
                yield each.arg


def _used(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the names that statements use: ``F``, ``rms_norm``, ``use_bias``."""
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute):
                yield each.attr
            elif isinstance(each, ast.Name) and each.id not in ("self", "cls"):
                yield each.id
            elif isinstance(each, ast.keyword) and each.arg is not None:
                yield each.arg
