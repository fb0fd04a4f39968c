"""Check that everything recorded is whole: refs, objects, lines, digests, history, index, journals.

Everything is derived again, and nothing is changed; git's own 'git fsck' is part of it. Each
finding says what to do about it. --repair does what can be done without losing anything: it asks
the remotes for objects that are missing, brings back lines that got lost, makes the index anew,
and then looks again. A damaged file is moved to '<common dir>/exprag/damaged', never deleted.
Exits with 1 when there is anything worse than a note.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import Output
from gitexp.verify.check import verify
from gitexp.verify.findings import Finding, Repaired, Report
from gitexp.verify.repair import repair

_SHOWN = 20
"""Findings of one kind that are printed; --json has all."""

_WORDS = {"lost": "lost", "damaged": "damaged", "repairable": "to repair", "note": "note"}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--repair", action="store_true", help="set right what can be set right")


def run(args: Namespace, context: Context) -> int:
    """Check, repair if asked to, and report."""
    output = context.output
    progress = output.progress("Checking")
    report = verify(context.repository, progress)
    repaired: list[Repaired] = []
    if args.repair and any(finding.repairable for finding in report.findings):
        repaired, report = repair(context.repository, report, progress)
    if output.json:
        output.data(as_json(report, repaired))
    else:
        _print(output, report, repaired)
    return 0 if report.whole else 1


def as_json(report: Report, repaired: Iterable[Repaired]) -> dict[str, Any]:
    """Return what was found and done, in the shape of ``--json``."""
    return {
        "whole": report.whole,
        "checked": report.checked,
        "counts": report.counts,
        "findings": [finding._asdict() for finding in report.findings],
        "repaired": [each._asdict() for each in repaired],
    }


def _print(output: Output, report: Report, repaired: Iterable[Repaired]) -> None:
    for each in repaired:
        output.line(f"{'repaired' if each.done else 'not repaired'}: {_at(each.ref)}{each.message}")
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        kinds.setdefault((finding.severity, finding.check), []).append(finding)
    for (severity, _), findings in kinds.items():
        for finding in findings[:_SHOWN]:
            output.line(f"{_WORDS[severity]}: {_place(finding)}{finding.message}")
            if finding.remedy:
                output.line(f"    {finding.remedy}")
        if len(findings) > _SHOWN:
            output.line(f"    and {len(findings) - _SHOWN} more like these (--json shows all)")
    output.line(summary(report))


def _place(finding: Finding) -> str:
    path = "" if finding.path.replace("/", "") == finding.run else finding.path
    line = f"line {finding.line}" if finding.line else ""
    return _at(*(word for word in (finding.ref, path, line) if word))


def _at(*words: str) -> str:
    return f"{', '.join(words)}: " if any(words) else ""


def summary(report: Report) -> str:
    """Return one line that says how it stands."""
    looked = ", ".join(
        f"{count:,} {what.removesuffix('s') if count == 1 else what}"
        for what, count in report.checked.items()
    )
    words = _WORDS | ({"note": "notes"} if report.counts["note"] > 1 else {})
    found = [f"{count:,} {words[name]}" for name, count in report.counts.items() if count]
    state = "Everything recorded is whole" if report.whole else "Not everything is whole"
    return f"{state}: looked at {looked}; found {', '.join(found) or 'nothing'}."
