"""depth_motion_node in its own process, with real DDS: what it hears, and what it survives."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from nav_msgs.msg import Odometry
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from support.small_camera import CAMERA, HEIGHT, NET_HEIGHT, NET_WIDTH, WIDTH

from depth_motion_ros.geometry.camera import Camera

if TYPE_CHECKING:
    from support.depth_motion_harness import Node

pytest_plugins = ["support.ros_harness", "support.depth_motion_harness"]


def test_without_camera_info_the_learned_intrinsics_serve_until_one_comes(node: Node) -> None:
    node.serve()
    node.wait_value("intrinsics", "learned")
    assert node.process.log.count("camera_info missing") == 1
    node.camera.send_info()
    node.serve()
    node.serve()
    node.wait_value("intrinsics", "camera_info")
    info = node.received["depth/camera_info"][-1]
    expected = CAMERA.resized(NET_WIDTH, NET_HEIGHT)
    assert Camera.from_camera_info(info).same_as(expected, 1e-6)


BAD = {
    "short data": {"data": array.array("B", bytes(100))},
    "zero size": {"width": 0},
    "unknown encoding": {"encoding": "plaid8"},
    "undecodable": {"step": 1},
}


def test_bad_images_are_told_once_counted_and_survived(node: Node) -> None:
    for count in ("1", "2"):
        for cause, changes in BAD.items():
            # One at a time: of a burst all but the last would be dropped unseen.
            node.camera.send(**changes)
            node.wait_value(f"bad/{cause}", count)
    node.serve()
    for cause in BAD:
        assert node.process.log.count(f"bad image ({cause})") == 1


def test_a_contradicting_camera_info_is_told_once_and_not_used(node: Node) -> None:
    node.camera.send_info(CAMERA.resized(2 * WIDTH, 2 * HEIGHT))
    node.serve()
    node.serve()
    node.wait_value("intrinsics", "learned")
    assert node.process.log.count("camera_info contradicts image") == 1
    assert f"{2 * WIDTH}x{2 * HEIGHT}, the image is {WIDTH}x{HEIGHT}" in node.process.log
    assert int(node.values["bad/camera_info contradicts image"]) >= 1


def test_a_camera_info_of_nan_is_told_once_counted_and_survived(node: Node) -> None:
    bad = np.array([np.nan, 0, 1, 0, 1, 1, 0, 0, 1])
    for _ in range(2):
        node.camera.stamp += 1
        node.camera.send_info(k=bad)
    node.wait_value("bad/camera_info bad", "2")
    node.serve()
    node.wait_value("intrinsics", "learned")
    assert node.process.log.count("camera_info bad") == 1
    node.camera.send_info()
    # The first image may overtake it: they are two topics.
    node.ros.wait(lambda: node.serve() and node.values["intrinsics"] == "camera_info", "the camera")


def test_a_break_in_the_stream_resets_the_motion_state_and_nothing_else(node: Node) -> None:
    before = int(node.values.get("resets", 0))
    camera = node.camera

    def breaks(count: int, sends: Any) -> None:
        """After ``sends`` the frame counts as a first one, and the next has odometry again."""
        odometry = len(node.received["odom"])
        sends()
        node.wait_value("resets", str(before + count))
        node.serve()
        node.ros.wait(lambda: len(node.received["odom"]) > odometry, "odometry to go on")

    breaks(1, lambda: node.serve(-10_000_000_000))  # a bag begins anew
    assert "time went back by 10.000 s" in node.process.log
    breaks(2, lambda: node.serve(6_000_000_000))  # max_gap is 5 s
    camera.frame_id = "rear_optical"
    breaks(3, node.serve)
    assert node.received["depth/image"][-1].header.frame_id == "rear_optical"
    whole, camera.pixels = camera.pixels, np.ascontiguousarray(camera.pixels[:, :80])
    breaks(4, node.serve)
    assert (node.received["camera_info_estimated"][-1].width) == 80
    assert (node.received["depth/image"][-1].width) == NET_WIDTH
    camera.frame_id, camera.pixels = "front_optical", whole
    breaks(5, node.serve)


def test_bad_odometry_from_elsewhere_is_told_once_counted_and_survived(node: Node) -> None:
    wheels = node.camera.publisher(Odometry, "odom_in", ReliabilityPolicy.RELIABLE)
    node.ros.wait(wheels.get_subscription_count, "the node to hear odom_in")
    bad = Odometry(header=node.camera.header())
    bad.pose.pose.position.x = float("nan")
    wheels.publish(bad)
    node.wait_value("bad/odom_in", "1")
    assert node.process.log.count("odom_in bad") == 1
    node.serve()


def test_a_best_effort_camera_is_heard_too(node: Node) -> None:
    reliable = node.camera.images
    best_effort = node.camera.publisher(Image, "front/image", ReliabilityPolicy.BEST_EFFORT)
    node.wait_value("image_qos", "best_effort")
    node.camera.images = best_effort
    node.serve()
    node.ros.destroy(best_effort)
    node.camera.images = reliable
    node.wait_value("image_qos", "reliable")
    node.serve()
