"""What config/ekf.yaml and launch/fusion.launch.py assume of the node is what it publishes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.share import config_file

# The fifteen fields of robot_localization's state, in the order of its *_config lists.
FIELDS = (
    "x", "y", "z", "roll", "pitch", "yaw", "vx", "vy", "vz", "vroll", "vpitch", "vyaw",
    "ax", "ay", "az",
)  # fmt: skip
# Where these stand in the twist of nav_msgs/Odometry, linear before angular.
TWIST_INDEX = {"vx": 0, "vy": 1, "vz": 2, "vroll": 3, "vpitch": 4, "vyaw": 5}
DEFAULTS = {parameter.name: parameter.default for parameter in DEPTH_MOTION_PARAMETERS}


@pytest.fixture(scope="module")
def ekf() -> dict[str, Any]:
    document = yaml.safe_load(config_file("ekf.yaml").read_text(encoding="utf-8"))
    return dict(document["/**"]["ros__parameters"])


def fused(ekf: dict[str, Any], sensor: str) -> set[str]:
    return {name for name, used in zip(FIELDS, ekf[f"{sensor}_config"], strict=True) if used}


def test_the_frames_are_those_of_the_node(ekf: dict[str, Any]) -> None:
    assert ekf["odom_frame"] == ekf["world_frame"] == DEFAULTS["odom_frame"]
    assert ekf["base_link_frame"] == DEFAULTS["base_frame"]


def test_the_filter_alone_sends_the_transform_by_default(ekf: dict[str, Any]) -> None:
    assert ekf["publish_tf"] is True
    assert DEFAULTS["publish_tf"] is False


def test_the_camera_is_fused_by_its_velocities_in_the_plane(ekf: dict[str, Any]) -> None:
    """Its pose is the integral of the same velocities: fused too, it would count twice."""
    assert ekf["two_d_mode"] is True
    assert fused(ekf, "odom0") == {"vx", "vy", "vyaw"}
    assert not ekf["odom0_differential"]
    assert not ekf["odom0_relative"]


def test_wheels_and_gyro_give_what_they_measure(ekf: dict[str, Any]) -> None:
    # Wheels do not slide sideways: vy is measured as zero.
    assert fused(ekf, "odom1") == {"vx", "vy"}
    assert fused(ekf, "imu0") == {"vyaw"}
    # The output of the filter must not be one of its inputs.
    topics = [ekf[sensor] for sensor in ("odom0", "odom1", "imu0")]
    assert len({*topics, "odometry/filtered"}) == 4
    assert not any(topic.startswith("/") for topic in topics), "names follow the namespace"


def test_what_is_predicted_grows_in_every_field(ekf: dict[str, Any]) -> None:
    growth = np.array(ekf["process_noise_covariance"]).reshape(len(FIELDS), len(FIELDS))
    np.testing.assert_array_equal(growth, growth.T)
    assert np.linalg.eigvalsh(growth).min() > 0


def test_a_frame_that_is_missed_is_no_timeout(ekf: dict[str, Any]) -> None:
    # The node serves 5 Hz on a small computer (docs/reference/benchmarks.md).
    assert ekf["sensor_timeout"] >= 3 / 5


def test_each_fused_field_comes_with_a_variance_in_base_link(ekf: dict[str, Any]) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    from std_msgs.msg import Header

    from depth_motion_ros.nodes.perception import outputs
    from depth_motion_ros.nodes.ros import messages

    assert ekf["odom0"] == outputs.ODOM
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    message = messages.odometry(
        Header(frame_id=DEFAULTS["odom_frame"]), DEFAULTS["base_frame"],
        np.eye(4), np.eye(6), np.arange(6.0), covariance,
    )  # fmt: skip
    assert message.child_frame_id == ekf["base_link_frame"]
    twist = message.twist.twist
    values = {"vx": twist.linear.x, "vy": twist.linear.y, "vyaw": twist.angular.z}
    for name in fused(ekf, "odom0"):
        index = TWIST_INDEX[name]
        assert values[name] == index
        assert message.twist.covariance[7 * index] == covariance[index, index]
