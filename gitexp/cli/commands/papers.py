"""Read papers, documents and repositories into the library, look at them and search them.

What is read is cut into passages of one section. Titles, excerpts of at most 280 characters and
digests travel with the runs; the full text stays in this clone, unless --share-text asks.

Only arXiv is asked over the network. 'git config --add exprag.papers.host HOST' allows another
host; nothing else is ever contacted, whatever an address leads to.

'git exp papers add -h' explains one of the commands.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from itertools import groupby
from typing import Any

import msgspec

from gitexp import __version__
from gitexp.cli.context import Context
from gitexp.cli.output import print_error, print_warning
from gitexp.errors import GitexpError, UsageError
from gitexp.git.repository import Repository
from gitexp.library.library import Library, Passage
from gitexp.papers.fetch import ARXIV_API, ARXIV_SITE, Fetcher
from gitexp.papers.ingest import Added, Failure, add_paper, read_sources
from gitexp.records.library import Chunk, Paper, Withdrawal
from gitexp.render.text import safe
from gitexp.research.overview.brief import quoted

_FAILED = 1
_LIMIT = 10
_ADD = """Read sources and add them to the library.

A source is an arXiv id (2002.05202, 2002.05202v1, cs/0112017) or address; a file: .pdf, .html,
.tex, .md, .txt, or a TeX archive as arXiv has it; a folder with a git repository, or the address
of one; or the address of a document. What is there as it is adds nothing; a newer version takes
the place of the older one.
"""


def configure(parser: ArgumentParser) -> None:
    """Declare the commands and their arguments."""
    commands = parser.add_subparsers(
        dest="action", metavar="COMMAND", required=True, help="add, list, show, search or rm"
    )
    options: dict[str, Any] = {"allow_abbrev": False, "formatter_class": parser.formatter_class}
    add: Callable[..., ArgumentParser] = commands.add_parser
    _configure_add(add("add", help="read sources and add them", description=_ADD, **options))
    _add_json(add("list", help="list the papers, the latest first", **options))
    show = add("show", help="show a paper, or one passage of it", **options)
    show.add_argument("paper", metavar="PAPER", help="id, arXiv id, or id of a passage (ID.3)")
    _add_json(show)
    search = add("search", help="find passages by words", **options)
    search.add_argument("query", metavar="QUERY", help="words, identifiers or numbers")
    search.add_argument(
        "-n",
        "--limit",
        type=int,
        default=_LIMIT,
        metavar="N",
        help="passages to show (default: 10)",
    )
    _add_json(search)
    remove = add("rm", help="withdraw a paper; adding it again brings it back", **options)
    remove.add_argument("paper", metavar="PAPER", help="id, arXiv id, or a prefix of either")
    remove.add_argument("--reason", metavar="TEXT", help="why")
    _add_json(remove)


def _configure_add(parser: ArgumentParser) -> None:
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="where it is")
    parser.add_argument(
        "--share-text", action="store_true", help="share the full text, not excerpts only"
    )
    parser.add_argument("--title", metavar="TEXT", help="instead of the title that it gives itself")
    parser.add_argument("--licence", metavar="TEXT", help="the licence that it is under")
    _add_json(parser)


def _add_json(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", default=SUPPRESS, help="print JSON (docs/reference/json.md)"
    )


def run(args: Namespace, context: Context) -> int:
    """Do what is asked."""
    return _ACTIONS[args.action](args, context, Library(context.repository))


def _add(args: Namespace, context: Context, library: Library) -> int:
    if len(args.specs) > 1 and (args.title or args.licence):
        raise UsageError("--title and --licence say something of one paper; name only one.")
    given = {"title": args.title, "licence": args.licence}
    given = {name: value for name, value in given.items() if value}
    repository = context.repository
    added: list[Added] = []
    failed: list[Failure] = []
    for read in read_sources(args.specs, fetch=fetcher(repository), top=repository.work_tree):
        if isinstance(read, Failure):
            failed.append(read)
            continue
        document = msgspec.structs.replace(read, **given)
        added.append(add_paper(library, document, share_text=args.share_text))
        _say_added(added[-1], context)
    if len(args.specs) == 1 and failed:
        raise failed[0].error
    if context.output.json:
        context.output.data(
            {"papers": list(map(_added_json, added)), "failed": list(map(_failure_json, failed))}
        )
    else:
        for failure in failed:
            print_error(failure.error, json=False)
    return _FAILED if failed else 0


def fetcher(repository: Repository) -> Fetcher:
    """Return what gets papers for a repository, by its settings."""
    hosts = repository.configured(r"^exprag\.papers\.host$").get("exprag.papers.host", [])
    settings = repository.settings
    return Fetcher(
        arxiv_api=settings.get("exprag.arxiv.api", ARXIV_API),
        arxiv_site=settings.get("exprag.arxiv.site", ARXIV_SITE),
        hosts=hosts,
        clock=repository.home / "arxiv",
        agent=f"gitexp/{__version__}",
    )


def _say_added(added: Added, context: Context) -> None:
    for note in added.notes:
        print_warning(f"{added.paper.id}: {note}")
    if not context.output.json:
        done = "added" if added.new else "there already"
        passages = _count(added.passages, "passage")
        context.output.line(f"{added.paper.id}  {added.paper.title}  ({done}, {passages})")


def _list(_args: Namespace, context: Context, library: Library) -> int:
    papers = library.papers()
    if context.output.json:
        context.output.data({"papers": list(map(paper_json, papers))})
    else:
        header = ("paper", "year", "title")
        rows = ((safe(p.id), str(p.year or ""), safe(p.title)) for p in papers)
        context.output.table(header, rows)
    return 0


def _show(args: Namespace, context: Context, library: Library) -> int:
    name, dot, number = args.paper.rpartition(".")
    known = {paper.id for paper in library.papers()}
    if dot and name in known and number.isdigit():
        return _show_passage(args.paper, name, context, library)
    paper = library.paper(args.paper)
    chunks = library.chunks(paper.id)
    sections = [(title, len(list(each))) for title, each in groupby(chunks, _section)]
    methods = sorted(
        method.slug
        for method in library.methods().values()
        if any(reference.paper == paper.id for reference in method.references)
    )
    if context.output.json:
        content = paper_json(paper) | {"passages": len(chunks), "methods": methods}
        content["sections"] = [{"title": t, "passages": count} for t, count in sections]
        context.output.data(content)
    else:
        _print_paper(paper, sections, methods, context)
    return 0


def _section(chunk: Chunk) -> str:
    return chunk.section


def _print_paper(
    paper: Paper, sections: list[tuple[str, int]], methods: list[str], context: Context
) -> None:
    line = context.output.line
    context.output.heading(paper.title)
    line(f"paper: {paper.id}{f' ({paper.version})' if paper.version else ''}")
    about = {
        "authors": ", ".join(paper.authors),
        "year": paper.year,
        "address": paper.url,
        "doi": paper.doi,
        "commit": paper.commit,
        "licence": paper.licence or "not known",
        "added": f"{paper.time} by {paper.by}",
        "methods": ", ".join(methods) or "none refers to it",
    }
    for name, value in about.items():
        if value:
            line(f"{name}: {value}")
    if paper.abstract:
        line()
        line(quoted(paper.abstract, len(paper.abstract)))
    line()
    passages = _count(sum(count for _, count in sections), "passage")
    line(f"{passages}, {paper.characters:,} characters:")
    for title, count in sections:
        line(f"  {count:4}  {title or '(no heading)'}")


def _show_passage(chunk_id: str, paper_id: str, context: Context, library: Library) -> int:
    chunk = next((each for each in library.chunks(paper_id) if each.id == chunk_id), None)
    if chunk is None:
        hint = f"'git exp papers show {paper_id}' says how many it has."
        raise GitexpError(f"{paper_id} has no passage {chunk_id!r}.", hint)
    text = library.text(chunk.id)
    if context.output.json:
        content = chunk_json(chunk)
        context.output.data(content if text is None else content | {"text": text})
        return 0
    context.output.heading(f"{chunk.id}  {chunk.section}")
    if text is None:
        print_warning("Its full text is not in this clone; this is its excerpt.")
    context.output.text(text or chunk.excerpt)
    return 0


def _search(args: Namespace, context: Context, library: Library) -> int:
    if args.limit < 1:
        raise UsageError("--limit must be 1 or more.")
    found = library.search_passages(args.query, limit=args.limit)
    if context.output.json:
        passages = [_passage_json(passage) for passage in found]
        context.output.data({"query": args.query, "passages": passages})
        return 0
    for passage in found:
        chunk = passage.chunk
        context.output.line(f"{chunk.id}  {passage.title}")
        context.output.line(f"    section: {chunk.section or '(no heading)'}")
        context.output.line(f"    {quoted(chunk.excerpt, len(chunk.excerpt))}")
    if not found:
        context.output.line("No passage has these words.")
    return 0


def _rm(args: Namespace, context: Context, library: Library) -> int:
    paper = library.paper(args.paper)
    time, by = library.stamp()
    library.add([Withdrawal(time=time, by=by, id=paper.id, reason=args.reason)])
    if context.output.json:
        context.output.data({"paper": paper.id, "title": paper.title})
    else:
        context.output.line(f"{paper.id} is withdrawn: {paper.title}")
    return 0


_PAPER_KEYS = (
    "source",
    "title",
    "authors",
    "year",
    "url",
    "arxiv",
    "version",
    "doi",
    "commit",
    "licence",
    "abstract",
    "digest",
    "characters",
    "time",
    "by",
)


def paper_json(paper: Paper) -> dict[str, Any]:
    """Return a paper as JSON shows it; what is not known is absent."""
    values = {name: getattr(paper, name) for name in _PAPER_KEYS}
    return {"paper": paper.id} | {k: v for k, v in values.items() if v not in (None, ())}


def chunk_json(chunk: Chunk) -> dict[str, Any]:
    """Return a passage as JSON shows it, without its full text."""
    content: dict[str, Any] = {"passage": chunk.id, "paper": chunk.paper, "section": chunk.section}
    content |= {"span": chunk.span, "excerpt": chunk.excerpt, "digest": chunk.digest}
    return content | ({"symbols": chunk.symbols} if chunk.symbols else {})


def _passage_json(passage: Passage) -> dict[str, Any]:
    return chunk_json(passage.chunk) | {"title": passage.title, "score": passage.score}


def _added_json(added: Added) -> dict[str, Any]:
    content = paper_json(added.paper) | {"passages": added.passages, "new": added.new}
    return content | ({"notes": added.notes} if added.notes else {})


def _failure_json(failure: Failure) -> dict[str, Any]:
    error = failure.error
    content: dict[str, Any] = {"spec": failure.spec, "message": error.message, "hint": error.hint}
    return content | ({"details": error.details} if error.details else {})


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


_ACTIONS: dict[str, Callable[[Namespace, Context, Library], int]] = {
    "add": _add,
    "list": _list,
    "show": _show,
    "search": _search,
    "rm": _rm,
}
