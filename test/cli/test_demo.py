"""The demo as its user runs it: three processes over DDS, and the files it leaves."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from depth_motion_ros.cli.demo.processes import write_parameters
from depth_motion_ros.cli.demo.recording import OUTPUTS, TOPICS
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.sequence.writer import SequenceWriter

ROOT = Path(__file__).resolve().parents[2]
FRAMES, RATE = 20, 5.0
# The smallest network input, in plain PyTorch: this is about processes, not about depth.
SMALL = ["engine=torch", "architecture=lite", "input_width=96", "input_height=64", "threads=1"]

needs_ros = pytest.mark.skipif(
    importlib.util.find_spec("rclpy") is None,
    reason="rclpy is not installed: pip install 'depth_motion_ros[ros]'",
)


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "ROS_DOMAIN_ID"}
    return subprocess.run(
        [sys.executable, "-m", "depth_motion_ros.cli.main", "demo", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A texture that drifts to the left."""
    path = tmp_path_factory.mktemp("source") / "a drive"
    wide = np.random.default_rng(0).integers(0, 255, (96, 256, 3), dtype=np.uint8)
    camera = Camera.from_field_of_view(128, 96, 1.2)
    with SequenceWriter(path, rate=RATE) as writer:
        for index in range(FRAMES):
            shown = np.ascontiguousarray(wide[:, 2 * index : 2 * index + 128])
            writer.write(Frame(round(index * 1e9 / RATE), shown, camera))
    return path


@needs_ros
def test_the_demo_leaves_what_it_promises(sequence: Path, tmp_path: Path) -> None:
    output = tmp_path / "out put"
    settings = [word for pair in SMALL for word in ("--set", pair)]
    done = demo(str(sequence), "--output", str(output), *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("overview.png", "demo.mp4", "summary.json"):
        assert (output / name).stat().st_size > 1000, name
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    frames = summary["frames"]
    assert frames["in"] == frames["served"] + frames["dropped"]
    # Three quarters: on a busy machine discovery may cost the first, and a hiccup some more.
    assert frames["recorded"] >= 0.75 * FRAMES
    assert summary["latency_ms"]["depth/image"]["p50"] > 0
    with Reader(output / "bag") as bag:
        heard = {connection.topic.lstrip("/") for connection in bag.connections}
        assert {"image", "camera_info", *OUTPUTS} <= heard
        assert heard <= {topic.lstrip("/") for topic in TOPICS} | {"tf", "tf_static"}
        _check_transforms(bag)


def _check_transforms(bag: Reader) -> None:
    """RViz and Foxglove can place the cloud: odom → base_link → the camera's optical frame."""
    types = get_typestore(Stores.LATEST)
    links = set()
    for connection, _, data in bag.messages():
        if connection.topic in ("/tf", "/tf_static"):
            message = types.deserialize_cdr(data, connection.msgtype)
            links |= {(t.header.frame_id, t.child_frame_id) for t in message.transforms}
    assert links == {("odom", "base_link"), ("base_link", "camera_optical_frame")}


@needs_ros
def test_a_source_that_cannot_be_opened_ends_the_demo_in_one_line(tmp_path: Path) -> None:
    done = demo("/no/such.mp4", "--output", str(tmp_path))
    assert done.returncode == 1
    assert "no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_without_value_is_refused_before_anything_starts(tmp_path: Path) -> None:
    if importlib.util.find_spec("rclpy") is None:
        pytest.skip("without rclpy the demo ends earlier")
    done = demo("x.mp4", "--output", str(tmp_path), "--set", "engine")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("--set 'engine': expected NAME=VALUE")


@pytest.mark.parametrize("path", ["/a b/ü.mp4", "007", "true", "a: b"])
def test_parameters_reach_the_nodes_as_they_were_meant(path: str, tmp_path: Path) -> None:
    import yaml

    arguments = write_parameters(tmp_path / "p.yaml", {"source": path})
    read = yaml.safe_load((tmp_path / "p.yaml").read_text(encoding="utf-8"))
    assert read["/**"]["ros__parameters"]["source"] == path
    assert arguments[:2] == ["--ros-args", "--params-file"]
