"""``depth_motion doctor`` as its user runs it: the whole report, beside real nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from depth_motion_ros.cli.doctor import command as doctor
from depth_motion_ros.cli.doctor.finding import ok
from depth_motion_ros.cli.main import main

if TYPE_CHECKING:
    from support.ros_harness import Ros

try:
    import rclpy  # noqa: F401

    pytest_plugins = ["support.ros_harness"]
    HAS_ROS = True
except ImportError:
    HAS_ROS = False
needs_ros = pytest.mark.skipif(not HAS_ROS, reason="needs ROS 2 (a sourced one, or the wheels)")


def test_without_rclpy_it_says_how_to_get_it() -> None:
    """A module that fails like nodes/tools/graph_report.py where there is no rclpy."""
    report, finding = doctor.graph_report({"PATH": ""}, 0.1, module="no_such_module")
    assert report is None
    assert finding is not None
    assert finding.level == "problem"
    assert finding.fix
    told = doctor._explain(["Traceback", "ModuleNotFoundError: No module named 'rclpy'"])
    assert "depth_motion_ros[ros]" in told.fix
    assert "/opt/ros" in told.fix


def test_a_problem_is_the_exit_status_and_a_warning_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for level, status in (("ok", 0), ("warning", 0), ("problem", 1)):
        finding = ok("found") if level == "ok" else doctor.Finding(level, "found", "mend it")
        monkeypatch.setattr(doctor, "_python", lambda finding=finding: [finding])
        monkeypatch.setattr(doctor, "_engines", lambda path: [])
        assert main(["doctor", "--no-ros"]) == status
        assert ("fix: mend it" in capsys.readouterr().out) == (level != "ok")


def test_quiet_leaves_out_what_is_ok(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_python", lambda: [ok("all is well")])
    monkeypatch.setattr(doctor, "_engines", lambda path: [])
    assert main(["doctor", "--no-ros", "--quiet"]) == 0
    assert capsys.readouterr().out == "0 problems, 0 warnings\n"


def graph(seconds: float, environment: dict[str, str]) -> list[Any]:
    report, failure = doctor.graph_report(environment, seconds)
    assert report is not None, failure
    return doctor.doctor_graph.check_graph(report)


@needs_ros
def test_a_remapping_that_is_missing_is_found_among_real_nodes(ros: Ros, tmp_path: Path) -> None:
    """The node listens to another topic than the camera's; once it is told, all is well."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), np.roll(pixels, index, axis=1))
    ros.start(
        "camera_node",
        {"source": folder, "loop": True, "rate": 20.0, "stamps": "now", "reliable": False},
        ("-r", "image:=/cam/image_raw", "-r", "camera_info:=/cam/camera_info"),
    )
    network = {"engine": "torch", "input_width": 64, "input_height": 32}
    lost = ros.start("depth_motion_node", network)
    ros.wait(lambda: ros.node.count_subscribers("/image"), "the node to be active")
    ros.wait(lambda: ros.node.count_publishers("/cam/image_raw"), "the camera")
    findings = graph(1.5, ros.environment)
    [wrong] = [finding for finding in findings if finding.level == "problem"]
    assert "listens to /image, where nobody publishes" in wrong.what
    assert wrong.fix == "start the node with: --ros-args -r image:=/cam/image_raw"

    lost.kill()
    ros.start(
        "depth_motion_node", {**network, "diagnostics_period": 0.5},
        ("-r", "image:=/cam/image_raw", "-r", "camera_info:=/cam/camera_info",
         "-r", "__node:=eye"),
    )  # fmt: skip
    ros.wait(lambda: ros.node.count_subscribers("/cam/image_raw"), "the node to be active")
    findings = graph(2.5, ros.environment)
    text = "\n".join(f"{finding.level}: {finding.what}" for finding in findings)
    assert "ok: /eye is active" in text
    assert "ok: /cam/image_raw: " in text
    assert "rgb8 64x48" in text
    # An image folder has no CameraInfo of its own.
    assert "warning: /cam/camera_info says that the camera is not calibrated" in text
    assert "/eye says:" in text
    assert "problem" not in text


@needs_ros
def test_the_whole_report_as_json(ros: Ros, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "depth_motion_ros.cli.main", "doctor", "--json", "--seconds", "0.5"],
        env={**ros.environment, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert list(found) == ["python", "engines", "ros", "transport", "graph"]
    levels = {entry["level"] for entries in found.values() for entry in entries}
    assert done.returncode == int("problem" in levels)
    # The harness runs its nodes under the profile: the process that looked really mapped it.
    in_force = [e for e in found["transport"] if e["what"].startswith("the profile is in force")]
    assert [entry["level"] for entry in in_force] == ["ok"]
