"""Print the completion script for a shell.

bash: git exp completion bash > ~/.local/share/bash-completion/completions/git-exp

zsh: git exp completion zsh > ~/.zfunc/_git-exp, or another folder of $fpath

fish: git exp completion fish > ~/.config/fish/completions/git-exp.fish
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from gitexp.cli.context import Context
from gitexp.cli.parsers import describe_all
from gitexp.cli.shells import SCRIPTS


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", metavar="SHELL", choices=sorted(SCRIPTS), help="bash, zsh or fish")


def run(args: Namespace, context: Context) -> int:
    """Print the script."""
    script = SCRIPTS[args.shell](describe_all())
    if context.output.json:
        context.output.data({"shell": args.shell, "script": script})
    else:
        sys.stdout.write(script)
    return 0
