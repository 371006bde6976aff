"""Each launch file started for real by launch_pytest: nodes, topics, parameters, clean shutdown.

robot_localization and rosbag2's player have no wheels: stand-ins of the same names and interfaces
take their places here, so that what the launch files tell them is seen.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
pytest.importorskip("launch.actions", reason="launch has no wheel: comes with a ROS 2 installation")
pytest.importorskip("launch_ros.actions", reason="launch_ros comes with a ROS 2 installation")
pytest.importorskip("launch_pytest", reason="launch_pytest comes with a ROS 2 installation")

import launch_pytest
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, RegisterEventHandler, SetLaunchConfiguration
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from support.bag_recorder import MS, START, Recorder, record
from support.ros_prefix import PATIENT_LAUNCH, ROOT, SMALL, add_executable, make_prefix, with_prefix

if TYPE_CHECKING:
    from support.ros_harness import Ros

pytest_plugins = ["support.ros_harness"]

TEXTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)

# What ``ros2 bag play BAG --clock 100 ...`` does with one image topic.
PLAYER = """
    import sys, time
    import rclpy
    from rclpy.time import Time
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header
    from depth_motion_ros.nodes.ros import messages
    from depth_motion_ros.sources.open import open_source
    words = sys.argv[1:]
    assert words[:2] == ["bag", "play"], words
    assert words[3:] == ["--clock", "100", "--delay", "2", "--rate", "2"], words
    rclpy.init()
    node = rclpy.create_node("rosbag2_player")
    clock, images = node.create_publisher(Clock, "/clock", 10), node.create_publisher(
        Image, "/cam/image_raw", 10)
    # It begins at once, whoever hears it.
    time.sleep(float(words[6]))
    for frame in open_source(words[2]):
        stamp = Time(nanoseconds=frame.stamp).to_msg()
        clock.publish(Clock(clock=stamp))
        images.publish(messages.rgb_image(Header(stamp=stamp, frame_id="eye"), frame.image))
        time.sleep(0.05)
    time.sleep(3.0)
"""
# An ekf_node that hears the odometry that its parameters name and passes it on.
FILTER = """
    import rclpy
    from nav_msgs.msg import Odometry
    rclpy.init()
    node = rclpy.create_node("ekf", automatically_declare_parameters_from_overrides=True)
    out = node.create_publisher(Odometry, "odometry/filtered", 10)
    topic = node.get_parameter("odom0").value
    node.create_subscription(Odometry, topic, out.publish, 10)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        pass
"""


class Exits:
    """Exit statuses by executable, as launch hears of them."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def __call__(self, event: Any, context: Any) -> None:
        name = event.process_name.rpartition("-")[0] or event.process_name
        self.codes[name] = event.returncode


@pytest.fixture
def exits() -> Exits:
    return Exits()


@pytest.fixture
def home(ros: Ros, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sourced workspace in the environment of this process, from which launch takes it."""
    prefix = make_prefix(tmp_path / "install")
    given = with_prefix(ros.environment, prefix, tmp_path / "log")
    for name in given.keys() - {"PYTEST_CURRENT_TEST"}:
        if os.environ.get(name) != given[name]:
            monkeypatch.setenv(name, given[name])
    parameters = {"/**": {"ros__parameters": SMALL}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    return tmp_path


def stand_in(home: Path, package: str, name: str, code: str) -> None:
    path = home / f"{name}.py"
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    add_executable(home / "install", package, name, str(path))


def description(name: str, exits: Exits, **arguments: object) -> LaunchDescription:
    included = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(ROOT / "launch" / name)),
        launch_arguments=[(key, str(value)) for key, value in arguments.items()],
    )
    patience = (words.split(":=") for words in PATIENT_LAUNCH)
    return LaunchDescription(
        [
            *(SetLaunchConfiguration(key, value) for key, value in patience),
            RegisterEventHandler(OnProcessExit(on_exit=exits)),
            included,
        ]
    )


def nodes(ros: Ros) -> set[str]:
    found = ros.node.get_node_names_and_namespaces()
    return {f"{space.rstrip('/')}/{name}" for name, space in found}


@launch_pytest.fixture
def camera(home: Path, exits: Exits) -> LaunchDescription:
    source = record(home / "drive", "mcap", script)
    return description(
        "camera.launch.py", exits, namespace="front", params_file=home / "small.yaml",
        source=source, image="eye/image", camera_info="eye/camera_info",
    )  # fmt: skip


def script(recorder: Recorder) -> None:
    """A hundred images of a camera at rest, at 10 Hz."""
    for index in range(100):
        recorder.image("/cam/image_raw", START + 100 * MS * index, TEXTURE)


@pytest.mark.launch(fixture=camera)
def test_a_recording_comes_out_as_depth_under_a_namespace(ros: Ros, exits: Exits) -> Iterator[None]:
    depth = ros.listen(Image, "/front/depth/image")
    ros.wait(lambda: len(depth) > 3, "depth")
    assert {"/front/depth_motion", "/front/camera"} <= nodes(ros)
    topics = dict(ros.node.get_topic_names_and_types())
    assert topics["/front/eye/image"] == ["sensor_msgs/msg/Image"]
    for topic in ("odom", "depth/points", "object_flow/image", "camera_info_estimated"):
        assert f"/front/{topic}" in topics
    assert ros.parameter("/front/depth_motion", "engine") == "torch"  # of the parameter file
    assert ros.set_parameter("/front/depth_motion", "max_depth", 50.0).successful
    yield
    assert exits.codes == {"depth_motion_node": 0, "camera_node": 0}


@launch_pytest.fixture
def replay(home: Path, exits: Exits) -> LaunchDescription:
    bag = record(home / "drive", "mcap", script)
    stand_in(home, "ros2cli", "ros2", PLAYER)
    add_executable(home / "install", "ros2bag", "nothing", "-c pass")
    (home / "install" / "bin").mkdir()
    (home / "install" / "bin" / "ros2").symlink_to(home / "install" / "lib" / "ros2cli" / "ros2")
    return description(
        "replay.launch.py", exits, params_file=home / "small.yaml", bag=bag,
        image="/cam/image_raw", rate="2.0",
    )  # fmt: skip


@pytest.mark.launch(fixture=replay)
def test_a_bag_is_replayed_in_its_own_time_and_ends_everything(
    ros: Ros, exits: Exits
) -> Iterator[None]:
    depth = ros.listen(Image, "/depth/image")
    ros.wait(lambda: len(depth) > 3, "depth", patience=120)
    # The bag's own time: stamps, and the clock of the node.
    assert START * 1e-9 <= depth[0].header.stamp.sec + 1 <= START * 1e-9 + 12
    assert "/depth_motion" in nodes(ros)
    ros.wait(lambda: ros.node.count_subscribers("/clock"), "the node to take the bag's clock")
    # The end of the bag ends everything, without a signal from here.
    ros.wait(lambda: "depth_motion_node" in exits.codes, lambda: f"the end: {exits.codes}")
    yield
    # What waited for the node is a Python of its own.
    assert sorted(exits.codes.values()) == [0, 0, 0]
    assert {"ros2", "depth_motion_node"} < exits.codes.keys()


@launch_pytest.fixture
def fusion(home: Path, exits: Exits) -> LaunchDescription:
    source = record(home / "drive", "mcap", script)
    stand_in(home, "robot_localization", "ekf_node", FILTER)
    return description(
        "fusion.launch.py", exits, namespace="robot", params_file=home / "small.yaml",
        source=source,
    )  # fmt: skip


@pytest.mark.launch(fixture=fusion)
def test_the_filter_hears_the_node_and_owns_the_transform(ros: Ros, exits: Exits) -> Iterator[None]:
    fused = ros.listen(Odometry, "/robot/odometry/filtered")
    ros.wait(lambda: len(fused) > 1, "the filter to hear our odometry")
    assert {"/robot/depth_motion", "/robot/camera", "/robot/ekf_filter_node"} <= nodes(ros)
    # One owner of odom -> base_link: the filter, by its parameters.
    values = [ros.value("/robot/ekf_filter_node", "publish_tf"),
              ros.value("/robot/depth_motion", "publish_tf")]  # fmt: skip
    assert [value.bool_value for value in values] == [True, False]
    yield
    assert exits.codes == {"depth_motion_node": 0, "camera_node": 0, "ekf_node": 0}
