"""``depth_motion bench learner``: what perception loses while adaptation_node learns beside it.

Camera, depth_motion_node, adaptation_node and a listener run as processes of their own and talk
over DDS. Each round goes through the same cases, so that a machine that is busier now than before
is busier in all of them; the figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from depth_motion_ros.cli.bench_learner_report import (
    KILLED,
    OFF,
    OWN,
    SHARED,
    CaseResult,
    judge,
    row,
    table,
)
from depth_motion_ros.cli.bench_node import render
from depth_motion_ros.cli.demo.processes import (
    DemoError,
    NodeProcess,
    ProcessMonitor,
    add_node_arguments,
    environment,
    node_parameters,
    parse_settings,
    stopped_at_exit,
    wait_until,
    wait_until_active,
    write_parameters,
)
from depth_motion_ros.cli.demo.recording import CAMERA_INFO, DEPTH, ODOMETRY, TOPICS
from depth_motion_ros.cli.demo.statistics import machine
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.cli.process_vitals import processor_seconds
from depth_motion_ros.models.packaged import DEFAULT, weights_path
from depth_motion_ros.share import NODE_MODULES

HELP = "rate and latency of perception without and with the learner, and whether its budget holds"

NODES = "depth_motion_ros.nodes"
SCENE = "sim:yard"
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
    if importlib.util.find_spec("rclpy") is None:
        raise DemoError("bench learner needs ROS 2's rclpy: pip install 'depth_motion_ros[ros]'")
    if not args.weights and not weights_path(DEFAULT).is_file():
        raise DemoError("bench learner needs trained --weights: the learner refuses untrained ones")
    missing = set(args.cores) - os.sched_getaffinity(0)
    if missing or args.cores[0] == args.cores[1]:
        raise DemoError(
            f"--cores {args.cores[0]} {args.cores[1]}: two different ones of "
            f"{sorted(os.sched_getaffinity(0))} are needed"
        )
    learner = {"weights": args.weights, **parse_settings(args.learner_set, "--learner-set")}
    with TemporaryDirectory(prefix="depth_motion_bench_") as name:
        folder = Path(name)
        scene = render(args.scene, args.size, args.rate, folder / "scene")
        bench = Bench(node_parameters(args), learner, scene, args.rate, tuple(args.cores), folder)
        results = bench.run(args.rounds, args.seconds, print, CASES)
    verdicts = judge(results, float(bench.budget))
    print(table(results))
    for verdict in verdicts.values():
        print(verdict["text"])
    if args.json is not None:
        content = {
            "machine": machine(),
            "rate_hz": args.rate,
            "size": list(args.size),
            "cores": list(args.cores),
            "rounds": [result.summary() for result in results],
            "verdicts": verdicts,
        }
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(not all(verdict["good"] for verdict in verdicts.values()))


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
        self._cores = cores
        self._folder = folder
        self._rate = rate
        self._environment = environment()
        self._perception = write_parameters(
            folder / "perception.yaml", {"threads": 1, **perception, "diagnostics_period": 0.5}
        )
        learner = {
            "max_cpu_fraction": 0.5, "state_folder": str(folder / "state"), "save_period": 10.0,
            **learner, "diagnostics_period": 0.5,
        }  # fmt: skip
        self.budget = learner["max_cpu_fraction"]
        self._learner = write_parameters(folder / "learner.yaml", learner)
        self._camera = write_parameters(
            folder / "camera.yaml",
            {
                "source": str(scene), "rate": rate, "loop": True, "stamps": "now",
                "reliable": True, "wait_for_subscribers": 1,
            },
        )  # fmt: skip

    def run(
        self,
        rounds: int,
        seconds: float,
        say: Callable[[str], object],
        cases: tuple[str, ...],
    ) -> list[CaseResult]:
        """Raises DemoError where a process ends that was not to."""
        results = []
        for index in range(rounds):
            for case in cases:
                result = self._case(case, seconds)
                results.append(result)
                say(f"round {index + 1}, learner {case}: {row(result)}")
        return results

    def _node(self, name: str, arguments: list[str], core: int) -> NodeProcess:
        with on_core(core):
            return NodeProcess(
                NODE_MODULES[name], arguments, self._environment, self._folder / f"{name}.txt"
            )

    def _case(self, case: str, seconds: float) -> CaseResult:
        here, own = self._cores
        topics = [f"{topic}={TOPICS[topic]}" for topic in (DEPTH, ODOMETRY, CAMERA_INFO)]
        with ExitStack() as stack:
            running = stack.enter_context(stopped_at_exit([]))
            node = self._node("depth_motion_node", self._perception, here)
            running.append(node)
            # The listener is the bench's own: beside perception it would take from it.
            with on_core(own):
                monitor = ProcessMonitor(
                    f"{NODES}.tools.soak_monitor", topics, self._environment,
                    self._folder / "monitor.txt",
                )  # fmt: skip
            running.append(monitor)
            wait_until_active(node, monitor)
            learner = None
            if case != OFF:
                learner = Killable(
                    lambda: self._node("adaptation_node", self._learner, core_of(case, here, own))
                )
                stack.callback(learner.stop)
            camera = self._node("camera_node", self._camera, here)
            running.append(camera)
            wait_until(lambda: monitor.counts().get(DEPTH), (node, monitor, camera), "depth")
            if learner is not None:
                learner.wait_for_steps(monitor, (node, monitor, camera))
            pause(WARM_UP_S, (node, monitor, camera))
            return self._measure(case, seconds, monitor, learner, (node, monitor, camera))

    def _measure(
        self,
        case: str,
        seconds: float,
        monitor: ProcessMonitor,
        learner: Killable | None,
        others: tuple[NodeProcess, ...],
    ) -> CaseResult:
        first = len(monitor.reports())
        before = processor_seconds(learner.pid) if learner is not None else None
        begin = time.monotonic()
        if case == KILLED and learner is not None:
            learner.kill_for(seconds, monitor, others)
        else:
            pause(seconds, others)
        span = time.monotonic() - begin
        reports = monitor.reports()[first:]
        start = monitor.reports()[first - 1]
        stamps = [stamp for report in reports for stamp in report["stamps"][DEPTH]]
        sent = reports[-1]["counts"][CAMERA_INFO] - start["counts"][CAMERA_INFO]
        said, said_before = reports[-1]["learner"], start["learner"]
        result = CaseResult(
            case,
            rate_hz=1e9 * (len(stamps) - 1) / (stamps[-1] - stamps[0]) if len(stamps) > 1 else 0.0,
            sent=sent,
            served=len(stamps),
            latency_ms=[late for report in reports for late in report["latency_ms"][DEPTH]],
        )
        if learner is None:
            return result
        result.kills, result.steps_after_kills = learner.kills, learner.steps_after_kills
        result.steps = int(said.get("steps", 0)) - int(said_before.get("steps", 0))
        result.released = int(said.get("released", 0)) - int(said_before.get("released", 0))
        result.refused = {
            key.partition("/")[2]: int(value) - int(said_before.get(key, 0))
            for key, value in said.items()
            if key.startswith("refused/")
        }
        after = processor_seconds(learner.pid)
        if case != KILLED and before is not None and after is not None:
            result.learner_cores = round((after - before) / span, 3)
        return result


class Killable:
    """The learner's process, and the next one when that was killed."""

    def __init__(self, start: Callable[[], NodeProcess]) -> None:
        self._start = start
        self._node = start()
        self.kills = 0
        self.steps_after_kills: list[int] = []

    @property
    def pid(self) -> int:
        return self._node.pid

    def wait_for_steps(self, monitor: ProcessMonitor, others: tuple[NodeProcess, ...]) -> int:
        """Until it learns; how many steps there have been then."""

        def steps() -> int:
            reports = monitor.reports()
            return int(reports[-1]["learner"].get("steps", 0)) if reports else 0

        wait_until(steps, (*others, self._node), "a step of the learner")
        return steps()

    def kill_for(
        self, seconds: float, monitor: ProcessMonitor, others: tuple[NodeProcess, ...]
    ) -> None:
        """Kill it at moments that nobody has chosen, and start the next one, for so long."""
        chance = random.Random(0)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pause(min(chance.uniform(*KILL_AFTER), end - time.monotonic()), others)
            reports = monitor.reports()
            self.steps_after_kills.append(int(reports[-1]["learner"].get("steps", 0)))
            self._node.kill()
            self.kills += 1
            self._node = self._start()

    def stop(self) -> None:
        self._node.stop()


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core alone, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def core_of(case: str, perception: int, own: int) -> int:
    """Where the learner runs."""
    return perception if case == SHARED else own


def pause(seconds: float, processes: tuple[NodeProcess, ...]) -> None:
    """Let the time go by. Raises DemoError where a process ends meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in processes:
            process.check()
        time.sleep(min(0.5, max(0.0, end - time.monotonic())))
