"""Nodes as processes that talk over DDS, and a listener that tells what they publish."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from depth_motion_ros.cli.demo.processes import (
    DemoError,
    NodeProcess,
    environment,
    write_parameters,
)

CAMERA = "depth_motion_ros.nodes.camera.node"
PERCEPTION = "depth_motion_ros.nodes.perception.node"
LEARNER = "depth_motion_ros.nodes.adaptation.node"
LISTENER = "benchmarks.listener"

START_S = 300.0
LOOK_S = 0.2
# Matched is not yet connected: the first messages to a new subscriber may be lost.
SETTLE_S = 1.5
# The last frame must be served and counted in a diagnostic that is heard.
LAST_REPORTS = 3


class Listener(NodeProcess):
    """benchmarks/listener.py: every line of its log is a report of one second."""

    def reports(self) -> list[dict[str, Any]]:
        """The complete ones, from the start on."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def counts(self) -> dict[str, int]:
        """Messages so far, by topic."""
        reports = self.reports()
        return reports[-1]["counts"] if reports else {}

    def diagnostics(self, node: str = "perception") -> dict[str, str]:
        """What a node (``perception`` or ``adaptation``) said last."""
        reports = self.reports()
        return reports[-1]["diagnostics"][node] if reports else {}


class Rig:
    """Processes of a benchmark; leaving the block stops them, the one started last first.

    folder: for parameter files and logs. given: the environment of the processes; without it a
    DDS domain of their own, and what the launch files set. outer: see ``inner``.

    Raises DemoError where ROS is missing.
    """

    def __init__(
        self, folder: Path, given: Mapping[str, str] | None = None, outer: Rig | None = None
    ) -> None:
        if importlib.util.find_spec("rclpy") is None:
            raise DemoError(
                "this benchmark runs nodes and needs ROS 2's rclpy: source a ROS 2, or "
                "pip install 'depth_motion_ros[ros]'"
            )
        self.folder = folder
        self.environment = dict(environment() if given is None else given)
        root = str(Path(__file__).resolve().parents[1])
        before = self.environment.get("PYTHONPATH", "")
        if root not in before.split(os.pathsep):
            self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, before)))
        self._outer = outer
        self._running: list[NodeProcess] = []

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in reversed(self._running):
            node.stop()

    def inner(self) -> Rig:
        """For a part of the benchmark: its processes end with its own block, and while it waits
        it watches over those of this one, too."""
        return Rig(self.folder, self.environment, self)

    def start(self, module: str, parameters: Mapping[str, Any]) -> NodeProcess:
        """A node of the package, with parameters."""
        # depth_motion_ros.nodes.camera.node → camera
        name = module.split(".")[-2]
        arguments = write_parameters(self.folder / f"{name}.yaml", parameters)
        return self.add(
            NodeProcess(module, arguments, self.environment, self.folder / f"{name}.txt")
        )

    def perception(self, parameters: Mapping[str, Any]) -> NodeProcess:
        """depth_motion_node, which says twice a second what it does."""
        return self.start(PERCEPTION, {**parameters, "diagnostics_period": 0.5})

    def camera(self, source: Path, rate: float, **parameters: Any) -> NodeProcess:
        """camera_node, which plays a source in a loop."""
        usual = {"loop": True, "stamps": "now", "wait_for_subscribers": 1}
        return self.start(CAMERA, {"source": str(source), "rate": rate, **usual, **parameters})

    def listener(self, topics: Mapping[str, str], as_input: bool = False) -> Listener:
        """topics: name → message type. as_input: subscribe as depth_motion_node does."""
        arguments = [f"{topic}={kind}" for topic, kind in topics.items()]
        if as_input:
            arguments.append("--as-input")
        log = self.folder / "listener.txt"
        listener = Listener(LISTENER, arguments, self.environment, log)
        self.add(listener)
        return listener

    def add(self, node: NodeProcess) -> NodeProcess:
        """A process started elsewhere, to be watched and stopped."""
        self._running.append(node)
        return node

    def stop(self, node: NodeProcess) -> None:
        """End a process before the others."""
        node.stop()
        self._running.remove(node)

    def kill(self, node: NodeProcess) -> None:
        """End a process as a crash would."""
        node.kill()
        self._running.remove(node)

    def check(self) -> None:
        """Raises DemoError where a process has failed."""
        if self._outer is not None:
            self._outer.check()
        for node in self._running:
            node.check()

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Raises DemoError where a process fails, or nothing comes of it within five minutes."""
        end = time.monotonic() + START_S
        while not condition():
            self.check()
            if time.monotonic() > end:
                raise DemoError(f"waited {START_S:.0f} s in vain for {what}:\n{self._tails()}")
            time.sleep(LOOK_S)

    def wait_until_active(self, listener: Listener) -> None:
        """Until depth_motion_node is active and said so, and everything is connected."""
        self.wait_until(
            lambda: listener.diagnostics().get("state") == "active",
            "depth_motion_node to be active",
        )
        time.sleep(SETTLE_S)

    def wait_for_reports(self, listener: Listener, count: int = LAST_REPORTS) -> None:
        """Until the listener has reported so many times more: nothing is under way any longer."""
        heard = len(listener.reports())
        self.wait_until(lambda: len(listener.reports()) >= heard + count, "the last reports")

    def pause(
        self, seconds: float, look: Callable[[], object] | None = None, every: float = 0.5
    ) -> None:
        """Let the time go by. look: called every so many seconds. Raises DemoError where a process
        ends meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check()
            if look is not None:
                look()
            time.sleep(min(every, max(0.0, end - time.monotonic())))

    def _tails(self) -> str:
        tails = "\n".join(node.tail() for node in self._running)
        return tails if self._outer is None else f"{self._outer._tails()}\n{tails}"


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Callable[[str], int]:
    """How much a count of the diagnostics has grown from one to the other, by its key."""
    return lambda key: int(after.get(key, 0)) - int(before.get(key, 0))


CAUSES = ("dropped/", "bad/", "resets/")


def causes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, int]:
    """Why frames were not served, as the diagnostics count it between the two."""
    grown = changes(before, after)
    return {key: grown(key) for key in sorted(after) if key.startswith(CAUSES) and grown(key)}


def rate_of(stamps: Sequence[int]) -> float:
    """Hz by stamps in ns, in any order; 0 below two of them."""
    if len(stamps) < 2 or max(stamps) == min(stamps):
        return 0.0
    return (len(stamps) - 1) * 1e9 / (max(stamps) - min(stamps))
