"""A running depth_motion_node as its users see it.

A test module takes the fixture ``node``, one per module: it is heard on all outputs, under a
namespace, with a small network.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from diagnostic_msgs.msg import DiagnosticArray

from depth_motion_ros.nodes.ros import messages
from support.small_camera import NAMESPACE, OUTPUTS, PERIOD, FakeCamera, make_weights

if TYPE_CHECKING:
    from support.ros_harness import Ros


class Node:
    """The running node as its users see it."""

    def __init__(self, ros: Ros, weights: Path) -> None:
        self.ros = ros
        self.process = ros.start(
            "depth_motion_node",
            {"weights": weights, "engine": "torch", "diagnostics_period": 0.2, "max_gap": 5.0},
            ("-r", f"__ns:={NAMESPACE}", "-r", "image:=front/image",
             "-r", "camera_info:=front/camera_info"),
        )  # fmt: skip
        self.received = {
            topic: ros.listen(kind, f"{NAMESPACE}/{topic}") for topic, kind in OUTPUTS.items()
        }
        self.diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
        self.camera = FakeCamera(ros)
        ros.wait(lambda: self.camera.images.get_subscription_count(), "the node to listen")
        ros.wait(lambda: self.camera.infos.get_subscription_count(), "the node to listen")
        for topic in OUTPUTS:
            name = f"{NAMESPACE}/{topic}"
            ros.wait(lambda name=name: ros.node.count_publishers(name), name)

    def stamps(self, topic: str) -> list[int]:
        return [messages.stamp_from_message(m.header.stamp) for m in self.received[topic]]

    def serve(self, advance: int = PERIOD) -> int:
        """Send an image until its depth comes back; the stamp of that one.

        The very first messages to a subscriber that has just been matched may be lost.
        """
        for _ in range(20):
            stamp = self.camera.send(advance)
            advance = PERIOD
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                if stamp in self.stamps("depth/image"):
                    return stamp
                time.sleep(0.01)
        raise AssertionError(f"no depth comes back:\n{self.process.log}")

    @property
    def values(self) -> dict[str, str]:
        """The newest diagnostic values, with its level and message."""
        if not self.diagnostics:
            return {}
        status = self.diagnostics[-1].status[0]
        values = {pair.key: pair.value for pair in status.values}
        return {**values, "level": str(status.level[0]), "message": status.message}

    def wait_value(self, name: str, wanted: str) -> None:
        self.ros.wait(
            lambda: self.values.get(name) == wanted, lambda: f"{name} = {wanted}: {self.values}"
        )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "net.safetensors", "first")


@pytest.fixture(scope="module")
def node(ros: Ros, weights: Path) -> Iterator[Node]:
    node = Node(ros, weights)
    yield node
    status = node.process.end(signal.SIGINT)
    assert status == 0, node.process.log
    assert "Traceback" not in node.process.log
