"""Do what a git hook or an agent's start hook asks for; the hooks themselves call this.

pre-push REMOTE URL shares the runs that were started on the commits of a pushed branch. What
fails is a warning: the branch is pushed all the same. pre-receive checks, on a server, that a
push loses and damages nothing; exprag.maxBlob bounds the size of a file (256m by default).
agent-start prints a short brief of what is known here, and nothing where no run is recorded.
'git exp init --hooks' installs pre-push, or pre-receive in a bare repository.
"""

from __future__ import annotations

import itertools
import os
import sys
from argparse import ArgumentParser, Namespace

from gitexp.cli.context import Context
from gitexp.cli.output import print_hint, print_warning
from gitexp.errors import GitexpError, NoRepositoryError, UsageError
from gitexp.render.text import safe

_SHOWN = 100
"""Findings that the refusal of a push names."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", metavar="HOOK", choices=list(_HOOKS), help="pre-push, pre-receive or agent-start"
    )
    parser.add_argument(
        "words", metavar="REMOTE URL", nargs="*", help="of pre-push: where git pushes to"
    )


def run(args: Namespace, context: Context) -> int:
    """Do the work of the hook."""
    return _HOOKS[args.name](args.words, context)


def _pre_push(words: list[str], context: Context) -> int:
    if not words:
        raise UsageError("The remote is not named.", "git calls this hook with REMOTE and URL.")
    shared: list[str] = []
    if not os.environ.get("GITEXP_PUSHING"):  # else gitexp itself is pushing
        try:
            from gitexp.hooks.branch import share_branch

            shared = share_branch(context.repository, words[0], sys.stdin.buffer)
        except (GitexpError, OSError) as error:
            print_warning(f"The runs of this push are not shared: {error}")
            if isinstance(error, GitexpError) and error.hint:
                print_hint(error.hint)
    if context.output.json:
        context.output.data({"shared": shared})
    elif shared:
        count = "1 run" if len(shared) == 1 else f"{len(shared)} runs"
        sys.stderr.write(f"gitexp: {count} shared with {safe(words[0])}.\n")
    return 0


def _pre_receive(_words: list[str], context: Context) -> int:
    from gitexp.hooks.receive import check_push, parse_updates

    updates = parse_updates(sys.stdin.buffer)
    found = check_push(context.repository, updates)
    findings = list(itertools.islice(found, _SHOWN))
    if context.output.json:
        context.output.data({"findings": [finding._asdict() for finding in findings]})
    for finding in findings:
        sys.stderr.write(f"gitexp: {safe(str(finding))}.\n")
    if next(found, None) is not None:
        sys.stderr.write(f"gitexp: and more; the first {_SHOWN} are shown.\n")
    return 1 if findings else 0


def _agent_start(_words: list[str], context: Context) -> int:
    text = ""
    try:
        from gitexp.hooks.brief import brief

        text = brief(context.open_memory())
    except NoRepositoryError:
        pass  # an agent may work anywhere
    except (GitexpError, OSError) as error:
        print_warning(f"There is no brief of the experiments here: {error}")
    if context.output.json:
        context.output.data({"text": text})
    else:
        sys.stdout.write(text)
    return 0


_HOOKS = {"pre-push": _pre_push, "pre-receive": _pre_receive, "agent-start": _agent_start}
