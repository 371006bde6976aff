"""depth_motion_node with an engine whose cost and answers are known (ros_doubles.py)."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.nodes.ros import messages

if TYPE_CHECKING:
    from support.ros_harness import Ros

pytest_plugins = ["support.ros_harness"]

FRAMES = 60
PERIOD = 1 / 30  # s, of the camera
STEP = 0.2  # s, of the engine: six frames of the camera
INSTANT = "import sys; from support.ros_doubles import main; sys.exit(main(0))"
SLOW = f"import sys; from support.ros_doubles import main; sys.exit(main({STEP}))"


def test_the_newest_frame_is_served_and_the_drops_are_counted(ros: Ros) -> None:
    node = ros.start(
        "depth_motion_node",
        {"input_width": 64, "input_height": 32, "diagnostics_period": 0.2, "max_gap": 10.0},
        code=SLOW,
    )
    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    arrivals: list[int] = []

    def note(odom: Odometry) -> None:
        arrivals.append(messages.stamp_from_message(odom.header.stamp))

    ros.node.create_subscription(Odometry, "/odom", note, 10)
    images = ros.node.create_publisher(Image, "/image", 10)
    ros.wait(images.get_subscription_count, lambda: f"the node to listen:\n{node.log}")
    ros.wait(lambda: ros.node.count_publishers("/odom"), "odometry")
    # Blocks of 40 pixels: finer noise would be a blank wall at the network's size.
    blocks = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    pixels = blocks.repeat(40, axis=0).repeat(40, axis=1)
    sent = 0
    while sent < FRAMES or not arrivals:
        newest = time.time_ns()
        header = Header(stamp=messages.stamp_to_message(newest), frame_id="eye")
        images.publish(messages.rgb_image(header, pixels))
        sent += 1
        time.sleep(PERIOD)
        assert sent < 20 * FRAMES, node.log

    def values() -> dict[str, str]:
        return {pair.key: pair.value for pair in diagnostics[-1].status[0].values}

    def settled() -> bool:
        said = values()
        # The last one may still be in the engine.
        return int(said["received"]) == int(said["served"]) + int(said["dropped"])

    ros.wait(settled, lambda: f"every frame accounted for: {values()}")
    said = values()
    assert int(said["dropped/busy"]) > 0
    assert int(said["received"]) <= sent
    # In order, and to the newest: what was dropped was older than what was served.
    assert arrivals == sorted(arrivals)
    ros.wait(lambda: newest in arrivals, "the newest frame")
    assert node.end(signal.SIGINT) == 0
    assert "Traceback" not in node.log


def test_wheel_odometry_makes_the_outputs_metric(ros: Ros) -> None:
    """The engine sees 0.05 units a frame, the wheels 0.1 m: a unit is 2 m, the plane 10 m away."""
    node = ros.start(
        "depth_motion_node",
        {
            "input_width": 128,
            "input_height": 96,
            "diagnostics_period": 0.2,
            "refine": False,
            # The object is the engine's, not the image's; it takes ten seconds for its distance.
            "object_motion": "network",
            "object_flow_ratio": 0.05,
            "depth_source": "network",
        },
        ("-r", "__ns:=/metric"),
        code=INSTANT,
    )
    depth = ros.listen(Image, "/metric/depth/image")
    odometry = ros.listen(Odometry, "/metric/odom")
    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    objects = ros.listen(MarkerArray, "/metric/object_flow/markers")
    images = ros.node.create_publisher(Image, "/metric/image", 10)
    wheels = ros.node.create_publisher(Odometry, "/metric/odom_in", 10)
    infos = ros.node.create_publisher(CameraInfo, "/metric/camera_info", 10)
    for publisher in (images, wheels, infos):
        ros.wait(publisher.get_subscription_count, lambda: f"the node to listen:\n{node.log}")
    ros.wait(lambda: ros.node.count_publishers("/metric/odom"), "odometry")
    camera = Camera(np.array([[128.0, 0, 64], [0, 128.0, 48], [0, 0, 1]]), 128, 96)
    blocks = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    wall = cv2.GaussianBlur(blocks.repeat(8, axis=0).repeat(8, axis=1), (0, 0), 2)
    step = 0

    def metric() -> bool:
        """One frame on: a wall 5 units away that comes 0.05 nearer is seen 1 % larger."""
        nonlocal step
        step += 1
        header = Header(stamp=messages.stamp_to_message(100_000_000 * step), frame_id="eye")
        infos.publish(messages.camera_info(header, camera))
        zoom = (5.0 / 4.95) ** (step % 20)
        view = cv2.warpAffine(
            wall,
            cv2.getRotationMatrix2D((64, 48), 0, zoom),
            (128, 96),
            borderMode=cv2.BORDER_REFLECT,
        )
        moved = Odometry(header=header)
        moved.pose.pose.position.x = 0.1 * step
        moved.pose.pose.orientation.w = 1.0
        wheels.publish(moved)
        before = len(depth)
        images.publish(messages.rgb_image(header, view))
        ros.wait(lambda: len(depth) > before, "depth")
        own = [s for m in diagnostics for s in m.status if s.name.startswith("/metric/")]
        said = {pair.key: pair.value for pair in own[-1].values} if own else {}
        return said.get("scale_source") == "odometry"

    ros.wait(metric, lambda: f"the scale from odom_in:\n{node.log}")
    assert metric()
    newest = np.frombuffer(depth[-1].data, "<f4")
    assert np.nanmedian(newest) == pytest.approx(10.0, rel=0.01)
    speed = odometry[-1].twist.twist.linear.x
    assert speed == pytest.approx(1.0, rel=0.01)

    def told() -> list[Marker]:
        metric()
        return [m for m in objects[-1].markers if m.ns == "object_flow"]

    # The patch that the engine sees moving, 0.05 units of 2 m in 0.1 s, is one object. Its flow is
    # 1 m/s but it stays in its place: between the two the tracker settles at 0.86 m/s.
    [arrow] = ros.wait(told, "the object that moves")
    start, end = arrow.points
    assert np.hypot(end.x - start.x, end.z - start.z) == pytest.approx(1.0, rel=0.2)
