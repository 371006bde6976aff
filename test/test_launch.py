"""The launch files load, take their arguments and start the nodes; needs launch and launch_ros."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Not "launch" alone: our folder of that name would do for an import.
pytest.importorskip("launch.actions", reason="launch has no wheel: comes with a ROS 2 installation")
pytest.importorskip("launch_ros.actions", reason="launch_ros comes with a ROS 2 installation")

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    ExecuteProcess,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

LAUNCH = Path(__file__).resolve().parents[1] / "launch"
COMMON = {
    "namespace", "image", "camera_info", "params_file", "source", "rviz", "autostart",
    "use_sim_time", "log_level",
}  # fmt: skip


def load(name: str) -> LaunchDescription:
    source = PythonLaunchDescriptionSource(str(LAUNCH / name))
    return source.get_launch_description(LaunchContext())


def expand(name: str, **arguments: str) -> list[object]:
    """Every action that would run with these arguments, conditions applied, nothing started."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    found: list[object] = []

    def visit(entity: object) -> None:
        found.append(entity)
        if isinstance(entity, (ExecuteProcess, SetEnvironmentVariable)):
            return
        condition = getattr(entity, "condition", None)
        if condition is not None and not condition.evaluate(context):
            return
        for child in entity.visit(context) or []:
            visit(child)

    visit(load(name))
    return [
        entity
        for entity in found
        if getattr(entity, "condition", None) is None or entity.condition.evaluate(context)
    ]


def executables(actions: list[object]) -> set[str]:
    return {action.node_executable for action in actions if isinstance(action, Node)}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("camera.launch.py", set()),
        ("replay.launch.py", {"bag", "rate", "loop", "topics"}),
        ("fusion.launch.py", {"ekf_params_file"}),
    ],
)
def test_every_argument_is_declared_and_described(name: str, own: set[str]) -> None:
    declared = load(name).get_launch_arguments()
    assert {argument.name for argument in declared} == COMMON | own
    assert all(argument.description for argument in declared)


def test_a_running_camera_needs_the_node_alone() -> None:
    assert executables(expand("camera.launch.py")) == {"depth_motion_node"}


@pytest.mark.parametrize(
    ("source", "driver"),
    [
        ("usb_cam", "usb_cam_node_exe"),
        ("v4l2_camera", "v4l2_camera_node"),
        ("drive.mp4", "camera_node"),
        ("sim:yard", "camera_node"),
    ],
)
def test_source_starts_the_camera_it_names(source: str, driver: str) -> None:
    started = executables(expand("camera.launch.py", source=source))
    assert started == {"depth_motion_node", driver}


def test_rviz_is_started_on_request() -> None:
    assert "rviz2" in executables(expand("camera.launch.py", rviz="true"))


def test_nodes_run_under_the_transport_profile() -> None:
    names = {
        "".join(part.perform(LaunchContext()) for part in action.name)
        for action in expand("camera.launch.py")
        if isinstance(action, SetEnvironmentVariable)
    }
    given = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"} & set(os.environ)
    assert given or "FASTDDS_DEFAULT_PROFILES_FILE" in names
    assert {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} <= names | set(os.environ)


def test_replay_plays_the_bag_with_its_clock() -> None:
    actions = expand("replay.launch.py", bag="drive", topics="/a /b", loop="true")
    [player] = [a for a in actions if type(a) is ExecuteProcess]
    words = ["".join(part.perform(LaunchContext()) for part in word) for word in player.cmd]
    assert words[:4] == ["ros2", "bag", "play", "drive"]
    assert "--clock" in words
    assert "--loop" in words
    assert words[-3:] == ["--topics", "/a", "/b"]


def test_replay_without_a_bag_says_so() -> None:
    with pytest.raises(RuntimeError, match="bag"):
        expand("replay.launch.py")


def test_fusion_starts_the_filter_beside_the_node() -> None:
    assert executables(expand("fusion.launch.py")) == {"depth_motion_node", "ekf_node"}
