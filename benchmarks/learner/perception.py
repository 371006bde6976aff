"""What perception loses while adaptation_node learns beside it.

Camera, depth_motion_node, adaptation_node and a listener run as processes and talk over DDS. Each
round goes through the same cases, so that a machine that is busier now than before is busier in
all of them; the figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import Listener, Rig, changes, rate_of
from benchmarks.learner.perception_report import (
    KILLED,
    OFF,
    OWN,
    SHARED,
    LearnerResult,
    judge,
    progress,
    results_table,
)
from benchmarks.process import processor_seconds
from benchmarks.report import all_good, verdict_table, write
from depth_motion_ros.cli.demo.processes import (
    DemoError,
    NodeProcess,
    add_node_arguments,
    node_parameters,
    parse_settings,
)
from depth_motion_ros.cli.demo.recording import CAMERA_INFO, DEPTH, ODOMETRY, TOPICS
from depth_motion_ros.cli.demo.scene import render_scene
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.models.packaged import DEFAULT, weights_path

SCENE, SCENE_FRAMES = "sim:yard", 20
CASES = (OFF, OWN, SHARED, KILLED)
WARM_UP_S = 5.0
# s from one kill of the learner to the next: at any moment of its start, its steps, its savings.
KILL_AFTER = (1.0, 12.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="of measuring, in each case")
    parser.add_argument("--rounds", type=int, default=3, help="of all cases")
    parser.add_argument("--rate", type=float, default=10.0, help="images a second")
    parser.add_argument("--size", type=image_size, default="640x480", help="of the images")
    parser.add_argument("--scene", default=SCENE, help="what the camera shows")
    parser.add_argument(
        "--cores", type=int, nargs=2, default=(0, 1), metavar=("PERCEPTION", "LEARNER"),
        help="core of camera and perception, and the learner's own",
    )  # fmt: skip
    add_node_arguments(parser)
    parser.add_argument(
        "--learner-set", action="append", default=[], metavar="NAME=VALUE",
        help="a parameter of adaptation_node, as YAML; may be repeated",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    """0 where perception kept its rate and latency, and the learner its budget."""
    if not args.weights and not weights_path(DEFAULT).is_file():
        raise DemoError("trained --weights are needed: the learner refuses untrained ones")
    cores = sorted(os.sched_getaffinity(0))
    if not set(args.cores) <= set(cores) or args.cores[0] == args.cores[1]:
        raise DemoError(
            f"--cores {args.cores[0]} {args.cores[1]}: two different ones of {cores} are needed"
        )
    learner = {"weights": args.weights, **parse_settings(args.learner_set, "--learner-set")}
    with TemporaryDirectory(prefix="depth_motion_bench_") as name:
        folder = Path(name)
        scene = render_scene(
            args.scene, folder / "scene", size=args.size, rate=args.rate, frames=SCENE_FRAMES,
            there_and_back=True,
        )  # fmt: skip
        bench = Bench(node_parameters(args), learner, scene, args.rate, tuple(args.cores), folder)
        results = bench.run(args.rounds, args.seconds, print, CASES)
    verdicts = judge(results, float(bench.budget))
    print(results_table(results))
    print(verdict_table(verdicts))
    content = {
        "rate_hz": args.rate,
        "size": list(args.size),
        "cores": list(args.cores),
        "rounds": [result.summary() for result in results],
        "verdicts": [vars(verdict) for verdict in verdicts],
    }
    write(args.json, content)
    return int(not all_good(verdicts))


class Bench:
    """perception, learner: parameters of the two nodes. cores: of perception, and the learner's
    own. folder: for logs and the learner's state."""

    def __init__(
        self,
        perception: Mapping[str, Any],
        learner: Mapping[str, Any],
        scene: Path,
        rate: float,
        cores: tuple[int, ...],
        folder: Path,
    ) -> None:
        self._scene, self._rate = scene, rate
        self._cores = cores
        self._folder = folder
        self._perception = {"threads": 1, **perception}
        self._learner = {
            "max_cpu_fraction": 0.5, "state_folder": str(folder / "state"), "save_period": 10.0,
            **learner, "diagnostics_period": 0.5,
        }  # fmt: skip
        self.budget = self._learner["max_cpu_fraction"]

    def run(
        self, rounds: int, seconds: float, say: Callable[[str], object], cases: Sequence[str]
    ) -> list[LearnerResult]:
        """Raises DemoError where a process ends that was not to."""
        results = []
        for index in range(rounds):
            for case in cases:
                with Rig(self._folder) as rig:
                    results.append(self._case(case, seconds, rig))
                say(f"round {index + 1}, learner {case}: {progress(results[-1])}")
        return results

    def _case(self, case: str, seconds: float, rig: Rig) -> LearnerResult:
        here, own = self._cores
        with on_core(here):
            rig.perception(self._perception)
        # The listener is the bench's own: beside perception it would take from it.
        with on_core(own):
            listener = rig.listener({t: TOPICS[t] for t in (DEPTH, ODOMETRY, CAMERA_INFO)})
        rig.wait_until_active(listener)
        learner = None
        if case != OFF:
            learner = Learner(rig, self._learner, here if case == SHARED else own)
        with on_core(here):
            rig.camera(self._scene, self._rate, reliable=True)
        rig.wait_until(lambda: listener.counts().get(DEPTH), "depth")
        if learner is not None:
            rig.wait_until(lambda: steps_of(listener), "a step of the learner")
        rig.pause(WARM_UP_S)
        return self._measure(case, seconds, rig, listener, learner)

    def _measure(
        self, case: str, seconds: float, rig: Rig, listener: Listener, learner: Learner | None
    ) -> LearnerResult:
        first = len(listener.reports())
        before = processor_seconds(learner.pid) if learner is not None else None
        begin = time.monotonic()
        if case == KILLED and learner is not None:
            learner.kill_for(seconds, listener)
        else:
            rig.pause(seconds)
        span = time.monotonic() - begin
        start, *reports = listener.reports()[first - 1 :]
        stamps = [stamp for report in reports for stamp in report["stamps"][DEPTH]]
        result = LearnerResult(
            case,
            rate_hz=rate_of(stamps),
            sent=reports[-1]["counts"][CAMERA_INFO] - start["counts"][CAMERA_INFO],
            served=len(stamps),
            latency_ms=[late for report in reports for late in report["latency_ms"][DEPTH]],
        )
        if learner is None:
            return result
        said = reports[-1]["diagnostics"]["adaptation"]
        grown = changes(start["diagnostics"]["adaptation"], said)
        result.kills, result.steps_after_kills = learner.kills, learner.steps_after_kills
        result.steps, result.released = grown("steps"), grown("released")
        result.refused = {
            key.partition("/")[2]: grown(key) for key in said if key.startswith("refused/")
        }
        after = processor_seconds(learner.pid)
        if case != KILLED and before is not None and after is not None:
            result.learner_cores = round((after - before) / span, 3)
        return result


def steps_of(listener: Listener) -> int:
    """How many steps the learner has said it took."""
    return int(listener.diagnostics("adaptation").get("steps", 0))


class Learner:
    """The learner's process on a core, and the next one when that was killed."""

    def __init__(self, rig: Rig, parameters: Mapping[str, Any], core: int) -> None:
        self._rig = rig
        self._parameters = parameters
        self._core = core
        self._node = self._start()
        self.kills = 0
        self.steps_after_kills: list[int] = []

    @property
    def pid(self) -> int:
        return self._node.pid

    def _start(self) -> NodeProcess:
        with on_core(self._core):
            return self._rig.start("adaptation_node", self._parameters)

    def kill_for(self, seconds: float, listener: Listener) -> None:
        """Kill it at moments that nobody has chosen, and start the next one, for so long."""
        chance = random.Random(0)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._rig.pause(min(chance.uniform(*KILL_AFTER), end - time.monotonic()))
            self.steps_after_kills.append(steps_of(listener))
            self._rig.kill(self._node)
            self.kills += 1
            self._node = self._start()


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core alone, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
