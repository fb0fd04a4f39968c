"""Print or write the guide with which coding agents use gitexp.

Agents find it as a SKILL.md in a folder of its own: .claude/skills/gitexp/SKILL.md,
.agents/skills/gitexp/SKILL.md or .opencode/skills/gitexp/SKILL.md, say.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from gitexp.agents.skill import skill_text, write_skill
from gitexp.cli.context import Context
from gitexp.errors import UsageError


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--write", metavar="PATH", type=Path, help="write it there, not to stdout")
    parser.add_argument("--force", action="store_true", help="replace whatever PATH is now")


def run(args: Namespace, context: Context) -> int:
    """Print or write the guide."""
    if args.write is None:
        if args.force:
            raise UsageError("--force makes sense with --write only.")
        if context.output.json:
            context.output.data({"text": skill_text()})
        else:
            sys.stdout.write(skill_text())
        return 0
    write_skill(args.write, force=args.force)
    if context.output.json:
        context.output.data({"path": str(args.write.absolute())})
    else:
        context.output.line(f"Wrote {args.write}.")
    return 0
