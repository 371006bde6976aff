"""Where the camera sits, as said on /tf and /tf_static; tf2_msgs has no wheel, a double serves."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy

from depth_motion_ros.nodes.ros.transforms import (
    CameraTf,
    TfPublisher,
    TransformsMissingError,
    base_from_optical,
)


@dataclass
class TFMessage:
    transforms: list[Any]


@dataclass
class Publisher:
    topic: str
    qos: Any
    said: list[Any] = field(default_factory=list)

    def publish(self, message: TFMessage) -> None:
        self.said += message.transforms


class Node:
    def __init__(self) -> None:
        self.publishers: list[Publisher] = []

    def create_publisher(self, kind: type, topic: str, qos: Any) -> Publisher:
        self.publishers.append(Publisher(topic, qos))
        return self.publishers[-1]

    def destroy_publisher(self, publisher: Publisher) -> None:
        self.publishers.remove(publisher)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    package, messages = ModuleType("tf2_msgs"), ModuleType("tf2_msgs.msg")
    messages.TFMessage = TFMessage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tf2_msgs", package)
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", messages)
    return Node()


def test_the_cameras_place_is_said_once_for_whoever_comes_later(node: Node) -> None:
    # 0.2 m ahead and 0.5 m up, looking down by 90 degrees.
    place = base_from_optical([0.2, 0.0, 0.5], [0.0, np.pi / 2, 0.0])
    tf = CameraTf(node, "r1/base_link", place)  # type: ignore[arg-type]
    for second in range(3):
        tf.say(Time(sec=second), "r1/camera_optical_frame")
    [publisher] = node.publishers
    assert publisher.topic == "/tf_static"
    assert publisher.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    [said] = publisher.said
    assert (said.header.frame_id, said.child_frame_id) == (
        "r1/base_link",
        "r1/camera_optical_frame",
    )
    shift, turn = said.transform.translation, said.transform.rotation
    assert (shift.x, shift.y, shift.z) == (0.2, 0.0, 0.5)
    # Its z looks down, its x to the robot's right: half a turn about the axis (1, -1, 0).
    found = np.abs([turn.x, turn.y, turn.z, turn.w])
    np.testing.assert_allclose(found, [0.5**0.5, 0.5**0.5, 0, 0], atol=1e-9)
    tf.close()
    assert node.publishers == []


def test_a_camera_of_another_frame_is_said_too_and_one_without_a_name_is_not(node: Node) -> None:
    tf = CameraTf(node, "base_link", np.eye(4))  # type: ignore[arg-type]
    for frame in ("", "left", "left", "right"):
        tf.say(Time(), frame)
    assert [said.child_frame_id for said in node.publishers[0].said] == ["left", "right"]


def test_odometry_goes_to_tf(node: Node) -> None:
    TfPublisher(node)  # type: ignore[arg-type]
    assert node.publishers[0].topic == "/tf"


@pytest.mark.parametrize("parameter", ["publish_tf", "publish_camera_tf"])
def test_without_tf2_msgs_the_parameter_that_asked_is_named(
    parameter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2_msgs", None)
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", None)
    with pytest.raises(TransformsMissingError, match=f"^{parameter} needs tf2_msgs"):
        TfPublisher(Node(), parameter)  # type: ignore[arg-type]
