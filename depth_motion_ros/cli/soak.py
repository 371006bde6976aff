"""``depth_motion soak``: camera and node under shifting load, for as long as one likes.

Each cycle goes through four loads; in each the camera starts anew, with another rate or size,
and other subscribers come. What is not flat from cycle to cycle would not last a day. With
``--swaps N`` a fifth load is added, 30 Hz without a break, under which the weights are replaced.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from depth_motion_ros.cli.demo.recording import OUTPUTS, TOPICS
from depth_motion_ros.cli.demo.statistics import machine
from depth_motion_ros.cli.process_vitals import read_vitals
from depth_motion_ros.cli.soak_report import (
    DEPTH,
    FRAMES,
    HEADING,
    JUDGED_CYCLES,
    PhaseResult,
    Verdict,
    judge,
    row,
)
from depth_motion_ros.cli.soak_swaps import SwapFiles, Swapper, share
from depth_motion_ros.cli.soak_table import table
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.sequence.writer import SequenceWriter

HELP = "run camera and node under shifting load; report latency, drops, memory, threads, files"

NODES = "depth_motion_ros.nodes"
SCENE, SCENE_FRAMES = "sim:yard", 40
PHASE_S = 60.0
# The last frame must be served and counted in a diagnostic that is heard.
LAST_WORDS = 3


@dataclass(frozen=True)
class Phase:
    """rate: Hz. size: (width, height) of the images. topics: what is heard of the outputs.

    swaps: whether the weights are replaced meanwhile.
    """

    name: str
    rate: float
    size: tuple[int, int]
    topics: tuple[str, ...]
    swaps: bool = False


SMALL, LARGE = (320, 240), (640, 480)
PHASES = (
    Phase("depth alone", 10.0, SMALL, (DEPTH,)),
    Phase("every output", 30.0, SMALL, OUTPUTS),
    Phase("large images", 15.0, LARGE, (DEPTH, "odom")),
    Phase("nobody listens", 30.0, SMALL, ()),
)
SWAPPING = Phase("weights swapped", 30.0, SMALL, (DEPTH, "odom"), swaps=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=60.0, help="time under load")
    add_node_arguments(parser)
    parser.add_argument(
        "--swaps", type=int, default=0, metavar="N",
        help="also replace the weights N times, evenly over the run, while frames flow at 30 Hz",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--markdown", type=Path, help="file for the table of the results")


def run(args: argparse.Namespace) -> int:
    """0 where nothing was missed and nothing has grown."""
    if importlib.util.find_spec("rclpy") is None:
        raise DemoError("soak needs ROS 2's rclpy: pip install 'depth_motion_ros[ros]'")
    if args.swaps < 0:
        raise DemoError(f"--swaps {args.swaps}: must not be negative")
    phases = (*PHASES, SWAPPING) if args.swaps else PHASES
    cycles, seconds = schedule(args.minutes, len(phases))
    parameters = node_parameters(args)
    with tempfile.TemporaryDirectory(prefix="depth_motion_soak_") as folder:
        results = soak(
            parameters, cycles, seconds, Path(folder), print, phases=phases, swaps=args.swaps
        )
    verdicts = judge(results)
    _tell(results, verdicts)
    if args.out:
        content = {
            "machine": machine(),
            "cycles": cycles,
            "phase_seconds": seconds,
            "phases": [result.summary() for result in results],
            "verdicts": [vars(verdict) for verdict in verdicts],
        }
        args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if args.markdown:
        args.markdown.write_text(table(results, verdicts), encoding="utf-8")
    return int(any(verdict.good is False for verdict in verdicts))


def schedule(minutes: float, phases: int = len(PHASES)) -> tuple[int, float]:
    """Number of cycles, at least three, and seconds of each phase, at most a minute or so."""
    cycles = max(JUDGED_CYCLES, round(minutes * 60 / (PHASE_S * phases)))
    return cycles, minutes * 60 / (cycles * phases)


def soak(
    parameters: Mapping[str, Any],
    cycles: int,
    seconds: float,
    folder: Path,
    say: Callable[[str], object],
    phases: tuple[Phase, ...] = PHASES,
    swaps: int = 0,
) -> list[PhaseResult]:
    """Run it. folder: for scenes and logs. swaps: how often the weights are replaced, in all.

    Raises DemoError where a process ends.
    """
    env = environment()
    files = None
    if swaps:
        architecture = str(parameters.get("architecture", "lite"))
        files = SwapFiles.make(str(parameters.get("weights", "")), architecture, folder)
        parameters = {**parameters, "weights": str(files.target)}
    scenes = {size: _render(size, folder) for size in {phase.size for phase in phases}}
    say(f"ROS_DOMAIN_ID={env['ROS_DOMAIN_ID']}; {cycles} cycles of {len(phases)} x {seconds:.0f} s")
    given = write_parameters(folder / "node.yaml", {**parameters, "diagnostics_period": 0.5})
    say(HEADING)
    results = []
    with stopped_at_exit([]) as running:
        node = NodeProcess(f"{NODES}.perception.node", given, env, folder / "node.txt")
        running.append(node)
        for cycle in range(1, cycles + 1):
            for phase in phases:
                result = PhaseResult(phase.name, cycle)
                if phase.swaps:
                    result.asked_swaps = share(swaps, cycle - 1, cycles)
                _phase(
                    result,
                    phase,
                    seconds,
                    node,
                    scenes[phase.size],
                    env,
                    folder / "phase.txt",
                    files,
                )
                results.append(result)
                say(row(result))
    return results


def _render(size: tuple[int, int], folder: Path) -> Path:
    path = folder / f"{size[0]}x{size[1]}"
    with (
        open_source(SCENE, rate=10.0, frames=SCENE_FRAMES, width=size[0], height=size[1]) as scene,
        SequenceWriter(path, rate=10.0) as writer,
    ):
        for frame in scene:
            writer.write(frame)
    return path


def _phase(
    result: PhaseResult,
    phase: Phase,
    seconds: float,
    node: NodeProcess,
    scene: Path,
    env: Mapping[str, str],
    log: Path,
    files: SwapFiles | None,
) -> None:
    """Run one phase and fill in its result. files: of the weights to swap, if any."""
    topics = [f"{topic}={TOPICS[topic]}" for topic in (*phase.topics, FRAMES)]
    camera_values = {
        "source": str(scene), "rate": phase.rate, "loop": True, "stamps": "now",
        "wait_for_subscribers": 1,
    }  # fmt: skip
    given = write_parameters(log.with_suffix(".yaml"), camera_values)
    with ExitStack() as stack:
        monitor = ProcessMonitor(f"{NODES}.tools.soak_monitor", topics, env, log)
        stack.callback(monitor.stop)
        wait_until_active(node, monitor)
        result.before = monitor.diagnostics()
        camera = NodeProcess(f"{NODES}.camera.node", given, env, log.with_name("camera.txt"))
        stack.callback(camera.stop)
        everyone = [node, monitor, camera]
        wait_until(lambda: monitor.counts().get(FRAMES), everyone, "the camera")
        swapper = None
        if files is not None and result.asked_swaps:
            swaps_log = log.with_name("swaps.txt")
            swapper = Swapper(files, result.asked_swaps, seconds, env, swaps_log)
            stack.callback(swapper.stop)
            everyone.append(swapper)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for process in everyone:
                process.check()
            vitals = read_vitals(node.pid)
            if vitals is not None:
                result.vitals.append(vitals)
            time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        if swapper is not None:
            asked = result.asked_swaps
            wait_until(lambda: len(swapper.swaps()) >= asked, everyone, "the last swap")
            result.swaps = swapper.swaps()
        camera.stop()
        heard = len(monitor.reports())
        wait_until(
            lambda: len(monitor.reports()) >= heard + LAST_WORDS, (node, monitor), "the last words"
        )
        _take(result, monitor.reports())


def _take(result: PhaseResult, reports: list[dict[str, Any]]) -> None:
    last = reports[-1]
    result.counts, result.after = last["counts"], last["diagnostics"]
    result.backwards = sum(last["backwards"].values())
    for report in reports:
        result.latency_ms += report["latency_ms"].get(DEPTH, [])
        result.served += report["stamps"].get(DEPTH, [])
        result.published += report["stamps"][FRAMES]


def _tell(results: list[PhaseResult], verdicts: list[Verdict]) -> None:
    causes: dict[str, int] = {}
    for result in results:
        for cause, count in result.summary()["causes"].items():
            causes[cause] = causes.get(cause, 0) + count
    if causes:
        print("counted: " + ", ".join(f"{cause} {count}" for cause, count in causes.items()))
    for verdict in verdicts:
        word = {True: "yes", False: "NO", None: "?"}[verdict.good]
        print(f"  {verdict.what:<16} {word:<4} {verdict.detail}")
