"""All commands, as literals: out of this table come the top-level help, the shell completion,
the man page and docs/reference/cli.md, and it is all that a start of the program reads.
"""  # noqa: D205

from __future__ import annotations

from gitexp.light import NamedTuple


class Command(NamedTuple):
    """A command: its name, the group it is listed in, and one line of help.

    Its code is the module ``gitexp.cli.commands.<name>``; ``import_`` for ``import``, which
    Python keeps for itself.
    """

    name: str
    group: str
    help: str

    @property
    def module(self) -> str:
        """Dotted name of the module with the command's code."""
        return f"gitexp.cli.commands.{self.name}{'_' * (self.name == 'import')}"


COMMANDS = (
    Command("run", "record", "run a command and record it as a run"),
    Command("record", "record", "record a run that happened outside"),
    Command("replicate", "record", "run the exact code of a run again, with new seeds"),
    Command("import", "record", "make runs of what another tool or a ledger recorded"),
    Command("note", "record", "add a comment to a run"),
    Command("tag", "record", "add or remove tags of a run"),
    Command("verdict", "record", "say whether a run is to keep or to discard"),
    Command("log", "look", "list runs, the latest first"),
    Command("show", "look", "show one run: parameters, metrics, code, environment"),
    Command("best", "look", "rank runs by a metric"),
    Command("compare", "look", "show what differs between runs, side by side"),
    Command("metrics", "look", "print the history of a run's metrics"),
    Command("plot", "look", "draw a metric of several runs as curves"),
    Command("export", "look", "write runs as JSON lines, CSV, Parquet or one HTML page"),
    Command("diff", "look", "compare the code, parameters and metrics of two runs"),
    Command("status", "look", "show runs in progress and what the store holds"),
    Command("watch", "look", "watch runs in progress, live"),
    Command("check", "think", "say whether an idea was tried, and how that went"),
    Command("decide", "think", "say what to do next about runs, and write it down"),
    Command("noise", "think", "show how much replicates differ, and what another run would buy"),
    Command("report", "think", "tell what won, what broke, what to do next, what it cost"),
    Command("context", "think", "print the brief for a coding agent"),
    Command("papers", "think", "read papers and repositories, and search them"),
    Command("methods", "think", "look at methods, add one's own, see what came of them"),
    Command("usage", "think", "show what models took: tokens, money and time"),
    Command("loop", "think", "run the cycle by itself: propose, guard, run, decide, again"),
    Command("memorylab", "think", "MemoryLab's own commands: init, check, log, report"),
    Command("checkout", "return", "bring the code of a run back"),
    Command("push", "share", "add runs to a remote"),
    Command("pull", "share", "bring the runs of a remote"),
    Command("init", "set up", "look at or choose this clone's settings"),
    Command("hook", "set up", "do what a git hook or an agent's start hook asks for"),
    Command("skill", "set up", "write the guide with which coding agents use gitexp"),
    Command("completion", "set up", "print the completion script for a shell"),
    Command("verify", "keep", "check that everything recorded is whole, and repair what can be"),
    Command("reindex", "keep", "make the index anew"),
    Command("rm", "keep", "withdraw runs"),
    Command("gc", "keep", "drop what withdrawn runs hold"),
    Command("archive", "keep", "fold the handles of old runs away"),
    Command("recover", "keep", "seal runs whose process is gone"),
)

GROUPS = {
    "record": "record runs",
    "look": "look at runs",
    "think": "decide what to do next",
    "return": "return to a run's code",
    "share": "share runs",
    "set up": "set up",
    "keep": "keep the store whole",
}

EXIT_CODES = (
    (0, "success"),
    (1, "the request failed; the message says why"),
    (2, "the command line is not valid"),
    (3, "an error inside gitexp"),
    (10, "no usable git repository"),
    (11, "others kept changing the store; try again"),
    (12, "the data was written by a newer gitexp"),
    (130, "interrupted"),
)
