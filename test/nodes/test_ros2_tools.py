"""ros2 run, launch, node, param, lifecycle and topic hz on the real nodes, as a user types them."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import yaml
from support.ros_prefix import PATIENT_LAUNCH, SMALL, make_prefix, with_prefix

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
for _tool in ("ros2cli", "ros2run", "ros2launch", "ros2param", "ros2lifecycle", "ros2topic"):
    pytest.importorskip(_tool, reason=f"{_tool} has no wheel: comes with a ROS 2 installation")

if TYPE_CHECKING:
    from support.ros_harness import Ros

pytest_plugins = ["support.ros_harness"]

ROS2 = [sys.executable, "-c", "import sys; from ros2cli.cli import main; sys.exit(main())"]
NODE, CAMERA = "/depth_motion", "/camera"


class Shell:
    """A terminal with a sourced workspace, in which ``ros2`` commands are typed."""

    def __init__(self, ros: Ros, folder: Path) -> None:
        self.folder = folder
        prefix = make_prefix(folder / "install")
        self.environment = with_prefix(ros.environment, prefix, folder / "log")
        self.environment["PYTHONUNBUFFERED"] = "1"

    def ros2(self, *words: str) -> str:
        """What a command prints. It must succeed."""
        done = subprocess.run(
            [*ROS2, *words], env=self.environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words: str) -> tuple[subprocess.Popen[str], Path]:
        """A command that runs until it is ended, and the file of what it says."""
        log = self.folder / f"{'_'.join(words[:2])}.txt"
        with log.open("w") as file:
            process = subprocess.Popen(
                [*ROS2, *words], env=self.environment, stdout=file, stderr=subprocess.STDOUT,
                text=True, start_new_session=True,
            )  # fmt: skip
        return process, log


@pytest.fixture(scope="module")
def shell(ros: Ros, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(ros, tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def running(ros: Ros, shell: Shell) -> Iterator[Path]:
    """``ros2 launch`` of camera and node on a folder of images; its log."""
    folder = shell.folder
    (folder / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for index in range(40):
        cv2.imwrite(str(folder / "images" / f"{index:02}.png"), np.roll(pixels, index, axis=1))
    small = folder / "small.yaml"
    small.write_text(
        yaml.safe_dump({"/**": {"ros__parameters": {**SMALL, "loop": True, "rate": 10.0}}})
    )
    launched, log = shell.start(
        "launch", "depth_motion_ros", "camera.launch.py", f"params_file:={small}", *PATIENT_LAUNCH
    )
    camera, camera_log = shell.start(
        "run", "depth_motion_ros", "camera_node", "--ros-args", "-p", f"source:={folder}/images",
        "-p", "loop:=true", "-p", "rate:=10.0", "-p", "stamps:=now",
    )  # fmt: skip
    both = {NODE.strip("/"), CAMERA.strip("/")}
    ros.wait(
        lambda: both <= set(ros.node.get_node_names()),
        lambda: log.read_text() + camera_log.read_text(),
        patience=120,
    )
    ros.wait(lambda: ros.node.count_subscribers("/image"), log.read_text, patience=120)
    yield log
    # ros2 run does not pass SIGINT on: a terminal sends it to the whole group.
    os.killpg(camera.pid, signal.SIGINT)
    launched.send_signal(signal.SIGINT)
    try:
        assert camera.wait(100) == 0, camera_log.read_text()
        assert launched.wait(150) == 0, log.read_text()
        assert log.read_text().count("process has finished cleanly") == 1
        assert "Traceback" not in log.read_text() + camera_log.read_text()
    finally:
        for process in (camera, launched):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_launch_says_what_its_arguments_are(shell: Shell) -> None:
    said = shell.ros2("launch", "depth_motion_ros", "camera.launch.py", "--show-args")
    for name in ("namespace", "image", "params_file", "source", "autostart"):
        assert f"'{name}':" in said


def test_the_executables_are_found(shell: Shell) -> None:
    if importlib.util.find_spec("ros2pkg") is None:
        pytest.skip("ros2pkg comes with a ROS 2 installation")
    said = shell.ros2("pkg", "executables", "depth_motion_ros").split()
    assert {"camera_node", "depth_motion_node"} <= set(said)


def test_parameters_are_listed_described_read_and_set(shell: Shell, running: Path) -> None:
    direct = ("--no-daemon", "--spin-time", "5")
    listed = shell.ros2("param", "list", NODE, *direct).split()
    assert {"weights", "engine", "max_depth", "autostart"} <= set(listed)
    assert "96" in shell.ros2("param", "get", NODE, "input_width", *direct)
    described = shell.ros2("param", "describe", NODE, "max_depth", *direct)
    assert "Max value" in described
    assert "successful" in shell.ros2("param", "set", NODE, "max_depth", "42.5", *direct)
    assert "42.5" in shell.ros2("param", "get", NODE, "max_depth", *direct)


def test_the_lifecycle_is_told_and_driven(ros: Ros, shell: Shell, running: Path) -> None:
    direct = ("--no-daemon", "--spin-time", "5")
    assert NODE in shell.ros2("lifecycle", "nodes", *direct).split()
    for transition, state in (
        ("deactivate", "inactive"), ("cleanup", "unconfigured"),
        ("configure", "inactive"), ("activate", "active"),
    ):  # fmt: skip
        assert "successful" in shell.ros2("lifecycle", "set", NODE, transition, *direct)
        assert shell.ros2("lifecycle", "get", NODE, *direct).split()[0] == state


def test_topic_hz_tells_a_rate(shell: Shell, running: Path) -> None:
    process, log = shell.start("topic", "hz", "/depth/image")
    rates: list[float] = []
    end = time.monotonic() + 100
    while len(rates) < 3 and time.monotonic() < end:
        time.sleep(0.2)
        rates = [float(rate) for rate in re.findall(r"average rate: ([\d.]+)", log.read_text())]
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    assert rates, log.read_text()
    assert rates[-1] > 0
