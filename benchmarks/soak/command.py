"""Camera and node under shifting load, for as long as one likes.

Each cycle goes through four loads; in each the camera starts anew, with another rate or size,
and other subscribers come. What is not flat from cycle to cycle would not last a day. With
``--swaps N`` a fifth load is added, 30 Hz without a break, under which the weights are replaced.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Rig
from benchmarks.process import statistics_of
from benchmarks.report import all_good, verdict_table, write
from benchmarks.soak.report import DEPTH, FRAMES, JUDGED_CYCLES, PhaseResult, judge
from benchmarks.soak.swaps import SwapFiles, Swapper, share
from benchmarks.soak.tables import progress, results_table
from depth_motion_ros.cli.demo.processes import DemoError, add_node_arguments, node_parameters
from depth_motion_ros.cli.demo.recording import OUTPUTS, TOPICS
from depth_motion_ros.cli.demo.scene import render_scene
from depth_motion_ros.cli.main import run_command

SCENE, SCENE_FRAMES, SCENE_RATE = "sim:yard", 40, 10.0
PHASE_S = 60.0


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
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    """0 where nothing was missed and nothing has grown."""
    if args.swaps < 0:
        raise DemoError(f"--swaps {args.swaps}: must not be negative")
    phases = (*PHASES, SWAPPING) if args.swaps else PHASES
    cycles, seconds = schedule(args.minutes, len(phases))
    with tempfile.TemporaryDirectory(prefix="depth_motion_soak_") as folder:
        results = soak(
            node_parameters(args), cycles, seconds, Path(folder), print, phases, args.swaps
        )
    verdicts = judge(results)
    print(results_table(results))
    counted: Counter[str] = Counter()
    for result in results:
        counted.update(result.summary()["causes"])
    if counted:
        print("counted: " + ", ".join(f"{cause} {count}" for cause, count in counted.items()))
    print(verdict_table(verdicts))
    content = {
        "cycles": cycles,
        "phase_seconds": seconds,
        "phases": [result.summary() for result in results],
        "verdicts": [vars(verdict) for verdict in verdicts],
    }
    write(args.json, content)
    return int(not all_good(verdicts))


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
    phases: Sequence[Phase] = PHASES,
    swaps: int = 0,
) -> list[PhaseResult]:
    """Run it. folder: for scenes and logs. swaps: how often the weights are replaced, in all.

    Raises DemoError where a process ends.
    """
    files = None
    if swaps:
        architecture = str(parameters.get("architecture", "lite"))
        files = SwapFiles.make(str(parameters.get("weights", "")), architecture, folder)
        parameters = {**parameters, "weights": str(files.target)}
    results = []
    with Rig(folder) as rig:
        scenes = {size: _render(size, folder) for size in {phase.size for phase in phases}}
        domain = rig.environment["ROS_DOMAIN_ID"]
        say(f"ROS_DOMAIN_ID={domain}; {cycles} cycles of {len(phases)} x {seconds:.0f} s")
        node = rig.perception(parameters)
        for cycle in range(1, cycles + 1):
            for phase in phases:
                result = PhaseResult(phase.name, cycle)
                if phase.swaps:
                    result.asked_swaps = share(swaps, cycle - 1, cycles)
                with rig.inner() as part:
                    _run_phase(result, phase, seconds, node.pid, scenes[phase.size], part, files)
                results.append(result)
                say(progress(result))
    return results


def _render(size: tuple[int, int], folder: Path) -> Path:
    path = folder / f"{size[0]}x{size[1]}"
    return render_scene(
        SCENE, path, size=size, rate=SCENE_RATE, frames=SCENE_FRAMES, there_and_back=True
    )


def _run_phase(
    result: PhaseResult,
    phase: Phase,
    seconds: float,
    pid: int,
    scene: Path,
    rig: Rig,
    files: SwapFiles | None,
) -> None:
    """Run one phase and fill in its result. pid: of the node. files: of the weights to swap."""
    listener = rig.listener({topic: TOPICS[topic] for topic in (*phase.topics, FRAMES)})
    rig.wait_until_active(listener)
    result.before = listener.diagnostics()
    camera = rig.camera(scene, phase.rate)
    rig.wait_until(lambda: listener.counts().get(FRAMES), "the camera")
    swapper = None
    if files is not None and result.asked_swaps:
        swapper = Swapper(files, result.asked_swaps, seconds, rig)

    def look() -> None:
        found = statistics_of(pid)
        if found is not None:
            result.process.append(found)

    rig.pause(seconds, look, every=1.0)
    if swapper is not None:
        rig.wait_until(lambda: len(swapper.swaps()) >= result.asked_swaps, "the last swap")
        result.swaps = swapper.swaps()
    rig.stop(camera)
    rig.wait_for_reports(listener)
    _take(result, listener.reports())


def _take(result: PhaseResult, reports: list[dict[str, Any]]) -> None:
    last = reports[-1]
    result.counts, result.after = last["counts"], last["diagnostics"]["perception"]
    result.backwards = sum(last["backwards"].values())
    for report in reports:
        result.latency_ms += report["latency_ms"].get(DEPTH, [])
        result.served += report["stamps"].get(DEPTH, [])
        result.published += report["stamps"][FRAMES]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    return run_command("python -m benchmarks.soak", __doc__, add_arguments, run, argv)
