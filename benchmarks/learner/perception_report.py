"""What perception lost beside the learner, in figures, verdicts and a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.report import Verdict, number, table
from depth_motion_ros.cli.demo.statistics import percentiles

OFF, OWN, SHARED, KILLED = "off", "a core of its own", "the same core", "killed again and again"
# The target: rate and 95th percentile of the latency differ by no more.
MOST_LOSS = 0.10
# The budget is a mean over time: what one step takes too much is given back after it.
BUDGET_SLACK = 1.10


@dataclass
class LearnerResult:
    """One case of one round. latency_ms: from the camera's stamp to the receipt of depth."""

    case: str
    rate_hz: float
    sent: int
    served: int
    latency_ms: list[float]
    learner_cores: float | None = None
    steps: int = 0
    released: int = 0
    kills: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    steps_after_kills: list[int] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """ms; NaN where nothing came."""
        return float(np.percentile(self.latency_ms, percent)) if self.latency_ms else float("nan")

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "case": self.case,
            "rate_hz": round(self.rate_hz, 3),
            "sent": self.sent,
            "served": self.served,
            "latency_ms": percentiles(self.latency_ms),
            "learner_cores": self.learner_cores,
            "steps": self.steps,
            "released": self.released,
            "refused": self.refused,
            "kills": self.kills,
            "steps_after_kills": self.steps_after_kills,
        }


def judge(results: Sequence[LearnerResult], budget: float) -> list[Verdict]:
    """Rate and latency against those without the learner; its processor time against its budget.

    budget: cores.
    """

    def middle(case: str, value: Callable[[LearnerResult], float | None]) -> float:
        found = [v for r in results if r.case == case and (v := value(r)) is not None]
        return float(np.median(found)) if found else float("nan")

    verdicts = []
    rate, late = middle(OFF, lambda r: r.rate_hz), middle(OFF, lambda r: r.percentile(95))
    for case in (OWN, SHARED, KILLED):
        if not any(r.case == case for r in results):
            continue
        kept = middle(case, lambda r: r.rate_hz) / rate
        slower = middle(case, lambda r: r.percentile(95)) / late
        good = kept >= 1 - MOST_LOSS and slower <= 1 + MOST_LOSS
        what = f"learner {case}: rate and latency within {MOST_LOSS:.0%}"
        detail = f"rate x {kept:.3f}, p95 latency x {slower:.3f}"
        # With no core of its own the learner is held to its budget, perception to nothing.
        verdicts.append(Verdict(what, None if case == SHARED else good, detail))
    for case in (OWN, SHARED):
        cores = middle(case, lambda r: r.learner_cores)
        if np.isfinite(cores):
            what, detail = f"learner {case}: budget kept", f"{cores:.2f} cores of {budget:g}"
            verdicts.append(Verdict(what, cores <= budget * BUDGET_SLACK, detail))
    return verdicts


def progress(result: LearnerResult) -> str:
    """One case in a line."""
    text = (
        f"{result.rate_hz:.2f} Hz, {result.served} of {result.sent} served, latency median "
        f"{result.percentile(50):.1f} ms, p95 {result.percentile(95):.1f} ms"
    )
    if result.case == OFF:
        return text
    cores = "" if result.learner_cores is None else f"{result.learner_cores:.2f} cores, "
    if result.kills:
        # Every life counts its steps from what was saved: their difference says nothing.
        return f"{text}; {cores}{result.kills} kills"
    return f"{text}; {cores}{result.steps} steps, {result.released} released"


def results_table(results: Sequence[LearnerResult]) -> str:
    """Medians over the rounds."""
    headings = (
        "learner", "rate, Hz", "served", "latency median, ms", "p95, ms", "learner, cores", "steps"
    )  # fmt: skip
    rows = []
    for case in dict.fromkeys(result.case for result in results):
        those = [result for result in results if result.case == case]
        cores = [r.learner_cores for r in those if r.learner_cores is not None]
        rows.append(
            (
                case,
                f"{np.median([r.rate_hz for r in those]):.2f}",
                f"{np.median([r.served / max(1, r.sent) for r in those]):.1%}",
                number(float(np.median([r.percentile(50) for r in those]))),
                number(float(np.median([r.percentile(95) for r in those]))),
                f"{np.median(cores):.2f}" if cores else "",
                f"{np.median([r.steps for r in those]):.0f}" if case in (OWN, SHARED) else "",
            )
        )
    return table(headings, rows)
