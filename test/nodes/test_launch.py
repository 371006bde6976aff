"""The launch files load, take their arguments and start the nodes; needs launch and launch_ros."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from support.launching import RUN
from support.ros_prefix import PATIENT_LAUNCH

from depth_motion_ros.cli.demo.processes import ProcessGroup, RecorderProcess, environment
from depth_motion_ros.share import NODE_MODULES

# Not "launch" alone: our folder of that name would do for an import.
pytest.importorskip("launch.actions", reason="launch has no wheel: comes with a ROS 2 installation")
pytest.importorskip("launch_ros.actions", reason="launch_ros comes with a ROS 2 installation")

from launch import LaunchContext, LaunchDescription
from launch.actions import ExecuteProcess, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

# The smallest network input, in plain PyTorch: this is about processes, not about depth.
SMALL = {
    "engine": "torch", "architecture": "lite", "input_width": 96, "input_height": 64, "threads": 1,
}  # fmt: skip
LAUNCH = Path(__file__).resolve().parents[2] / "launch"
COMMON = {
    "namespace", "image", "camera_info", "params_file", "source", "rviz", "autostart",
    "use_sim_time", "log_level", "weights", "adaptation", "adaptation_params_file",
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


@pytest.mark.parametrize("name", ["camera.launch.py", "fusion.launch.py"])
def test_the_learner_is_started_on_request(name: str) -> None:
    assert "adaptation_node" in executables(expand(name, adaptation="true"))


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


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """What colcon would install: an entry in the index and the executables."""
    path = tmp_path / "install"
    index = path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "depth_motion_ros").touch()
    library = path / "lib" / "depth_motion_ros"
    library.mkdir(parents=True)
    for name, module in NODE_MODULES.items():
        script = library / name
        script.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)
    return path


def test_a_launched_video_comes_out_as_depth(prefix: Path, tmp_path: Path) -> None:
    """Camera and node under a namespace, with a parameter file, ended by Ctrl-C."""
    pytest.importorskip("rclpy")
    video = tmp_path / "a drive.mp4"
    write_video(video)
    parameters = tmp_path / "small.yaml"
    parameters.write_text(yaml.safe_dump({"/**": {"ros__parameters": SMALL}}), encoding="utf-8")
    given = environment()
    given["AMENT_PREFIX_PATH"] = f"{prefix}:{given.get('AMENT_PREFIX_PATH', '')}".rstrip(":")
    given["PYTHONPATH"] = f"{LAUNCH.parent}:{given.get('PYTHONPATH', '')}".rstrip(":")
    given["ROS_LOG_DIR"] = str(tmp_path / "ros_log")
    topic = "front/depth/image"
    recorder = RecorderProcess(
        "depth_motion_ros.nodes.tools.recorder",
        [str(tmp_path / "bag"), f"{topic}=sensor_msgs/msg/Image"], given, tmp_path / "recorder.txt",
    )  # fmt: skip
    with ProcessGroup(tmp_path, given) as processes, (tmp_path / "launch.txt").open("w") as log:
        processes.add(recorder)
        launched = subprocess.Popen(
            [
                sys.executable, "-c", RUN, str(LAUNCH / "camera.launch.py"), "namespace:=front",
                f"source:={video}", f"params_file:={parameters}", *PATIENT_LAUNCH,
            ],
            env=given, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            end = time.monotonic() + 120
            while not recorder.counts().get(topic) and time.monotonic() < end:
                recorder.check()
                assert launched.poll() is None, (tmp_path / "launch.txt").read_text()
                time.sleep(0.2)
            assert recorder.counts().get(topic), (tmp_path / "launch.txt").read_text()
            launched.send_signal(signal.SIGINT)
            launched.wait(150)
        finally:
            if launched.poll() is None:
                os.killpg(launched.pid, signal.SIGKILL)
    said = (tmp_path / "launch.txt").read_text()
    assert said.count("process has finished cleanly") == 2, said


def write_video(path: Path) -> None:
    """Six seconds of a texture that drifts to the left."""
    wide = np.random.default_rng(0).integers(0, 255, (96, 512, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(60):
            shown = np.ascontiguousarray(wide[:, 4 * index : 4 * index + 128])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(stream.encode())
