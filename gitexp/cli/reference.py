"""Write what is made of the commands' own descriptions: ``python -m gitexp.cli.reference``.

The man page, docs/reference/cli.md and the completion scripts. A test fails while a checked-in
file differs from what this module makes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from gitexp import __version__
from gitexp.cli.parsers import Argument, Description, describe_all
from gitexp.cli.registry import EXIT_CODES, GROUPS
from gitexp.cli.shells import SCRIPTS

TAGLINE = "record, find and restore experiments in a git repository"
SPECS = (
    ("ID", "the id of a run, which is a commit id, or an unambiguous prefix of 4 digits or more"),
    ("latest, latest~N", "the run that started last, or N runs before it"),
    ("best:METRIC", "the best run by a metric"),
    ("NAME, TAG", "a name or a tag that one run alone has"),
)
METRICS = (
    "A METRIC or a parameter is named by its full dotted path or any unambiguous suffix of it: "
    "acc for metrics.acc. Whether lower is better is taken from exprag.goal, else from the name "
    "(loss, error, bpb, perplexity, time, latency, memory: lower); best says which it took."
)
ENVIRONMENT = (
    ("GITEXP_RUN", "the run that an Experiment joins instead of starting one; set by run"),
    ("GITEXP_GIT_DIR", "the repository of that run; set by run"),
    ("GITEXP_MODE", "disabled: nothing is recorded"),
    ("GITEXP_SHARD", "name of this clone's share of the store"),
    ("GITEXP_SEED", "set by replicate: the seed of the new run"),
    (
        "GITEXP_SUMMARY, AUTORESEARCH_SUMMARY_PATH",
        "set by run: the file for the metrics of a command, as one JSON object; honoured if set",
    ),
    ("NO_COLOR", "print without colours"),
)
SETTINGS = (
    ("exprag.goal", "min or max: the direction that is better"),
    ("exprag.metric", "the goal metric, which runs are judged by and exprag.goal speaks of"),
    ("exprag.by", "which value of a run counts for it: best (default), last or mean"),
    ("exprag.minimum", "the smallest gain that matters (default: a quarter of the noise)"),
    ("exprag.ignore", "files that do not make code another code; several values"),
    ("exprag.alias", "FROM=TO: a word that the guard takes for another; several values"),
    ("exprag.link", "ignored paths that replicate links into its work trees; several values"),
    ("exprag.shard", "name of this clone's share of the store"),
    ("exprag.maxUntrackedFile", "largest untracked file in a snapshot (default: 1m)"),
    ("exprag.maxUntracked", "all untracked files of a snapshot together (default: 10m)"),
    ("exprag.maxSnapshot", "all files together that a snapshot adds (default: 100m)"),
    ("exprag.sync", "true: every tracked value survives a loss of power"),
)
FILES = (
    ("refs/exprag/runs/RUN", "the handle of a run: its snapshot of the code"),
    ("refs/notes/exprag/SHARD", "facts of runs, as git notes of JSON lines"),
    ("refs/notes/exprag-metrics/SHARD", "what runs tracked"),
    ("refs/exprag/files/SHARD", "files kept with runs: logs, environments"),
    ("refs/exprag/library/SHARD", "papers, methods, and what came of them, as JSON lines"),
    (".git/exprag/", "journals of runs in progress, caches, the shard's name"),
)
EXAMPLES = (
    ("git exp run --param lr=0.1 -- python train.py", "Record a run of a command."),
    ("git exp best acc", "Rank all runs by a metric."),
    ("git exp diff latest~1 latest", "See what changed between the last two runs."),
    ("git exp checkout best:acc", "Bring the code of the best run back."),
    ("git exp checkout -", "Return to where you were."),
)
RUN_EXIT = (
    "git exp run exits with the code of its command; 124 when the budget was over, 126 or 127 "
    "when the command could not be started, 128+N when signal N ended it."
)


def markdown(commands: Sequence[Description]) -> str:
    """Return docs/reference/cli.md."""
    parts = ["# Commands", "", "Written by `python -m gitexp.cli.reference`; do not edit."]
    for group, title in GROUPS.items():
        parts += ["", f"## {title[:1].upper()}{title[1:]}"]
        for description in commands:
            if description.command.group == group:
                parts += _markdown_command(description)
    sections = (
        ("RUN", SPECS),
        ("Environment", ENVIRONMENT),
        ("Settings", SETTINGS),
        ("Where it is kept", FILES),
    )
    for title, rows in sections:
        parts += ["", f"## {title}", "", *_markdown_rows(rows)]
        if rows is SPECS:
            parts += ["", METRICS]
    codes = [(str(code), meaning) for code, meaning in EXIT_CODES]
    parts += ["", "## Exit codes", "", *_markdown_rows(codes), "", RUN_EXIT]
    return "\n".join(parts) + "\n"


def _markdown_command(description: Description) -> list[str]:
    parts = ["", f"### {description.command.name}", "", "```", description.usage, "```", ""]
    for paragraph in (description.summary, *description.paragraphs):
        parts += [_markdown_text(paragraph), ""]
    arguments = [*description.positionals, *description.options]
    parts += _markdown_rows([(a.heading, _full_help(a)) for a in arguments])
    for part in description.parts:
        parts += _markdown_command(part)
    return parts


def _markdown_rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"* `{head}`: {_markdown_text(text)}" for head, text in rows]


def _markdown_text(text: str) -> str:
    return re.sub(r"([*_<>|])", r"\\\1", text)


def _full_help(argument: Argument) -> str:
    if argument.choices and not argument.value.startswith("{"):
        return f"{argument.help} ({', '.join(argument.choices)})"
    return argument.help


def man(commands: Sequence[Description]) -> str:
    """Return the man page as roff."""
    lines = [f'.TH GIT\\-EXP 1 "" "gitexp {__version__}" "gitexp manual"']
    lines += [".SH NAME", f"git\\-exp \\- {TAGLINE}"]
    lines += [".SH SYNOPSIS", ".B git exp", ".I command", "[options]"]
    lines += [".SH DESCRIPTION", _roff(_INTRODUCTION)]
    for group, title in GROUPS.items():
        lines.append(f".SH {_roff(f'commands to {title}'.upper())}")
        for description in commands:
            if description.command.group == group:
                lines += _man_command(description)
    lines += [".SH RUNS AND METRICS", *_rows(SPECS), *_paragraph(METRICS)]
    codes = [(str(code), meaning) for code, meaning in EXIT_CODES]
    lines += [".SH EXIT STATUS", *_rows(codes), *_paragraph(RUN_EXIT)]
    lines += [".SH ENVIRONMENT", *_rows(ENVIRONMENT)]
    lines += [".SH CONFIGURATION", *_rows(SETTINGS)]
    lines += [".SH FILES", *_rows(FILES)]
    lines.append(".SH EXAMPLES")
    lines += _rows(EXAMPLES)
    lines += [".SH SEE ALSO", ".BR git (1),", ".BR git\\-notes (1)"]
    return "\n".join(lines) + "\n"


_INTRODUCTION = (
    "A run is a commit that holds the code as it was when the run started, uncommitted changes "
    "included; parameters, metrics and results are git notes on it. So git itself shows, copies "
    "and keeps everything. Every command takes -h, and --json for programs."
)


def _man_command(description: Description) -> list[str]:
    lines = [f".SS {_roff(description.command.name)}", f"\\fB{_roff(description.usage)}\\fR"]
    for text in (description.summary, *description.paragraphs):
        lines += _paragraph(text)
    arguments = [*description.positionals, *description.options]
    shared = ("-h", "--json")
    own = [a for a in arguments if not a.flags or a.flags[0] not in shared]
    lines += _rows([(a.heading, _full_help(a)) for a in own])
    for part in description.parts:
        lines += _man_command(part)
    return lines


def _paragraph(text: str) -> list[str]:
    return [".PP", _roff(text)]


def _rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = []
    for head, text in rows:
        lines += [".TP", f"\\fB{_roff(head)}\\fR", _roff(text)]
    return lines


def _roff(text: str) -> str:
    """Return a text as roff shows it literally, in ASCII, on one line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    escaped = escaped.replace("…", "...").replace("~", "\\(ti").replace("^", "\\(ha")
    escaped = re.sub(r"[^\x00-\x7f]", lambda m: f"\\[u{ord(m[0]):04X}]", escaped)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def generated_files() -> dict[str, str]:
    """Return the path of each file below ``docs`` with its content."""
    commands = describe_all()
    files = {"man/git-exp.1": man(commands), "reference/cli.md": markdown(commands)}
    return files | {f"completion/git-exp.{s}": make(commands) for s, make in SCRIPTS.items()}


def write_all(docs: Path) -> None:
    """Write all files below a folder."""
    for name, content in generated_files().items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]) if sys.argv[1:] else Path("docs"))
