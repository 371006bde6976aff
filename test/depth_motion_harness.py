"""A running depth_motion_node as its users see it, and a camera for it.

A test module takes the fixture ``node``, one per module: it is heard on all outputs, under a
namespace, with a small network.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import weights_of
from depth_motion_ros.nodes import messages

if TYPE_CHECKING:
    from ros_harness import Ros

WIDTH, HEIGHT = 96, 64  # of the camera
NET_WIDTH, NET_HEIGHT = 64, 32  # of the network: the smallest that both of its halves take
CAMERA = Camera.from_field_of_view(WIDTH, HEIGHT, 1.2)
PERIOD = 33_000_000  # ns
NAMESPACE = "/robot"
OUTPUTS = {
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "depth/points": PointCloud2,
    "odom": Odometry,
    "object_flow/image": Image,
    "object_flow/points": PointCloud2,
    "object_flow/image_color": Image,
    "object_flow/markers": MarkerArray,
    "camera_info_estimated": CameraInfo,
}


def make_weights(path: Path, version: str, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    network = DepthMotionNet(NetworkConfig("lite", NET_WIDTH, NET_HEIGHT))
    weights_of(network, version=version).to_file(path)
    return path


class FakeCamera:
    """Publishes one texture again and again: a camera at rest, of which odometry is certain."""

    def __init__(self, ros: Ros, start: int = 1_700_000_000_000_000_123) -> None:
        self.ros = ros
        self.stamp = start
        self.frame_id = "front_optical"
        self.pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        self.images = self.publisher(Image, "front/image", ReliabilityPolicy.RELIABLE)
        self.infos = self.publisher(CameraInfo, "front/camera_info", ReliabilityPolicy.RELIABLE)

    def publisher(self, kind: type, topic: str, reliability: ReliabilityPolicy) -> Any:
        qos = QoSProfile(depth=10, reliability=reliability)
        return self.ros.node.create_publisher(kind, f"{NAMESPACE}/{topic}", qos)

    def header(self, advance: int = PERIOD) -> Header:
        self.stamp += advance
        return Header(stamp=messages.stamp_to_message(self.stamp), frame_id=self.frame_id)

    def send(self, advance: int = PERIOD, **changes: Any) -> int:
        """One image, with fields changed; its stamp."""
        message = messages.rgb_image(self.header(advance), self.pixels)
        for name, value in changes.items():
            setattr(message, name, value)
        self.images.publish(message)
        return self.stamp

    def send_info(self, camera: Camera = CAMERA, **changes: Any) -> None:
        stamp = messages.stamp_to_message(self.stamp)
        info = messages.camera_info(Header(stamp=stamp, frame_id=self.frame_id), camera)
        for name, value in changes.items():
            setattr(info, name, value)
        self.infos.publish(info)


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
