"""``depth_motion bench node``: what a frame costs in depth_motion_node, apart from the engine.

camera_node, depth_motion_node and a listener run as processes of their own and talk over DDS. The
node's own diagnostics tell the costs; the listener tells what arrived and how late.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from depth_motion_ros.cli.demo.processes import (
    DemoError,
    NodeProcess,
    ProcessMonitor,
    add_node_arguments,
    environment,
    node_parameters,
    stopped_at_exit,
    wait_until,
    wait_until_active,
    write_parameters,
)
from depth_motion_ros.cli.demo.recording import CAMERA_INFO, DEPTH, ODOMETRY, TOPICS
from depth_motion_ros.cli.demo.statistics import machine
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.sequence.writer import SequenceWriter

HELP = "what a frame costs in the node beside the engine, with all outputs and with odometry alone"

NODES = "depth_motion_ros.nodes"
SCENE, SCENE_FRAMES = "sim:yard", 20
# Every output of the node.
OUTPUTS = tuple(
    topic
    for topic in TOPICS
    if topic.startswith(("depth/", "object_flow/")) or topic in (ODOMETRY, "camera_info_estimated")
)
# s. The node's diagnostics look back so far: earlier ones would tell of the start.
WARM_UP_S = 5.0
# The last frame must be served and counted in a diagnostic that is heard.
LAST_WORDS = 3
PARTS = ("engine", "refine", "other")


@dataclass(frozen=True)
class Case:
    """topics: what is heard of the outputs. target: ms for all but engine and refinement."""

    name: str
    topics: tuple[str, ...]
    target: float


CASES = (Case("all outputs", OUTPUTS, 6.0), Case("odometry alone", (ODOMETRY,), 2.0))


@dataclass
class CaseResult:
    """said: the node's diagnostics while it was measured, one a second. before, after: at both
    ends. latency_ms: from the camera's stamp to the receipt of depth, or else of odometry."""

    case: Case
    said: list[dict[str, str]] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    latency_ms: list[float] = field(default_factory=list)

    def cost(self, key: str) -> float:
        """A value of the diagnostics, the median over the run; NaN where it was never said."""
        values = [float(said[key]) for said in self.said if key in said]
        return float(np.median(values)) if values else float("nan")

    def delta(self, key: str) -> int:
        """How much a count of the diagnostics has grown."""
        return int(self.after.get(key, 0)) - int(self.before.get(key, 0))

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        causes = ("dropped/", "bad/", "resets/")
        costs = {
            f"{prefix}{part}_ms": {
                "median": self.cost(f"{prefix}{part}_ms"),
                "p95": self.cost(f"{prefix}{part}_p95_ms"),
            }
            for prefix in ("", "cpu_")
            for part in PARTS
        }
        latency = {
            name: round(float(np.percentile(self.latency_ms, percent)), 2)
            for name, percent in (("median", 50), ("p95", 95))
            if self.latency_ms
        }
        return {
            "case": self.case.name,
            "rate_hz": self.cost("rate_hz"),
            "received": self.delta("received"),
            "served": self.delta("served"),
            "causes": {
                key: self.delta(key)
                for key in sorted(self.after)
                if key.startswith(causes) and self.delta(key)
            },
            "tracking_ok": self.tracking("ok"),
            **costs,
            "latency_ms": latency,
            "target_ms": self.case.target,
            "meets_target": self.meets_target,
        }

    def tracking(self, word: str) -> float:
        """Share of the diagnostics that said so."""
        return float(np.mean([said.get("tracking") == word for said in self.said]))

    @property
    def meets_target(self) -> bool:
        """By processor time, which other programs on the machine do not lengthen."""
        return self.cost("cpu_other_ms") <= self.case.target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring, in each case")
    parser.add_argument("--rate", type=float, default=30.0, help="images a second")
    parser.add_argument("--size", type=image_size, default="640x480", help="of the images")
    parser.add_argument("--scene", default=SCENE, help="what the camera shows")
    add_node_arguments(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    if importlib.util.find_spec("rclpy") is None:
        raise DemoError("bench node needs ROS 2's rclpy: pip install 'depth_motion_ros[ros]'")
    with tempfile.TemporaryDirectory(prefix="depth_motion_bench_") as name:
        folder = Path(name)
        scene = render(args.scene, args.size, args.rate, folder / "scene")
        results = bench(node_parameters(args), scene, args.rate, args.seconds, folder, print)
    if args.json is not None:
        content = {
            "machine": machine(),
            "rate_hz": args.rate,
            "size": list(args.size),
            "node": {key: results[-1].after.get(key) for key in ("engine", "precision", "device")},
            "cases": [result.summary() for result in results],
        }
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


def render(spec: str, size: tuple[int, int], rate: float, folder: Path) -> Path:
    """A sequence folder that goes to and fro: played in a loop it has no cut, on which tracking
    would be lost."""
    with open_source(spec, rate=rate, frames=SCENE_FRAMES, width=size[0], height=size[1]) as scene:
        frames = list(scene)
    with SequenceWriter(folder, rate=rate) as writer:
        for index, frame in enumerate([*frames, *frames[-2:0:-1]]):
            # The truth about the way there is not that of the way back.
            writer.write(replace(frame, stamp=round(index * 1e9 / rate), truth=None))
    return folder


def bench(
    parameters: Mapping[str, Any],
    scene: Path,
    rate: float,
    seconds: float,
    folder: Path,
    say: Callable[[str], object],
    cases: tuple[Case, ...] = CASES,
) -> list[CaseResult]:
    """Run it. folder: for logs. Raises DemoError where a process ends."""
    env = environment()
    given = write_parameters(folder / "node.yaml", {**parameters, "diagnostics_period": 0.5})
    camera_values = {
        "source": str(scene), "rate": rate, "loop": True, "stamps": "now", "reliable": True,
        "wait_for_subscribers": 1,
    }  # fmt: skip
    camera = write_parameters(folder / "camera.yaml", camera_values)
    results = []
    with stopped_at_exit([]) as running:
        node = NodeProcess(f"{NODES}.perception.node", given, env, folder / "node.txt")
        running.append(node)
        for case in cases:
            result = _measure(case, node, camera, env, folder, seconds)
            results.append(result)
            say(table(result))
    return results


def _measure(
    case: Case,
    node: NodeProcess,
    given: list[str],
    env: Mapping[str, str],
    folder: Path,
    seconds: float,
) -> CaseResult:
    result = CaseResult(case)
    topics = [f"{topic}={TOPICS[topic]}" for topic in (*case.topics, CAMERA_INFO)]
    with ExitStack() as stack:
        monitor = ProcessMonitor(f"{NODES}.tools.soak_monitor", topics, env, folder / "monitor.txt")
        stack.callback(monitor.stop)
        wait_until_active(node, monitor)
        camera = NodeProcess(f"{NODES}.camera.node", given, env, folder / "camera.txt")
        stack.callback(camera.stop)
        everyone = (node, monitor, camera)
        wait_until(lambda: monitor.counts().get(CAMERA_INFO), everyone, "the camera")
        _pass(WARM_UP_S, everyone)
        first = len(monitor.reports())
        _pass(seconds, everyone)
        last = len(monitor.reports())
        camera.stop()
        wait_until(
            lambda: len(monitor.reports()) >= last + LAST_WORDS, (node, monitor), "the last words"
        )
        reports = monitor.reports()
    measured = reports[first:last]
    result.said = [report["diagnostics"] for report in measured]
    result.before, result.after = reports[first - 1]["diagnostics"], reports[-1]["diagnostics"]
    timed = DEPTH if DEPTH in case.topics else case.topics[0]
    result.latency_ms = [late for report in measured for late in report["latency_ms"][timed]]
    return result


def _pass(seconds: float, processes: tuple[NodeProcess, ...]) -> None:
    """Let the time go by. Raises DemoError where a process ends meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in processes:
            process.check()
        time.sleep(min(0.5, max(0.0, end - time.monotonic())))


def table(result: CaseResult) -> str:
    """What a case has shown, for the terminal."""
    summary = result.summary()
    causes = ", ".join(f"{key} {count}" for key, count in summary["causes"].items())
    lines = [
        f"{result.case.name}: {summary['rate_hz']:.1f} Hz, received {summary['received']}, "
        f"served {summary['served']}" + (f" ({causes})" if causes else ""),
        f"  {'ms':<18}{'median':>8}{'p95':>8}{'CPU median':>12}{'p95':>8}",
    ]
    names = {"engine": "engine", "refine": "refinement", "other": "everything else"}
    for part, name in names.items():
        wall, cpu = summary[f"{part}_ms"], summary[f"cpu_{part}_ms"]
        lines.append(
            f"  {name:<18}{wall['median']:>8.2f}{wall['p95']:>8.2f}"
            f"{cpu['median']:>12.2f}{cpu['p95']:>8.2f}"
        )
    latency = summary["latency_ms"]
    if latency:
        lines.append(f"  {'latency':<18}{latency['median']:>8.2f}{latency['p95']:>8.2f}")
    word = "met" if result.meets_target else "MISSED"
    lines.append(f"  target: everything else at most {result.case.target:g} ms of CPU: {word}")
    if summary["tracking_ok"] < 0.5:
        lines.append(
            "  tracking is not ok most of the time: frames cost less than they should. Give "
            "trained --weights"
        )
    return "\n".join(lines)
