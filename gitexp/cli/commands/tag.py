"""Add tags to a run, remove them, or list them.

A tag is one word without blanks or control characters. A tag that one run alone has names that
run in every command. Put '--' before a RUN or TAG that begins with '-'.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from gitexp.cli.context import Context
from gitexp.errors import GitexpError, UsageError
from gitexp.memory import is_relative_spec
from gitexp.remark import add_remark
from gitexp.render.text import safe, short
from gitexp.run import Run

MAX_TAG_CHARACTERS = 100


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="id, latest, best:METRIC, a name or a tag")
    parser.add_argument("tags", metavar="TAG", nargs="*", help="to add; without any, list them")
    parser.add_argument(
        "-d",
        "--delete",
        dest="removed",
        metavar="TAG",
        action="append",
        default=[],
        help="remove this tag; may be repeated",
    )


def run(args: Namespace, context: Context) -> int:
    """Change the tags, or list them."""
    before = context.memory.get(args.run)
    changing = bool(args.tags or args.removed)
    after = change_tags(context, before, args.tags, args.removed) if changing else before
    if context.output.json:
        context.output.data(after.to_dict())
    elif changing:
        tags = ", ".join(after.tags) or "no tags"
        context.output.line(f"Run {short(after.id)} ({after.name}) has: {tags}.")
    else:
        for tag in after.tags:
            context.output.line(tag)
    return 0


def change_tags(context: Context, tagged: Run, added: Sequence[str], removed: Sequence[str]) -> Run:
    """Add and remove tags of a run and return it as it is then; nothing is written in vain.

    Raises:
        UsageError: A new tag is not usable.
        GitexpError: The run does not have a tag that is to go.
    """
    for tag in added:
        _check(tag)
    for tag in removed:
        if tag not in tagged.tags:
            raise GitexpError(
                f"Run {short(tagged.id)} has no tag {tag!r}.",
                f"It has: {', '.join(tagged.tags)}." if tagged.tags else None,
            )
    new = tuple(tag for tag in dict.fromkeys(added) if tag not in tagged.tags or tag in removed)
    if not new and not removed:
        return tagged
    add_remark(context.repository, tagged.id, add_tags=new, remove_tags=tuple(removed))
    context.memory.refresh()
    return context.memory.get(tagged.id)


def _check(tag: str) -> None:
    if not tag or len(tag) > MAX_TAG_CHARACTERS or len(tag.split()) != 1 or safe(tag) != tag:
        raise UsageError(
            f"{tag!r} cannot be a tag.",
            f"Use one word of at most {MAX_TAG_CHARACTERS} characters, without blanks.",
        )
    if is_relative_spec(tag):
        raise UsageError(f"{tag!r} cannot be a tag: it names a run already.", "Use another word.")
