"""What the argument parsers of all commands say, as data.

The man page, the reference and the completion scripts are made of it, so none of them can tell
another story than the program.
"""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gitexp.cli.main import command_parser
from gitexp.cli.registry import COMMANDS, Command


@dataclass(frozen=True)
class Argument:
    """One option or positional argument.

    Attributes:
        flags: ``-m`` and ``--description``, say; empty for a positional argument.
        value: The placeholder of its value, or of the positional argument; empty for a switch.
        choices: The values that are allowed, where they are few.
        required: It must be given.
        many: It may be given more than once.
    """

    flags: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    help: str
    required: bool
    many: bool

    @property
    def usage(self) -> str:
        """How it stands in a usage line, without brackets: ``--top N``."""
        name = self.flags[0] if self.flags else ""
        if f"--no-{name[2:]}" in self.flags:
            name = f"--[no-]{name[2:]}"
        return f"{name} {self.value}".strip()

    @property
    def heading(self) -> str:
        """How it stands at the head of its description: ``-m, --description TEXT``."""
        names = ", ".join(self.flags)
        return f"{names} {self.value}".strip()


@dataclass(frozen=True)
class Description:
    """A command with all its arguments.

    Attributes:
        summary: First sentence of its help.
        paragraphs: The others, each without line ends.
        usage: The usage line without ``usage:``.
        parts: Commands within it, as in ``git exp memorylab check``.
    """

    command: Command
    summary: str
    paragraphs: tuple[str, ...]
    usage: str
    options: tuple[Argument, ...]
    positionals: tuple[Argument, ...]
    parts: tuple[Description, ...] = ()

    @property
    def all_options(self) -> tuple[Argument, ...]:
        """Its options and those of its parts, each once."""
        found = {option.flags: option for part in self.parts for option in part.options}
        return tuple((found | {option.flags: option for option in self.options}).values())


def describe_all() -> list[Description]:
    """Return all commands in the order of the registry."""
    return [describe(command) for command in COMMANDS]


def describe(command: Command) -> Description:
    """Return one command."""
    parser, module = command_parser(command)
    return _describe(command, parser, getattr(module, "AFTER_DASHES", ""))


def _describe(command: Command, parser: ArgumentParser, after_dashes: str = "") -> Description:
    blocks = (
        (parser.description or f"{command.help[:1].upper()}{command.help[1:]}.")
        .strip()
        .split("\n\n")
    )
    summary, *paragraphs = (" ".join(block.split()) for block in blocks)
    actions = [a for a in parser._actions if a.help != SUPPRESS]  # noqa: SLF001 - no public way
    arguments = {id(action): _argument(parser, action) for action in actions}
    words = [f"git exp {command.name}", *_usage_words(parser, arguments), after_dashes]
    known = arguments.values()
    return Description(
        command,
        summary,
        tuple(paragraphs),
        " ".join(filter(None, words)),
        tuple(a for a in known if a.flags),
        tuple(a for a in known if not a.flags),
        tuple(_parts(command, actions)),
    )


def _parts(command: Command, actions: Iterable[Action]) -> Iterator[Description]:
    """Yield the commands within a command."""
    for action in actions:
        if isinstance(action, _SubParsersAction):
            helps = {part.dest: part.help or "" for part in action._get_subactions()}  # noqa: SLF001
            for name, parser in action.choices.items():
                about = Command(f"{command.name} {name}", command.group, helps[name])
                yield _describe(about, parser)


def _argument(parser: ArgumentParser, action: Action) -> Argument:
    choices = tuple(map(str, action.choices or ()))
    value = ""
    if action.nargs != 0:
        metavar = action.metavar if isinstance(action.metavar, str) else None
        named = metavar or action.dest.replace("_", "-").upper()
        value = "{" + ",".join(choices) + "}" if choices and metavar is None else named
    return Argument(
        flags=tuple(action.option_strings),
        value=value,
        choices=choices,
        help=(action.help or "") % {**vars(action), "prog": parser.prog},
        required=action.required and action.nargs not in ("*", "?"),
        many=action.nargs in ("*", "+") or type(action).__name__ == "_AppendAction",
    )


def _usage_words(parser: ArgumentParser, arguments: dict[int, Argument]) -> list[str]:
    """Return options before positional arguments, exclusive ones joined by a bar."""
    groups = [
        [arguments[id(action)] for action in group._group_actions if id(action) in arguments]  # noqa: SLF001
        for group in parser._mutually_exclusive_groups  # noqa: SLF001
    ]
    words: dict[str, None] = {}
    for argument in sorted(arguments.values(), key=lambda a: not a.flags):
        if "--help" in argument.flags:
            continue
        members = next((group for group in groups if argument in group), [argument])
        text = " | ".join(member.usage for member in members)
        shown = text if argument.required else f"[{text}]"
        words[f"{shown}…" if argument.many else shown] = None
    return list(words)
