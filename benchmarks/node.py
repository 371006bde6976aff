"""What a frame costs in depth_motion_node beside the engine: all outputs, and odometry alone.

camera_node, depth_motion_node and a listener run as processes and talk over DDS. The node's own
diagnostics tell the costs; the listener tells what arrived and how late.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Listener, Rig, causes, changes
from benchmarks.report import Verdict, number, table, verdict_table, write
from depth_motion_ros.cli.demo.processes import add_node_arguments, node_parameters
from depth_motion_ros.cli.demo.recording import CAMERA_INFO, DEPTH, ODOMETRY, TOPICS
from depth_motion_ros.cli.demo.scene import render_scene
from depth_motion_ros.cli.demo.statistics import percentiles
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.cli.main import run_command

SCENE, SCENE_FRAMES = "sim:yard", 20
# Every output of the node.
OUTPUTS = tuple(
    topic
    for topic in TOPICS
    if topic.startswith(("depth/", "object_flow/")) or topic in (ODOMETRY, "camera_info_estimated")
)
# s. The node's diagnostics look back so far: earlier ones would tell of the start.
WARM_UP_S = 5.0
PARTS = {"engine": "engine", "refine": "refinement", "other": "everything else"}


@dataclass(frozen=True)
class NodeCase:
    """topics: what is heard of the outputs. target: ms of processor time for all but engine and
    refinement."""

    name: str
    topics: tuple[str, ...]
    target: float


CASES = (NodeCase("all outputs", OUTPUTS, 6.0), NodeCase("odometry alone", (ODOMETRY,), 2.0))


@dataclass
class NodeResult:
    """said: the node's diagnostics while it was measured, one a second. before, after: at both
    ends. latency_ms: from the camera's stamp to the receipt of depth, or else of odometry."""

    case: NodeCase
    said: list[dict[str, str]] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    latency_ms: list[float] = field(default_factory=list)

    def cost(self, key: str) -> float:
        """A value of the diagnostics, the median over the run; NaN where it was never said."""
        values = [float(said[key]) for said in self.said if key in said]
        return float(np.median(values)) if values else float("nan")

    @property
    def meets_target(self) -> bool:
        """By processor time, which other programs on the machine do not lengthen."""
        return self.cost("cpu_other_ms") <= self.case.target

    @property
    def tracking_ok(self) -> float:
        """Share of the diagnostics that said so."""
        return float(np.mean([said.get("tracking") == "ok" for said in self.said]))

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        grown = changes(self.before, self.after)
        return {
            "case": self.case.name,
            "rate_hz": self.cost("rate_hz"),
            "received": grown("received"),
            "served": grown("served"),
            "causes": causes(self.before, self.after),
            "tracking_ok": self.tracking_ok,
            **{
                f"{prefix}{part}_ms": {
                    "p50": self.cost(f"{prefix}{part}_ms"),
                    "p95": self.cost(f"{prefix}{part}_p95_ms"),
                }
                for prefix in ("", "cpu_")
                for part in PARTS
            },
            "latency_ms": percentiles(self.latency_ms),
            "target_ms": self.case.target,
            "meets_target": self.meets_target,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring, in each case")
    parser.add_argument("--rate", type=float, default=30.0, help="images a second")
    parser.add_argument("--size", type=image_size, default="640x480", help="of the images")
    parser.add_argument("--scene", default=SCENE, help="what the camera shows")
    add_node_arguments(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="depth_motion_bench_") as name:
        folder = Path(name)
        scene = render_scene(
            args.scene, folder / "scene", size=args.size, rate=args.rate, frames=SCENE_FRAMES,
            there_and_back=True,
        )  # fmt: skip
        results = bench(node_parameters(args), scene, args.rate, args.seconds, folder, print)
    print(costs_table(results))
    print(verdict_table(verdicts(results)))
    content = {
        "rate_hz": args.rate,
        "size": list(args.size),
        "node": {key: results[-1].after.get(key) for key in ("engine", "precision", "device")},
        "cases": [result.summary() for result in results],
    }
    write(args.json, content)
    return 0


def bench(
    parameters: Mapping[str, Any],
    scene: Path,
    rate: float,
    seconds: float,
    folder: Path,
    say: Callable[[str], object],
    cases: Sequence[NodeCase] = CASES,
) -> list[NodeResult]:
    """Run it. folder: for logs. Raises DemoError where a process ends."""
    results = []
    with Rig(folder) as rig:
        rig.perception(parameters)
        for case in cases:
            say(f"measuring {case.name}")
            with rig.inner() as part:
                results.append(_measure(case, part, scene, rate, seconds))
    return results


def _measure(case: NodeCase, rig: Rig, scene: Path, rate: float, seconds: float) -> NodeResult:
    listener: Listener = rig.listener({t: TOPICS[t] for t in (*case.topics, CAMERA_INFO)})
    rig.wait_until_active(listener)
    camera = rig.camera(scene, rate, reliable=True)
    rig.wait_until(lambda: listener.counts().get(CAMERA_INFO), "the camera")
    rig.pause(WARM_UP_S)
    first = len(listener.reports())
    rig.pause(seconds)
    last = len(listener.reports())
    rig.stop(camera)
    rig.wait_for_reports(listener)
    reports = listener.reports()
    said = [report["diagnostics"]["perception"] for report in reports]
    timed = DEPTH if DEPTH in case.topics else case.topics[0]
    return NodeResult(
        case,
        said=said[first:last],
        before=said[first - 1],
        after=said[-1],
        latency_ms=[late for report in reports[first:last] for late in report["latency_ms"][timed]],
    )


def costs_table(results: Sequence[NodeResult]) -> str:
    """ms of each part of a frame and of its latency, wall and processor time."""
    rows = []
    for result in results:
        said = result.summary()
        for part, name in PARTS.items():
            wall, cpu = said[f"{part}_ms"], said[f"cpu_{part}_ms"]
            cells = [number(cost[p], ".2f") for cost in (wall, cpu) for p in ("p50", "p95")]
            rows.append((f"{result.case.name}: {name}", *cells))
        late = said["latency_ms"]
        cells = [number(late.get(p), ".2f") for p in ("p50", "p95")]
        rows.append((f"{result.case.name}: latency", *cells, "", ""))
    return table(("ms a frame", "median", "p95", "CPU median", "CPU p95"), rows)


def verdicts(results: Sequence[NodeResult]) -> list[Verdict]:
    """Whether each case keeps its target; where it cannot be told, why."""
    found = []
    for result in results:
        said = result.summary()
        counted = ", ".join(f"{key} {count}" for key, count in said["causes"].items())
        detail = (
            f"{number(said['rate_hz'])} Hz, received {said['received']}, served {said['served']}"
            + (f" ({counted})" if counted else "")
        )
        what = f"{result.case.name}: everything else at most {result.case.target:g} ms of CPU"
        found.append(Verdict(what, result.meets_target, detail))
        if result.tracking_ok < 0.5:
            what = f"{result.case.name}: tracking ok"
            why = "frames that are not tracked cost less: give trained --weights"
            found.append(Verdict(what, False, why))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    return run_command("python -m benchmarks.node", __doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
