"""depth_motion_node in its own process, with real DDS: what it says, and how it is steered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from std_srvs.srv import Trigger
from support.small_camera import (
    HEIGHT,
    NAMESPACE,
    NET_HEIGHT,
    NET_WIDTH,
    OUTPUTS,
    WIDTH,
    make_weights,
)

if TYPE_CHECKING:
    from support.depth_motion_harness import Node

pytest_plugins = ["support.ros_harness", "support.depth_motion_harness"]


def test_every_topic_arrives_with_the_inputs_stamp_and_frame(node: Node) -> None:
    node.serve()
    stamp = node.serve()
    for topic in OUTPUTS:
        if topic != "object_flow/markers":
            node.ros.wait(lambda topic=topic: stamp in node.stamps(topic), topic)
    latest = {
        t: m[node.stamps(t).index(stamp)] for t, m in node.received.items() if "mark" not in t
    }
    for topic, message in latest.items():
        frame = "odom" if topic == "odom" else "front_optical"
        assert message.header.frame_id == frame, topic
    encodings = {"depth/image": "32FC1", "depth/std": "32FC1", "object_flow/image": "32FC3",
                 "object_flow/image_color": "rgb8"}  # fmt: skip
    for topic, encoding in encodings.items():
        message = latest[topic]
        assert (message.encoding, message.width, message.height) == (
            encoding, NET_WIDTH, NET_HEIGHT,
        )  # fmt: skip
        assert len(message.data) == message.step * message.height
    cloud = latest["depth/points"]
    assert (cloud.width, cloud.height) == (NET_WIDTH, NET_HEIGHT)
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "confidence"]
    flow = latest["object_flow/points"]
    assert [field.name for field in flow.fields] == ["x", "y", "z", "vx", "vy", "vz"]
    assert (latest["camera_info_estimated"].width, latest["camera_info_estimated"].height) == (
        WIDTH, HEIGHT,
    )  # fmt: skip
    odom = latest["odom"]
    assert odom.child_frame_id == "base_link"
    for covariance in (odom.pose.covariance, odom.twist.covariance):
        matrix = np.array(covariance).reshape(6, 6)
        assert np.isfinite(matrix).all()
        assert (matrix.diagonal() > 0).all()
    markers = node.received["object_flow/markers"]
    node.ros.wait(lambda: markers, "markers")
    assert markers[-1].markers[0].header.frame_id == "front_optical"


def test_the_diagnostics_say_what_runs(node: Node) -> None:
    node.serve()
    node.wait_value("tracking", "static")
    values = node.values
    expected = {"state": "active", "engine": "torch", "precision": "fp32", "architecture": "lite",
                "weights_version": "first", "scale_source": "unit", "metric": "false",
                "image_topic": f"{NAMESPACE}/front/image", "image_qos": "reliable"}  # fmt: skip
    assert {name: values[name] for name in expected} == expected

    def balanced() -> bool:
        received, *parts = (
            int(node.values[name]) for name in ("received", "served", "dropped", "bad")
        )
        return received == sum(parts)

    # A status may be written while a frame is in hand.
    node.ros.wait(balanced, lambda: f"balanced counts: {node.values}")


def test_lengths_without_a_source_of_scale_are_a_warning_that_names_the_cure(node: Node) -> None:
    def warned() -> bool:
        node.serve()
        values = node.values
        return values["level"] == "1" and values["message"].startswith("lengths are not metric")

    node.ros.wait(warned, "the warning")
    assert node.values["metric"] == "false"
    assert node.values["message"].endswith("publish odom_in, or set camera_height or scale")
    assert node.process.log.count("lengths are not metric") == 1


def test_parameters_are_refused_with_the_reason_or_change_the_output(node: Node) -> None:
    def put(name: str, value: Any) -> Any:
        return node.ros.set_parameter(f"{NAMESPACE}/depth_motion", name, value)

    refused = {
        ("max_depth", -1.0): "max_depth",
        ("point_stride", 0): "Min: 1",
        ("depth_encoding", "64FC1"): "one of 32FC1, 16UC1",
        ("min_depth", 500.0): "less than max_depth",
        ("engine", "cpu"): "clean up the node first",
        ("autostart", False): "restart the node",
    }
    for (name, value), reason in refused.items():
        result = put(name, value)
        assert not result.successful, name
        assert reason in result.reason
    assert put("depth_encoding", "16UC1").successful
    assert put("point_stride", 2).successful
    node.serve()
    assert node.received["depth/image"][-1].encoding == "16UC1"
    stamp = node.serve()
    node.ros.wait(lambda: stamp in node.stamps("depth/points"), "the cloud")
    assert node.received["depth/points"][-1].width == NET_WIDTH // 2
    assert put("depth_encoding", "32FC1").successful
    assert put("point_stride", 1).successful


def test_odometry_is_reset_by_its_service(node: Node) -> None:
    answer = node.ros.service(Trigger, f"{NAMESPACE}/depth_motion/reset_odometry")
    assert answer.success, answer.message
    node.serve()
    stamp = node.serve()
    node.ros.wait(lambda: stamp in node.stamps("odom"), "odometry")
    odom = node.received["odom"][-1]
    # A camera at rest, one frame after the reset: the place is the origin, and well known.
    assert np.abs([odom.pose.pose.position.x, odom.pose.pose.position.y]).max() < 1e-9
    assert odom.pose.covariance[0] < 0.1


def test_weights_are_reloaded_from_the_file(node: Node, weights: Path) -> None:
    service = f"{NAMESPACE}/depth_motion/reload_weights"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1000])
    answer = node.ros.service(Trigger, service)
    assert not answer.success
    assert "truncated" in answer.message
    node.serve()

    make_weights(weights, "second", seed=1)
    before = node.received["depth/image"][-1].data
    answer = node.ros.service(Trigger, service)
    assert answer.success, answer.message
    assert "'second'" in answer.message
    node.serve()
    assert node.received["depth/image"][-1].data != before
    node.wait_value("weights_version", "second")


def test_what_nobody_hears_is_not_computed(node: Node) -> None:
    """Last in the file: it ends the listening."""
    for subscription in list(node.ros.node.subscriptions):
        if subscription.topic_name.startswith(NAMESPACE):
            node.ros.destroy(subscription)
    before = int(node.values["unwanted"])
    name = f"{NAMESPACE}/depth/image"
    node.ros.wait(lambda: not node.ros.node.count_subscribers(name), "the listening to end")

    def values_once_unwanted(count: int) -> dict[str, str]:
        def found() -> dict[str, str] | None:
            node.camera.send()
            values = node.values
            return values if int(values["unwanted"]) >= count else None

        return node.ros.wait(found, "frames that nobody wants")

    # The node hears of the end of each subscription in its own time: then all have ended.
    served = values_once_unwanted(before + 1)["served"]
    assert values_once_unwanted(before + 5)["served"] == served
