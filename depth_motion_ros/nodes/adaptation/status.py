"""The learner's word on how it is: level, sentence and values of its diagnostics."""

from __future__ import annotations

import time
from collections import Counter

from diagnostic_msgs.msg import DiagnosticStatus

from depth_motion_ros.adaptation.status import OFF, AdaptationStatus
from depth_motion_ros.estimation.time_line import LeftOut

_SILENCE = 2.0  # s without an image that are worth a warning
_PLAIN = (
    *("state", "reason", "version", "frames", "admitted", "steps", "skipped_steps", "candidates"),
    *(
        "released",
        "rolled_back",
        "failures",
        "triangulated",
        "depth",
        "live_pairs",
        "own_pairs",
        "held_back_pairs",
    ),
    "rehearsal_pairs",
)


class AdaptationCounters:
    """What the node itself counts. All methods belong on the executor's thread, but ``bad``."""

    def __init__(self) -> None:
        self.received = self.between = self.delivered = 0
        self._left_out: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()
        self._last_received, self._changed_at = 0, time.monotonic()

    def leave_out(self, left_out: LeftOut) -> None:
        self._left_out[left_out.cause] += 1

    def bad(self, cause: str) -> None:
        self._bad[cause] += 1

    def values(self) -> dict[str, str]:
        bad = dict(self._bad)
        return {
            "received": str(self.received),
            "between": str(self.between),
            "left_out": str(sum(self._left_out.values())),
            **{f"left_out/{cause}": str(n) for cause, n in sorted(self._left_out.items())},
            "delivered": str(self.delivered),
            "bad": str(sum(bad.values())),
            **{f"bad/{cause}": str(count) for cause, count in sorted(bad.items())},
        }

    def silence(self) -> float:
        """Seconds without an image."""
        if self.received != self._last_received:
            self._last_received, self._changed_at = self.received, time.monotonic()
        return time.monotonic() - self._changed_at


def learner_values(status: AdaptationStatus) -> dict[str, str]:
    """The adapter's status as diagnostic values."""
    values = {name: str(getattr(status, name)) for name in _PLAIN}
    values["refused"] = str(sum(status.refused.values()))
    values.update({f"refused/{reason}": str(n) for reason, n in sorted(status.refused.items())})
    values.update({f"loss/{name}": f"{loss:.6g}" for name, loss in sorted(status.losses.items())})
    values["cpu_fraction"] = f"{status.cpu_fraction:.3f}"
    return values


def level_of(
    enabled: bool,
    problem: str,
    status: AdaptationStatus | None,
    silence: float,
    topic: str,
    preparation: str = "",
) -> tuple[bytes, str]:
    """Level and message: the most severe condition.

    problem: why there is no learner. silence: seconds without an image. preparation: how far it is.
    """
    if problem:
        return DiagnosticStatus.ERROR, problem
    if status is None:
        return DiagnosticStatus.OK, f"preparing: {preparation or 'the rehearsal set'}"
    if not enabled:
        return DiagnosticStatus.OK, "disabled"
    if status.state == OFF:
        return DiagnosticStatus.WARN, f"learning is switched off: {status.reason}"
    if silence > _SILENCE:
        return DiagnosticStatus.WARN, f"no image for {silence:.0f} s on {topic}"
    return DiagnosticStatus.OK, f"{status.state}, {status.steps} steps, {status.version}"
