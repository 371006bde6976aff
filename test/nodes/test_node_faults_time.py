"""Faults of time and calibration between real processes: bags in a loop, clocks that jump, a
CameraInfo that changes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from support.bag_recorder import MS, START, Recorder, record
from support.small_camera import CAMERA, HEIGHT, NAMESPACE, NET_HEIGHT, NET_WIDTH, WIDTH

from depth_motion_ros.geometry.camera import Camera

if TYPE_CHECKING:
    from support.depth_motion_harness import Node
    from support.ros_harness import Ros

CAUSES = ("older image", "same stamp", "same picture")

pytest_plugins = ["support.ros_harness", "support.depth_motion_harness"]


def test_a_bag_in_a_loop_resets_the_motion_at_each_seam_and_nothing_else(
    ros: Ros, node: Node, tmp_path: Path
) -> None:
    texture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

    def script(recorder: Recorder) -> None:
        for index in range(6):
            pixels = np.roll(texture, index, axis=1)
            recorder.image("/image", START + 100 * MS * index, pixels)

    bag = record(tmp_path / "drive", "mcap", script)
    player = ros.start(
        "camera_node", {"source": bag, "loop": True, "rate": 20.0},
        ("-r", f"__ns:={NAMESPACE}", "-r", "image:=front/image",
         "-r", "camera_info:=front/camera_info"),
    )  # fmt: skip
    ros.wait(
        lambda: int(node.values.get("resets/time went back", "0")) >= 2,
        lambda: f"two seams: {node.values}",
    )
    # Told once, counted each time; between the seams there is odometry.
    assert node.process.log.count("motion state reset (time went back)") == 1
    odometry = len(node.received["odom"])
    ros.wait(lambda: len(node.received["odom"]) > odometry + 3, "odometry between the seams")
    stamps = set(node.stamps("depth/image"))
    assert stamps <= {START + 100 * MS * index for index in range(6)}
    assert node.values["bad"] == "0"
    assert player.end(signal.SIGINT) == 0
    assert "Traceback" not in node.process.log


def test_a_camera_info_that_changes_is_followed_from_the_next_image(node: Node) -> None:
    """A zoom lens, or another calibration loaded into the driver."""
    for field_of_view in (1.2, 0.8, 1.2):
        camera = Camera.from_field_of_view(WIDTH, HEIGHT, field_of_view)
        node.camera.stamp = max(node.camera.stamp, START + 1000 * MS)
        node.camera.send_info(camera)
        expected = camera.resized(NET_WIDTH, NET_HEIGHT)

        def follows(expected: Camera = expected) -> bool:
            node.serve()
            info = node.received["depth/camera_info"][-1]
            return Camera.from_camera_info(info).same_as(expected, 1e-6)

        node.ros.wait(follows, f"the camera of {field_of_view} rad")
    assert node.values["tracking"] in ("ok", "static", "first")


@pytest.fixture
def clock(ros: Ros, node: Node) -> Iterator[object]:
    """A publisher of /clock whose time the node takes for its own."""
    publisher = ros.node.create_publisher(Clock, "/clock", 1)
    assert ros.set_parameter(f"{NAMESPACE}/depth_motion", "use_sim_time", True).successful
    yield publisher
    assert ros.set_parameter(f"{NAMESPACE}/depth_motion", "use_sim_time", False).successful
    ros.destroy(publisher)


def test_a_clock_that_jumps_stops_neither_frames_nor_diagnostics(
    ros: Ros, node: Node, clock: object
) -> None:
    """A simulation that is reset, and one that is started with the time of another."""
    node.camera.send_info(CAMERA)
    for seconds in (1000, 1001, 5, 2_000_000_000, 5):
        told = len(node.diagnostics)

        def adopted(seconds: int = seconds, told: int = told) -> bool:
            clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
            return any(m.header.stamp.sec == seconds for m in node.diagnostics[told:])

        ros.wait(adopted, f"diagnostics at {seconds} s")
        node.serve()
    assert "Traceback" not in node.process.log


def test_without_a_clock_the_diagnostics_go_on(ros: Ros, node: Node, clock: object) -> None:
    """use_sim_time and a /clock that has died: its timers do not stand still with it."""
    told = len(node.diagnostics)
    ros.wait(lambda: len(node.diagnostics) > told + 3, "diagnostics")
    node.serve()


def test_only_new_images_count(ros: Ros, node: Node) -> None:
    """Each image has depth, whatever its stamp; what is not newer has no odometry, and is counted.

    The node of the tests takes 5 s for a gap.
    """
    for _ in range(2):  # whatever the tests before have left
        resets = str(int(node.values.get("resets", "0")) + 1)
        node.serve(1000 * 1000 * MS)
        node.wait_value("resets", resets)
    node.serve()
    before = {name: int(node.values.get(f"left_out/{name}", "0")) for name in CAUSES}
    odometry = len(node.received["odom"])
    node.serve(-150 * MS)  # an image that was overtaken
    node.serve(-300 * MS)
    node.camera.stamp += 450 * MS
    node.serve(0)
    for name, more in (("older image", 2), ("same stamp", 1)):
        node.wait_value(f"left_out/{name}", str(before[name] + more))
    assert len(node.received["odom"]) == odometry
    for _ in range(3):
        node.serve()
    ros.wait(lambda: len(node.received["odom"]) == odometry + 3, "odometry of new images")
    node.camera.is_noisy = False
    node.serve(20 * MS)
    node.wait_value("left_out/same picture", str(before["same picture"] + 1))
    node.camera.is_noisy = True
    node.serve()
    assert node.values["resets"] == resets

    def says() -> bool:
        """A driver that does not set the stamp."""
        node.camera.send(0)
        return "must set header.stamp" in node.values["message"]

    ros.wait(says, "a word about it")
    assert "time stands still at" in node.values["message"]
    for name in CAUSES:
        assert node.process.log.count(f"left out of the motion ({name})") == 1
