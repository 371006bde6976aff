"""Camera, perception node and a listener as processes that talk over DDS."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from depth_motion_ros.cli.demo.processes import NodeProcess, ProcessGroup

LISTENER = "benchmarks.listener"
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


class Rig(ProcessGroup):
    """The processes of a benchmark."""

    def __init__(
        self,
        folder: Path,
        given: Mapping[str, str] | None = None,
        outer: ProcessGroup | None = None,
    ) -> None:
        super().__init__(folder, given, outer)
        # Benchmarks are not installed: the listener is found in this checkout.
        root = str(Path(__file__).resolve().parents[1])
        before = self.environment.get("PYTHONPATH", "")
        if root not in before.split(os.pathsep):
            self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, before)))

    def perception(self, parameters: Mapping[str, Any]) -> NodeProcess:
        """depth_motion_node, which says twice a second what it does."""
        return self.start("depth_motion_node", {**parameters, "diagnostics_period": 0.5})

    def camera(self, source: Path, rate: float, **parameters: Any) -> NodeProcess:
        """camera_node, which plays a source in a loop."""
        usual = {"loop": True, "stamps": "now", "wait_for_subscribers": 1}
        return self.start(
            "camera_node", {"source": str(source), "rate": rate, **usual, **parameters}
        )

    def listener(self, topics: Mapping[str, str], as_input: bool = False) -> Listener:
        """topics: name → message type. as_input: subscribe as depth_motion_node does."""
        arguments = [f"{topic}={kind}" for topic, kind in topics.items()]
        if as_input:
            arguments.append("--as-input")
        log = self.folder / "listener.txt"
        return self.add(Listener(LISTENER, arguments, self.environment, log))

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
