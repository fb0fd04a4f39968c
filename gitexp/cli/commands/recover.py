"""Seal the runs that ended or whose process is gone, and say what became of each.

Every command that reads runs does the same by itself; this one shows it. Runs in progress, here
or on another host that shares the file system, are left alone. Exits with 1 when a run could
not be sealed: what it tracked is safe in its journal, and the next command tries again.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitexp import journal, seal
from gitexp.cli.context import Context
from gitexp.git.refs import is_run_id
from gitexp.git.repository import Repository
from gitexp.render.text import ago, short


def configure(_parser: ArgumentParser) -> None:
    """Declare the arguments: there are none."""


def run(_args: Namespace, context: Context) -> int:
    """Seal what can be sealed and report."""
    report = recover(context.repository)
    if context.output.json:
        context.output.data(report)
    else:
        for sentence in _sentences(report):
            context.output.line(sentence)
    return 1 if report["failed"] else 0


def recover(repository: Repository) -> dict[str, list[dict[str, Any]]]:
    """Seal what can be sealed and return what was found, in the shape of ``--json``."""
    results = seal.recover(repository)
    return {
        "recovered": [
            {"run": result.run_id, "status": result.status}
            for result in results
            if result.error is None
        ],
        "failed": [
            {"run": result.run_id, "message": result.error.message, "hint": result.error.hint}
            for result in results
            if result.error is not None
        ],
        "running": _running(repository, {result.run_id for result in results}),
        "damaged": [
            {"run": path.name, "path": str(path)} for path in _damaged(repository.home / "damaged")
        ],
    }


def _running(repository: Repository, handled: set[str]) -> list[dict[str, Any]]:
    """Return the runs that were left alone, with their owner and last sign of life."""
    running = []
    for run_id in journal.live_runs(repository):
        path = journal.journal_path(repository, run_id)
        try:
            folded, changed = seal.fold(path), path.stat().st_mtime
        except FileNotFoundError:
            continue  # sealed just now
        if run_id in handled:
            continue
        owner = folded.owner
        running.append(
            {
                "run": run_id,
                "name": folded.run.name if folded.run else None,
                "host": owner.host if owner else None,
                "pid": owner.pid if owner else None,
                "here": owner is not None and owner.host == journal.host_name(),
                "last_sign": datetime.fromtimestamp(changed, UTC),
            }
        )
    return running


def _damaged(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*") if is_run_id(p.name))


def _sentences(report: dict[str, list[dict[str, Any]]]) -> list[str]:
    now = datetime.now(UTC)
    lines = [f"Run {short(r['run'])} is sealed as {r['status']}." for r in report["recovered"]]
    lines += [
        f"Run {short(r['run'])} could not be sealed: {r['message']}" for r in report["failed"]
    ]
    lines += [
        f"Run {short(r['run'])} ({r['name'] or 'without a name'}) is left alone: "
        f"process {r['pid']} on {r['host']}, last sign of life {ago(r['last_sign'], now)}."
        for r in report["running"]
    ]
    lines += [
        f"The journal of run {short(r['run'])} was damaged; what could be read is sealed, "
        f"and the journal is kept as {r['path']}."
        for r in report["damaged"]
    ]
    return lines or ["Every run is sealed; there is nothing to recover."]
