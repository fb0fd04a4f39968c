"""The packet of a logged run: what happened, what to do next and why, as JSON and as Markdown."""

from __future__ import annotations

from typing import Any

import msgspec

from gitexp.memorylab.decision import PROMISING, Decision
from gitexp.memorylab.guard import Result
from gitexp.memorylab.record import MEMORY, Record
from gitexp.records.decision import Action
from gitexp.render.markdown import block, escaped, table

VERSION = 1

_WIDTH = 200
"""Characters of a text that Markdown shows; all of it stands in the ledger."""

_WHAT_NEXT: dict[Action, str] = {
    "fix_and_retry": "Make it fit into memory, then run the idea again.",
    "investigate_crash": "Find out why it crashed before the idea is judged.",
    "promote": "Take this commit as the new base.",
    "replicate": "Run it again before building on it.",
    "branch_followup": "Try a variation of it.",
    "retry": "Run it once more: it is close to the champion.",
    "abandon": "Leave this direction.",
}


def packet_of(record: Record, novelty: Result, decision: Decision) -> dict[str, Any]:
    """Return the packet of a run, as its record and its file hold it."""
    champion = decision.champion
    return {
        "version": VERSION,
        "summary": _summary(record, decision),
        "next_action": decision.action,
        "priority": decision.priority,
        "rationale": _rationale(record, novelty, decision),
        "hypothesis_status": decision.hypothesis_status,
        "run": _run(record),
        "novelty": novelty.to_dict(),
        "comparison": {
            "champion_run_id": None if champion is None else champion.run_id,
            "champion_val_bpb": None if champion is None else champion.value,
            "delta": decision.delta,
            "is_new_champion": decision.is_champion,
            "promising_within": PROMISING,
        },
        "error": error_dict(record),
    }


def error_dict(record: Record) -> dict[str, Any] | None:
    """Return why a run crashed, as its record holds it."""
    error = record.error
    return None if error is None else msgspec.structs.asdict(error)


def _run(record: Record) -> dict[str, Any]:
    names = ("run_id", "timestamp_utc", "branch", "commit", "parent_commit", "family", "status")
    more = ("description", "hypothesis", "notes")
    return {
        **{name: getattr(record, name) for name in (*names, *more)},
        "tags": list(record.tags),
        "val_bpb": record.value,
        MEMORY: record.metrics.get(MEMORY),
    }


def _summary(record: Record, decision: Decision) -> str:
    if record.status == "crash":
        said = "" if record.error is None else record.error.summary
        return f"The run crashed: {said}"
    shown = f"val_bpb {value(record.value)}"
    if decision.is_champion:
        return f"{shown} is the new champion."
    if decision.delta is None:
        return f"{shown}; there is no champion to compare it with."
    return f"{shown} is {decision.delta:+.6f} beside the champion."


def _rationale(record: Record, novelty: Result, decision: Decision) -> list[str]:
    found = len(novelty.matches)
    matches = "1 earlier run is" if found == 1 else f"{found} earlier runs are"
    reasons = [f"The run was logged as {record.status}."]
    if decision.delta is not None:
        near = "within" if decision.delta <= PROMISING else "not within"
        reasons.append(
            f"It is {decision.delta:+.6f} beside the champion: {near} {PROMISING} of it."
        )
    reasons.append(f"The guard calls it {novelty.classification}: {matches} like it.")
    if record.error is not None:
        reasons.append(f"The error was: {record.error.summary}")
    return reasons


def packet_markdown(packet: dict[str, Any]) -> str:
    """Return a packet for people: what to do first, the evidence below."""
    run = packet["run"]
    action, priority = packet["next_action"], packet["priority"]
    lines = [
        f"# Decision: {inline(action)} ({priority} priority)",
        "",
        inline(packet["summary"]),
        "",
        f"**Next:** {_WHAT_NEXT[action]}",
        "",
        "## Run",
        "",
        *(f"* {label}: {shown}" for label, shown in _run_lines(run, packet)),
        "",
        "## Why",
        "",
        *(f"* {inline(reason)}" for reason in packet["rationale"]),
    ]
    return "\n".join([*lines, *_matches(packet["novelty"]), *_error(packet["error"])]) + "\n"


def _run_lines(run: dict[str, Any], packet: dict[str, Any]) -> list[tuple[str, str]]:
    hypothesis = inline(run["hypothesis"])
    stated = f"{hypothesis} ({packet['hypothesis_status']})" if hypothesis else "not stated"
    return [
        ("run", inline(run["run_id"])),
        ("status", run["status"]),
        ("description", inline(run["description"])),
        ("hypothesis", stated),
        ("family", inline(run["family"]) or "none"),
        ("tags", inline(", ".join(run["tags"])) or "none"),
        ("val\\_bpb", value(run["val_bpb"])),
        ("champion before", value(packet["comparison"]["champion_val_bpb"])),
    ]


def _matches(novelty: dict[str, Any]) -> list[str]:
    rows = [
        (
            inline(match["classification"]),
            f"{match['score']:.3f}",
            match["status"],
            value(match["val_bpb"]),
            inline(match["description"]),
        )
        for match in novelty["top_matches"]
    ]
    if not rows:
        return []
    return ["", "## Like it", "", table(("class", "score:", "status", "val\\_bpb:", "run"), rows)]


def _error(error: dict[str, Any] | None) -> list[str]:
    if error is None:
        return []
    tail = error["tail"]
    return ["", "## Error", "", inline(error["summary"]), *(["", block(tail)] if tail else [])]


def inline(text: str | None) -> str:
    """Return a text by others as one line of Markdown; cut off where it is very long."""
    return escaped(text or "", _WIDTH)


def value(number: float | None) -> str:
    """Return a ``val_bpb`` as all texts show it."""
    return "none" if number is None else f"{number:.6f}"
