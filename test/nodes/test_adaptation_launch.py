"""``adaptation:=true`` starts the learner beside perception; needs launch and launch_ros."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
pytest.importorskip("launch.actions", reason="launch has no wheel: comes with a ROS 2 installation")
pytest.importorskip("launch_ros.actions", reason="launch_ros comes with a ROS 2 installation")

from diagnostic_msgs.msg import DiagnosticArray
from support.launching import RUN
from support.ros_prefix import PATIENT_LAUNCH, ROOT, make_prefix, with_prefix

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import weights_of

if TYPE_CHECKING:
    from support.ros_harness import Ros

pytest_plugins = ["support.ros_harness"]
PATIENCE = 120.0  # s, for two processes that load PyTorch on a busy machine


def test_both_nodes_run_on_one_weights_file_and_end_cleanly(ros: Ros, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "net.safetensors"
    weights_of(DepthMotionNet(NetworkConfig("lite", 96, 64)), version="small").to_file(weights)
    perception, learner = tmp_path / "perception.yaml", tmp_path / "learner.yaml"
    for path, values in (
        (perception, {"engine": "torch"}),
        (learner, {"replay_pairs": 2, "nice": 0}),
    ):
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}), encoding="utf-8")
    prefix = make_prefix(tmp_path / "install")
    given = with_prefix(ros.environment, prefix, tmp_path / "log")
    given["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    said: dict[str, dict[str, str]] = {}

    def hear(message: DiagnosticArray) -> None:
        for status in message.status:
            said[status.name] = {pair.key: pair.value for pair in status.values}

    ros.node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)
    log = tmp_path / "launch.txt"
    with log.open("wb") as file:
        launched = subprocess.Popen(
            [
                sys.executable, "-c", RUN, str(ROOT / "launch" / "camera.launch.py"),
                "namespace:=front", "adaptation:=true", f"weights:={weights}",
                f"params_file:={perception}", f"adaptation_params_file:={learner}",
                *PATIENT_LAUNCH,
            ],
            env=given, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        for name in ("/front/depth_motion: perception", "/front/adaptation: adaptation"):
            ros.wait(
                lambda name=name: {"weights_version", "version"} & said.get(name, {}).keys(),
                lambda: f"{said}\n{log.read_text()}",
                PATIENCE,
            )
        assert said["/front/depth_motion: perception"]["weights_version"] == "small"
        assert said["/front/adaptation: adaptation"]["version"] == "small"
        assert said["/front/adaptation: adaptation"]["rehearsal_pairs"] == "2"
        launched.send_signal(signal.SIGINT)
        launched.wait(PATIENCE)
    finally:
        if launched.poll() is None:
            os.killpg(launched.pid, signal.SIGKILL)
    text = log.read_text()
    assert text.count("process has finished cleanly") == 2, text
    assert "Traceback" not in text
