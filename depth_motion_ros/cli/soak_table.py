"""The table of a soak, in Markdown: what goes into the documents."""

from __future__ import annotations

from typing import Any

import numpy as np

from depth_motion_ros.cli.soak_report import PhaseResult, Verdict
from depth_motion_ros.cli.soak_swaps import Swap, meanwhile, percentiles

HEAD = (
    "| load | frames in | served | dropped | lost | Hz | latency p50, ms | p99, ms | memory, MB |"
    " threads | files |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)
WORDS = {True: "yes", False: "**no**", None: "too short to tell"}


def table(results: list[PhaseResult], verdicts: list[Verdict]) -> str:
    """A row for each load, over all its cycles; ``a → b``: the second cycle and the last."""
    phases: dict[str, list[PhaseResult]] = {}
    for result in results:
        phases.setdefault(result.phase, []).append(result)
    text = HEAD + "".join(_row(name, cycles) for name, cycles in phases.items())
    swapping = [result for result in results if result.asked_swaps]
    if swapping:
        text += "\n" + _swaps(swapping)
    rows = (f"| {v.what} | {WORDS[v.good]} | {v.detail} |\n" for v in verdicts)
    return text + "\n| asked | answer | |\n|---|---|---|\n" + "".join(rows)


def _row(name: str, cycles: list[PhaseResult]) -> str:
    said = [result.summary() for result in cycles]
    # The first cycle warms up.
    first, last = said[min(1, len(said) - 1)], said[-1]

    def total(key: str) -> int:
        return sum(int(cycle[key]) for cycle in said)

    causes: dict[str, int] = {}
    for cycle in said:
        for cause, count in cycle["causes"].items():
            if cause.startswith("dropped/"):
                cause = cause.removeprefix("dropped/")
                causes[cause] = causes.get(cause, 0) + count
    dropped = str(total("dropped"))
    if causes:
        dropped += f" ({', '.join(f'{cause} {count}' for cause, count in causes.items())})"
    rate = float(np.median([cycle["rate_hz"] for cycle in said]))
    cells = (
        name, total("received"), total("served"), dropped, total("lost"),
        f"{rate:.1f}" if total("served") else "–",
        _change(first["latency_ms"].get("p50"), last["latency_ms"].get("p50")),
        _change(first["latency_ms"].get("p99"), last["latency_ms"].get("p99")),
        _change(first["memory_mb"], last["memory_mb"]),
        _change(first["threads"], last["threads"]), _change(first["files"], last["files"]),
    )  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _change(first: Any, last: Any) -> str:
    if first is None or last is None:
        return "–"
    return f"{first} → {last}"


def _swaps(results: list[PhaseResult]) -> str:
    """How long a swap takes, and what the frames under way meanwhile have waited."""
    swaps: list[Swap] = []
    during: list[float] = []
    otherwise: list[float] = []
    for result in results:
        touched, untouched = meanwhile(result.swaps, result.served, result.latency_ms)
        swaps += result.swaps
        during += touched
        otherwise += untouched
    lines = (
        ("a swap, from request to answer", [1e3 * swap.seconds for swap in swaps]),
        ("latency of frames during a swap", during),
        ("latency of the other frames", otherwise),
    )
    text = "| | count | p50, ms | p95, ms | p99, ms | most, ms |\n|---|---|---|---|---|---|\n"
    for name, values in lines:
        told = percentiles(values)
        cells = (f"{told[key]:g}" if told else "–" for key in ("p50", "p95", "p99", "max"))
        text += f"| {name} | {len(values)} | " + " | ".join(cells) + " |\n"
    return text
