"""The program ``git-exp``: find the command, import its module alone, run it, report failure.

git calls it for ``git exp``. Exit codes are those of `gitexp.cli.registry.EXIT_CODES`.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from argparse import ArgumentParser, HelpFormatter, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from types import ModuleType

from gitexp import __version__
from gitexp.cli.registry import COMMANDS, EXIT_CODES, GROUPS, Command
from gitexp.cli.terminal import columns
from gitexp.errors import GitexpError, GitexpWarning, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SIGPIPE_EXIT = 141  # what a shell reports of a program that SIGPIPE ended
_INTERNAL_EXIT = 3
_INTERRUPTED_EXIT = 130


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}.", f"See '{self.prog} -h'.")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run ``git exp`` with the given arguments (the process's own by default), then exit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    code = guarded(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _quiet_pipe()
    except OSError as error:
        code = _report_system(error, json=False)
        _discard_output()
    sys.exit(code)


def guarded(arguments: list[str]) -> int:
    """Run a command line and return its exit code, whatever happens in it."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    json = "--json" in own
    try:
        return dispatch(arguments)
    except GitexpError as error:
        from gitexp.cli.output import print_error

        print_error(error, json=json)
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return _INTERRUPTED_EXIT
    except BrokenPipeError:
        return _quiet_pipe()
    except OSError as error:
        return _report_system(error, json=json)
    except Exception as error:  # noqa: BLE001 - the outermost seam: nothing may pass it
        return _report_internal(error)


def dispatch(arguments: list[str]) -> int:
    """Find the command, parse its arguments, run it.

    Raises:
        GitexpError: What the command reports.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(top_level_help())
        return 0 if arguments else UsageError.exit_code
    if arguments[0] in ("-v", "--version", "version"):
        sys.stdout.write(f"git-exp {__version__}\n")
        return 0
    command = find_command(arguments[0])
    parser, module = command_parser(command)
    args = parse_arguments(parser, module, arguments[1:])
    from gitexp.cli.context import Context
    from gitexp.cli.output import Output

    _show_warnings_plainly()
    code: int = module.run(args, Context(Output(json=args.json)))
    return code


def find_command(name: str) -> Command:
    """Return the command of that name.

    Raises:
        UsageError: There is none; the nearest are named.
    """
    for command in COMMANDS:
        if command.name == name:
            return command
    import difflib

    near = difflib.get_close_matches(name, [command.name for command in COMMANDS], n=2)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See 'git exp -h'."
    raise UsageError(f"{name!r} is not a command of git exp.", hint)


def command_parser(command: Command) -> tuple[ArgumentParser, ModuleType]:
    """Return the argument parser of a command and its module.

    A module with a text ``AFTER_DASHES`` takes what follows ``--`` on the command line as it is;
    the text says in the usage line what that is.
    """
    module = importlib.import_module(command.module)
    codes = "".join(f"\n  {code:3}  {meaning}" for code, meaning in EXIT_CODES)
    parser = _Parser(
        prog=f"git exp {command.name}",
        description=module.__doc__,
        epilog=f"exit codes:{codes}",
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    parser.add_argument("--json", action="store_true", help="print JSON (docs/reference/json.md)")
    if hasattr(module, "AFTER_DASHES"):
        usage = parser.format_usage().removeprefix("usage: ").rstrip()
        parser.usage = f"{usage} {module.AFTER_DASHES}"
    return parser, module


def _formatter(prog: str) -> HelpFormatter:
    """Return argparse's formatter for a width that is known: else each option that is declared
    makes one that asks for the terminal, and for modules that take a millisecond.
    """  # noqa: D205
    return RawDescriptionHelpFormatter(prog, width=columns() - 2)


def parse_arguments(parser: ArgumentParser, module: ModuleType, words: list[str]) -> Namespace:
    """Return the parsed arguments of a command; ``after_dashes`` holds what no parser looks at.

    Raises:
        UsageError: They are not valid.
    """
    if not hasattr(module, "AFTER_DASHES"):
        return parser.parse_args(words)
    at = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:at])
    args.after_dashes = words[at + 1 :]
    return args


def top_level_help() -> str:
    """Return the help of ``git exp`` itself: every command in one line, by group."""
    lines = ["usage: git exp COMMAND …", "", "Your repository remembers every experiment.", ""]
    for group, title in GROUPS.items():
        lines.append(title)
        lines += [f"   {c.name:<12}{c.help}" for c in COMMANDS if c.group == group]
        lines.append("")
    lines += [
        "A RUN is an id or a unique prefix of one, latest, latest~2, best:METRIC, a name or a tag.",
        "'git exp COMMAND -h' explains a command; 'git exp --help' opens the manual.",
    ]
    return "\n".join(lines) + "\n"


def _show_warnings_plainly() -> None:
    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        if issubclass(category, GitexpWarning):
            from gitexp.cli.output import print_warning

            print_warning(str(message))

    warnings.simplefilter("always", GitexpWarning)
    warnings.showwarning = show  # type: ignore[assignment]


def _quiet_pipe() -> int:
    """Leave without a word when the reader of our output has gone, as other tools do."""
    _discard_output()
    return _SIGPIPE_EXIT


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_system(error: OSError, *, json: bool) -> int:
    """Say what the system refused: a full disk, a file that we may not read or write."""
    from gitexp.cli.output import print_error
    from gitexp.git.write import write_error

    failure = write_error(error, f"use {error.filename}" if error.filename else "go on")
    print_error(failure, json=json)
    return failure.exit_code


def _report_internal(error: Exception) -> int:
    import traceback

    traceback.print_exception(error)
    sys.stderr.write(
        "error: This is a fault in gitexp; nothing recorded is lost.\n"
        "hint: Please report it with the lines above.\n"
    )
    return _INTERNAL_EXIT


if __name__ == "__main__":
    main()
