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
from support.ros_prefix import PATIENT_LAUNCH, SMALL, add_executable, make_prefix, with_prefix

from depth_motion_ros.cli.demo.processes import ProcessGroup, RecorderProcess, environment
from depth_motion_ros.launching.arguments import Argument
from depth_motion_ros.launching.camera_arguments import CAMERA_ARGUMENTS
from depth_motion_ros.launching.fusion import FUSION_ARGUMENTS
from depth_motion_ros.launching.replay import REPLAY_ARGUMENTS, WAIT

# Not "launch" alone: our folder of that name would do for an import.
pytest.importorskip("launch.actions", reason="launch has no wheel: comes with a ROS 2 installation")
pytest.importorskip("launch_ros.actions", reason="launch_ros comes with a ROS 2 installation")

from launch import LaunchContext, LaunchDescription
from launch.actions import ExecuteProcess, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
# Packages that a robot may have, and what they start.
OTHERS = {
    "usb_cam": "usb_cam_node_exe",
    "v4l2_camera": "v4l2_camera_node",
    "rviz2": "rviz2",
    "robot_localization": "ekf_node",
    "ros2bag": "nothing",
}


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


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """What colcon would install, and nothing else."""
    return make_prefix(tmp_path / "install")


@pytest.fixture
def robot(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sourced workspace in which all other packages are installed, too."""
    for package, executable in OTHERS.items():
        add_executable(prefix, package, executable, "-c pass")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))
    return prefix


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("camera.launch.py", CAMERA_ARGUMENTS),
        ("replay.launch.py", REPLAY_ARGUMENTS),
        ("fusion.launch.py", FUSION_ARGUMENTS),
    ],
)
def test_every_argument_is_declared_and_described(name: str, table: tuple[Argument, ...]) -> None:
    declared = load(name).get_launch_arguments()
    assert {argument.name for argument in declared} == {argument.name for argument in table}
    assert all(argument.description for argument in declared)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("camera.launch.py", {}, set()),
        ("camera.launch.py", {"source": "usb_cam"}, {"usb_cam_node_exe"}),
        ("camera.launch.py", {"source": "v4l2_camera"}, {"v4l2_camera_node"}),
        ("camera.launch.py", {"source": "sim:yard"}, {"camera_node"}),
        ("camera.launch.py", {"rviz": "true"}, {"rviz2"}),
        ("camera.launch.py", {"adaptation": "1"}, {"adaptation_node"}),
        ("fusion.launch.py", {"adaptation": "true"}, {"adaptation_node", "ekf_node"}),
        ("fusion.launch.py", {"namespace": "r1", "frame_prefix": "r1/"}, {"ekf_node"}),
    ],
)
def test_what_is_asked_for_is_started_beside_the_node(
    name: str, arguments: dict[str, str], expected: set[str], robot: Path
) -> None:
    assert executables(expand(name, **arguments)) == {"depth_motion_node"} | expected


def test_nodes_run_under_the_transport_profile(robot: Path) -> None:
    names = {
        "".join(part.perform(LaunchContext()) for part in action.name)
        for action in expand("camera.launch.py")
        if isinstance(action, SetEnvironmentVariable)
    }
    given = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"} & set(os.environ)
    assert given or "FASTDDS_DEFAULT_PROFILES_FILE" in names
    assert {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} <= names | set(os.environ)


def test_replay_starts_no_player_before_the_node_is_active(
    robot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_executable(robot, "ros2cli", "ros2", "-c pass")
    monkeypatch.setenv("PATH", str(robot / "lib" / "ros2cli"), prepend=os.pathsep)
    actions = expand("replay.launch.py", bag=str(tmp_path))
    assert executables(actions) == {"depth_motion_node"}
    [waiting] = [action for action in actions if type(action) is ExecuteProcess]
    words = ["".join(part.perform(LaunchContext()) for part in word) for word in waiting.cmd]
    assert words == [sys.executable, "-m", WAIT, "/depth_motion"]


def run(prefix: Path, folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A launch file in a process of its own, with the packages of ``prefix`` alone."""
    pytest.importorskip("rclpy")
    given = with_prefix(environment(), prefix, folder / "log")
    given["AMENT_PREFIX_PATH"] = str(prefix)
    return subprocess.run(
        [sys.executable, "-c", RUN, str(LAUNCH / name), *words],
        env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("camera.launch.py", ["rviz:=true"], "rviz:=true needs the package rviz2"),
        ("camera.launch.py", ["source:=usb_cam"], "source:=usb_cam needs the package usb_cam"),
        ("camera.launch.py", ["params_file:=/nix.yaml"], "params_file:=/nix.yaml: there is no"),
        ("camera.launch.py", ["autostart:=maybe"], "autostart:=maybe: must be true or false"),
        ("camera.launch.py", ["adaptaton:=true"], "did you mean adaptation?"),
        ("fusion.launch.py", [], "needs the package robot_localization"),
        ("fusion.launch.py", ["publish_tf:=true"], "ekf_node sends it here, too"),
        ("replay.launch.py", [], "required argument 'bag'"),
        ("replay.launch.py", ["bag:=/tmp"], "needs the package ros2bag"),
    ],
)
def test_a_launch_that_cannot_work_starts_nothing(
    name: str, words: list[str], said: str, prefix: Path, tmp_path: Path
) -> None:
    done = run(prefix, tmp_path, name, *words)
    assert done.returncode == 1, done.stdout
    assert said in done.stdout
    assert "process started" not in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("parameters", "words", "said"),
    [
        ({"max_dept": 5.0}, [], "unknown parameter 'max_dept'; did you mean 'max_depth'?"),
        ({"max_depth": -1.0}, [], "max_depth is -1.0; it must be"),
        ({"weights": "/nix.safetensors"}, [], "/nix.safetensors: cannot be read"),
        ({}, ["source:=sim:nix"], "sim:nix: no such scene"),
    ],
)
def test_a_node_that_cannot_start_ends_the_launch_with_a_status(
    parameters: dict[str, object], words: list[str], said: str, prefix: Path, tmp_path: Path
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": {**SMALL, **parameters}}}))
    done = run(
        prefix, tmp_path, "camera.launch.py", f"params_file:={path}", *words, *PATIENT_LAUNCH
    )
    assert done.returncode == 1, done.stdout
    assert said in done.stdout
    assert "its last line says why" in done.stdout


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
