"""Counters of the node, and the DiagnosticArray that publishes them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

_WINDOW = 120
_COSTS = (
    *("latency", "engine", "refine", "other"),
    *("cpu_engine", "cpu_refine", "cpu_other"),
)


@dataclass(frozen=True)
class FrameCosts:
    """Costs of one frame, ms; its parts may run in parallel with those of neighbouring frames.

    latency: from its arrival to its last output.
    engine: the networks.
    refine: aligning the images.
    other: the rest, that is decoding, estimating and publishing.
    cpu_engine: processor time of the networks, on their thread.
    cpu_refine: processor time of the alignment, on its thread.
    cpu_other: all other processor time of the process since the previous frame.
    finished: time.monotonic() of its last output.
    """

    latency: float
    engine: float
    refine: float
    other: float
    cpu_engine: float
    cpu_refine: float
    cpu_other: float
    finished: float = field(default_factory=time.monotonic)


class FrameCounters:
    """Counts frames, drops and bad messages by cause. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._served: deque[FrameCosts] = deque(maxlen=_WINDOW)
        self._total_served = 0
        self._idle = 0
        self._left_out: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()
        self._resets: Counter[str] = Counter()

    def receive(self) -> None:
        with self._lock:
            self._received += 1

    def serve(self, served: FrameCosts) -> None:
        with self._lock:
            self._served.append(served)
            self._total_served += 1

    def idle(self) -> None:
        """A frame without subscribers of outputs: not computed, and no drop either."""
        with self._lock:
            self._idle += 1

    def leave_out(self, cause: str) -> None:
        """An image that was not new: it has depth, and no part in the motion."""
        with self._lock:
            self._left_out[cause] += 1

    def drop(self, cause: str) -> None:
        with self._lock:
            self._dropped[cause] += 1

    def bad(self, cause: str) -> None:
        with self._lock:
            self._bad[cause] += 1

    def reset(self, cause: str) -> None:
        with self._lock:
            self._resets[cause] += 1

    def values(self, dropped_busy: int, now: float | None = None) -> dict[str, str]:
        """Everything counted, as diagnostic values. dropped_busy: what the worker dropped.

        The rate is that of the last five seconds, so that it falls to zero when nothing comes.
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            recent = [served for served in self._served if now - served.finished <= 5.0]
            values = {
                "received": str(self._received),
                "served": str(self._total_served),
                "unwanted": str(self._idle),
                "rate_hz": f"{_rate(recent):.2f}",
            }
            for name in _COSTS:
                costs = sorted(getattr(served, name) for served in recent)
                values[f"{name}_ms"] = f"{costs[len(costs) // 2]:.2f}" if costs else "nan"
                if costs:
                    values[f"{name}_p95_ms"] = f"{costs[int(0.95 * (len(costs) - 1))]:.2f}"
            dropped = {"busy": dropped_busy, **self._dropped}
            values["dropped"] = str(sum(dropped.values()))
            values.update(_by_cause("dropped", dropped))
            values["left_out"] = str(sum(self._left_out.values()))
            values.update(_by_cause("left_out", self._left_out))
            values["bad"] = str(sum(self._bad.values()))
            values.update(_by_cause("bad", self._bad))
            values["resets"] = str(sum(self._resets.values()))
            values.update(_by_cause("resets", self._resets))
        return values


def _rate(recent: list[FrameCosts]) -> float:
    if len(recent) < 2:
        return 0.0
    span = recent[-1].finished - recent[0].finished
    return (len(recent) - 1) / span if span > 0 else 0.0


def _by_cause(prefix: str, counts: Mapping[str, int]) -> dict[str, str]:
    return {f"{prefix}/{cause}": str(count) for cause, count in sorted(counts.items()) if count}


class OncePerCause:
    """Logs the first message of each cause and swallows its repetitions.

    ``forget`` opens all causes again: after a deactivation they are logged again.
    """

    def __init__(self, log: Callable[[str], object]) -> None:
        self._log = log
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, cause: str, message: str) -> None:
        with self._lock:
            if cause in self._seen:
                return
            self._seen.add(cause)
        self._log(f"{cause}: {message} (logged once; counted in /diagnostics)")

    def forget(self) -> None:
        with self._lock:
            self._seen.clear()


def diagnostic_array(
    stamp: Time, name: str, hardware_id: str, level: bytes, message: str, values: Mapping[str, str]
) -> DiagnosticArray:
    """One status. level: one of DiagnosticStatus.OK, WARN, ERROR, STALE."""
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [
        DiagnosticStatus(
            level=level,
            name=name,
            message=message,
            hardware_id=hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
    ]
    return array
