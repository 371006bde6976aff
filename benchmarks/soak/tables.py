"""The tables of a soak."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from benchmarks.report import number, table
from benchmarks.soak.report import PhaseResult
from benchmarks.soak.swaps import PERCENTS, Swap, meanwhile
from depth_motion_ros.cli.demo.statistics import percentiles


def progress(result: PhaseResult) -> str:
    """What a phase has shown, in a line."""
    said = result.summary()
    latency = said["latency_ms"]
    return (
        f"cycle {said['cycle']}, {said['phase']}: {said['received']} in, {said['served']} served, "
        f"{said['dropped']} dropped, {said['rate_hz']:.1f} Hz, latency p50 "
        f"{number(latency.get('p50'), '.0f')} ms, p99 {number(latency.get('p99'), '.0f')} ms, "
        f"{said['memory_mb']:.1f} MB, {said['threads']} threads, {said['files']} files"
    )


def results_table(results: list[PhaseResult]) -> str:
    """A row for each load, over all its cycles; ``a → b``: the second cycle and the last."""
    headings = (
        "load", "frames in", "served", "dropped", "lost", "Hz", "latency p50, ms", "p99, ms",
        "memory, MB", "threads", "files",
    )  # fmt: skip
    phases: dict[str, list[PhaseResult]] = {}
    for result in results:
        phases.setdefault(result.phase, []).append(result)
    text = table(headings, [_row(name, cycles) for name, cycles in phases.items()])
    swapping = [result for result in results if result.asked_swaps]
    return f"{text}\n\n{_swaps_table(swapping)}" if swapping else text


def _row(name: str, cycles: list[PhaseResult]) -> tuple[str, ...]:
    said = [result.summary() for result in cycles]
    # The first cycle warms up.
    first, last = said[min(1, len(said) - 1)], said[-1]

    def total(key: str) -> int:
        return sum(int(cycle[key]) for cycle in said)

    counted: Counter[str] = Counter()
    for cycle in said:
        counted.update(cycle["causes"])
    dropped = str(total("dropped"))
    why = {key.partition("/")[2]: n for key, n in counted.items() if key.startswith("dropped/")}
    if why:
        dropped += f" ({', '.join(f'{cause} {count}' for cause, count in why.items())})"
    rate = float(np.median([cycle["rate_hz"] for cycle in said]))
    return (
        name, str(total("received")), str(total("served")), dropped, str(total("lost")),
        number(rate) if total("served") else number(None),
        _change(first["latency_ms"].get("p50"), last["latency_ms"].get("p50")),
        _change(first["latency_ms"].get("p99"), last["latency_ms"].get("p99")),
        _change(first["memory_mb"], last["memory_mb"]),
        _change(first["threads"], last["threads"]), _change(first["files"], last["files"]),
    )  # fmt: skip


def _change(first: Any, last: Any) -> str:
    return number(None) if first is None or last is None else f"{first} → {last}"


def _swaps_table(results: list[PhaseResult]) -> str:
    """How long a swap takes, and what the frames under way meanwhile have waited."""
    swaps: list[Swap] = []
    during: list[float] = []
    otherwise: list[float] = []
    for result in results:
        touched, untouched = meanwhile(result.swaps, result.served, result.latency_ms)
        swaps += result.swaps
        during += touched
        otherwise += untouched
    found = {
        "a swap, from request to answer": [1e3 * swap.seconds for swap in swaps],
        "latency of frames during a swap": during,
        "latency of the other frames": otherwise,
    }
    rows = []
    for name, values in found.items():
        told = percentiles(values, PERCENTS, 1)
        cells = (number(told.get(key), "g") for key in ("p50", "p95", "p99", "max"))
        rows.append((name, len(values), *cells))
    return table(("weights swapped", "count", "p50, ms", "p95, ms", "p99, ms", "most, ms"), rows)
