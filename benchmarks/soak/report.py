"""What a soak has shown: rates, latencies, drops by cause, and whether anything has grown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness import causes, changes, rate_of
from benchmarks.process import ProcessStatistics
from benchmarks.report import Verdict
from benchmarks.soak import swaps
from benchmarks.soak.swaps import Swap
from depth_motion_ros.cli.demo.statistics import percentiles

# Cycles that must have passed before memory and latency are compared: the first warms up.
JUDGED_CYCLES = 3
MEMORY_GROWTH = 0.02
# The 99th percentile of some hundred frames moves by itself.
LATENCY_GROWTH = 1.5
LATENCY_FLOOR_MS = 20.0
LATENCY_SAMPLES = 300
DEPTH, FRAMES = "depth/image", "camera_info"
TALLY = ("received", "served", "dropped", "bad", "unwanted")


@dataclass
class PhaseResult:
    """One phase of one cycle.

    counts: messages heard by topic. latency_ms: of depth/image. published, served: stamps (ns) of
    camera_info and of depth/image. before, after: the node's diagnostics at both ends. process: the
    node's, once a second. swaps: of the weights; asked_swaps: how many there should have been.
    """

    phase: str
    cycle: int
    counts: dict[str, int] = field(default_factory=dict)
    backwards: int = 0
    latency_ms: list[float] = field(default_factory=list)
    published: list[int] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    process: list[ProcessStatistics] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)
    asked_swaps: int = 0

    def delta(self, key: str) -> int:
        """How much a count of the diagnostics has grown."""
        return changes(self.before, self.after)(key)

    @property
    def lost(self) -> int:
        """Images that were published and neither served nor told as dropped or bad.

        The node serves the first image that it receives and the last, so only what was published
        between these two counts; before, subscribers were still being connected.
        """
        if not self.served or not self.published:
            return 0
        first = max(self.served[0], self.published[0])
        between = [stamp for stamp in self.published if first <= stamp <= self.served[-1]]
        unserved = len(set(between) - set(self.served))
        return max(0, unserved - self.delta("dropped") - self.delta("bad"))

    @property
    def memory(self) -> int:
        """Median of the resident bytes; 0 where nothing was read."""
        return int(np.median([p.memory for p in self.process])) if self.process else 0

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        made = {}
        if self.asked_swaps:
            made["swaps"] = swaps.summary(self.swaps, self.served, self.latency_ms)
        return {
            "phase": self.phase,
            "cycle": self.cycle,
            "published": self.counts.get(FRAMES, 0),
            **{name: self.delta(name) for name in TALLY},
            "causes": causes(self.before, self.after),
            "lost": self.lost,
            "rate_hz": round(rate_of(self.served), 2),
            "latency_ms": percentiles(self.latency_ms, (50, 90, 99), 1),
            "memory_mb": round(self.memory / 1e6, 1),
            "threads": max((p.threads for p in self.process), default=0),
            "files": max((p.files for p in self.process), default=0),
            **made,
        }


def judge(results: list[PhaseResult]) -> list[Verdict]:
    found = [
        _nothing_missed(results),
        _in_order(results),
        *(_grown(results, name) for name in ("memory", "threads", "files")),
        _latency(results),
    ]
    swapping = [result for result in results if result.asked_swaps]
    return [*found, _swapped(swapping)] if swapping else found


def _nothing_missed(results: list[PhaseResult]) -> Verdict:
    """Every image published is served or told as dropped; every one received is accounted for;
    every depth map that was made arrived."""
    wrong = []
    for result in results:
        where = f"{result.phase}, cycle {result.cycle}"
        told = sum(result.delta(name) for name in TALLY[1:])
        if result.lost:
            wrong.append(f"{where}: {result.lost} of {len(result.published)} images got lost")
        if result.delta("received") != told:
            wrong.append(f"{where}: {result.delta('received')} received, {told} accounted for")
        if DEPTH in result.counts and result.counts[DEPTH] != result.delta("served"):
            served = result.delta("served")
            wrong.append(f"{where}: {served} depth maps made, {result.counts[DEPTH]} arrived")
    return Verdict("no missed stamp", not wrong, "; ".join(wrong) or f"{len(results)} phases")


def _swapped(results: list[PhaseResult]) -> Verdict:
    """Every swap was made, and not one frame lost or dropped while frames and swaps went on."""
    asked = sum(result.asked_swaps for result in results)
    made = [swap for result in results for swap in result.swaps if swap.good]
    refused = [swap.message for result in results for swap in result.swaps if not swap.good]
    dropped = sum(result.delta("dropped") + result.delta("bad") for result in results)
    lost = sum(result.lost for result in results)
    frames = sum(len(result.served) for result in results)
    detail = f"{len(made)} of {asked} swaps; {frames} frames served, {dropped} dropped, {lost} lost"
    if refused:
        detail += f"; refused: {refused[0]}"
    return Verdict("weights swapped", len(made) == asked and not dropped and not lost, detail)


def _in_order(results: list[PhaseResult]) -> Verdict:
    count = sum(result.backwards for result in results)
    return Verdict("stamps rise", count == 0, f"{count} outputs out of order")


def _pairs(results: list[PhaseResult]) -> list[tuple[PhaseResult, PhaseResult]]:
    """For each phase: the cycle after the warm-up, and the last one."""
    last = max((result.cycle for result in results), default=0)
    if last < JUDGED_CYCLES:
        return []
    by_key = {(result.phase, result.cycle): result for result in results}
    phases = dict.fromkeys(result.phase for result in results)
    return [
        (by_key[phase, 2], by_key[phase, last])
        for phase in phases
        if (phase, 2) in by_key and (phase, last) in by_key
    ]


def _grown(results: list[PhaseResult], name: str) -> Verdict:
    """Phase by phase, because each phase has its own level."""
    pairs = [(a, b) for a, b in _pairs(results) if a.process and b.process]
    if not pairs:
        return Verdict(f"{name} flat", None, "too short to tell")
    growth = max(
        float(np.median([getattr(p, name) for p in b.process]))
        / float(np.median([getattr(p, name) for p in a.process]))
        - 1
        for a, b in pairs
    )
    allowed = MEMORY_GROWTH if name == "memory" else 0.0
    return Verdict(f"{name} flat", growth <= allowed, f"{growth:+.1%} (allowed {allowed:.0%})")


def _latency(results: list[PhaseResult]) -> Verdict:
    pairs = [
        (a, b)
        for a, b in _pairs(results)
        if min(len(a.latency_ms), len(b.latency_ms)) >= LATENCY_SAMPLES
    ]
    if not pairs:
        return Verdict("latency flat", None, "too short to tell")
    wrong, said = False, []
    for a, b in pairs:
        first, last = (float(np.percentile(r.latency_ms, 99)) for r in (a, b))
        wrong = wrong or last > LATENCY_GROWTH * max(first, LATENCY_FLOOR_MS)
        said.append(f"{a.phase} {first:.0f} → {last:.0f} ms")
    return Verdict("latency flat", not wrong, f"p99: {', '.join(said)}")
