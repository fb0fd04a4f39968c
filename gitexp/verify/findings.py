"""What a check finds, as data: where it is, how bad it is, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["lost", "damaged", "repairable", "note"]
"""How bad a finding is.

* ``lost``: something that was recorded is not in this repository any more, or cannot be read.
* ``damaged``: something is there and is not as it should be.
* ``repairable``: everything is here to set it right; nothing is lost.
* ``note``: worth knowing, and no fault.
"""

SEVERITIES: tuple[Severity, ...] = ("lost", "damaged", "repairable", "note")

REPAIR = "Run 'git exp verify --repair'"


class Finding(NamedTuple):
    """Something that a check found.

    Attributes:
        check: Short word for what was looked at; it is stable.
        message: What is so, as a sentence; `remedy` says what to do about it.
        repairable: ``--repair`` can try to set it right.
        ref: Where it is; empty where it is in no ref. Likewise `run` (an id), `path` (in the
            ref's tree, or a file) and `line` (from 1; 0 for none).
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    repairable: bool = False
    ref: str = ""
    run: str = ""
    path: str = ""
    line: int = 0


class Repaired(NamedTuple):
    """Something that a repair did.

    Attributes:
        done: It was set right; else the message says why it could not be.
    """

    check: str
    message: str
    done: bool = True
    ref: str = ""
    run: str = ""


class Report(NamedTuple):
    """All that was found.

    Attributes:
        checked: How much was looked at, by what it is: ``refs``, ``runs``, ``notes``, ``files``.
    """

    findings: list[Finding]
    checked: dict[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity, the worst first."""
        return {
            severity: sum(finding.severity == severity for finding in self.findings)
            for severity in SEVERITIES
        }

    @property
    def whole(self) -> bool:
        """Nothing worse than a note was found."""
        return all(finding.severity == "note" for finding in self.findings)
