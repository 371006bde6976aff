"""What a check of ``depth_motion doctor`` has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """level: ``ok``, ``warning`` (it works, but not well or not always), ``problem`` (it cannot
    work). what: a sentence with the value found. fix: what to do, the command where there is one.
    """

    level: str
    what: str
    fix: str = ""

    def __post_init__(self) -> None:
        if self.level not in (OK, WARNING, PROBLEM):
            raise ValueError(f"level {self.level!r}: expected ok, warning or problem")
        if (self.level == OK) == bool(self.fix):
            raise ValueError(f"{self.level} with fix {self.fix!r}: what is not ok needs a fix")


def ok(what: str) -> Finding:
    return Finding(OK, what)


def warning(what: str, fix: str) -> Finding:
    return Finding(WARNING, what, fix)


def problem(what: str, fix: str) -> Finding:
    return Finding(PROBLEM, what, fix)


def render(title: str, findings: Sequence[Finding]) -> str:
    """A section of the report, as text."""
    lines = [title]
    for finding in findings:
        label = finding.level if finding.level == OK else finding.level.upper()
        lines.append(f"  {label:<8} {finding.what}")
        if finding.fix:
            lines.append(f"           fix: {finding.fix}")
    return "\n".join(lines)
