"""An engine slower than the camera: the newest frame is served, the others are counted."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_motion_ros.nodes import messages

if TYPE_CHECKING:
    from ros_harness import Ros

pytest_plugins = ["ros_harness"]

FRAMES = 60
PERIOD = 1 / 30  # s, of the camera
STEP = 0.2  # s, of the engine: six frames of the camera
SLOW = f"import sys; from ros_doubles import main; sys.exit(main({STEP}))"


def test_the_newest_frame_is_served_and_the_drops_are_counted(ros: Ros) -> None:
    node = ros.start(
        "depth_motion_node",
        {"input_width": 64, "input_height": 32, "diagnostics_period": 0.2, "max_gap": 10.0},
        code=SLOW,
    )
    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    arrivals: dict[int, float] = {}

    def note(odom: Odometry) -> None:
        arrivals[messages.stamp_from_message(odom.header.stamp)] = time.time()

    ros.node.create_subscription(Odometry, "/odom", note, 10)
    images = ros.node.create_publisher(Image, "/image", 10)
    ros.wait(images.get_subscription_count, lambda: f"the node to listen:\n{node.log}")
    ros.wait(lambda: ros.node.count_publishers("/odom"), "odometry")
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    sent = 0
    while sent < FRAMES or not arrivals:
        header = Header(stamp=messages.stamp_to_message(time.time_ns()), frame_id="eye")
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
    assert int(said["dropped/busy"]) > int(said["served"])
    assert int(said["received"]) <= sent
    ages = [(came - stamp * 1e-9) for stamp, came in arrivals.items()]
    # A frame waits for the one in the engine at most, then it takes its own step. Were frames
    # queued, the age would grow by 0.17 s with each of them, to several seconds.
    assert np.median(ages) < 2 * STEP + 0.15
    assert node.end(signal.SIGINT) == 0
    assert "Traceback" not in node.log
