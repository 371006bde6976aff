"""What config/ says agrees with the nodes and with the topics that DESIGN.md promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from depth_motion_ros.cli.demo.recording import TOPICS
from depth_motion_ros.nodes.camera.parameters import CAMERA_PARAMETERS
from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.nodes.tools.render_parameters import render_reference, render_yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
# 32FC3 has no display in RViz: object_flow/image_color is its picture.
NOT_IN_RVIZ = {"object_flow/image", "depth/camera_info", "camera_info_estimated", "/diagnostics"}
OUTPUTS = {
    "depth/image", "depth/std", "depth/camera_info", "depth/points", "odom", "object_flow/image",
    "object_flow/points", "object_flow/image_color", "object_flow/markers",
    "camera_info_estimated", "/diagnostics",
}  # fmt: skip
INPUTS = {"image", "camera_info"}


def load(name: str) -> Any:
    return yaml.safe_load((CONFIG / name).read_text(encoding="utf-8"))


def test_the_demo_records_every_output_and_input() -> None:
    assert set(TOPICS) >= OUTPUTS | INPUTS


@pytest.mark.parametrize(
    ("name", "table"),
    [("depth_motion", DEPTH_MOTION_PARAMETERS), ("camera", CAMERA_PARAMETERS)],
)
def test_parameter_files_are_what_the_declarations_render(name: str, table: Any) -> None:
    written = (CONFIG / f"{name}.yaml").read_text(encoding="utf-8")
    assert written == render_yaml(table, f"{name}_node"), (
        "run python -m depth_motion_ros.nodes.tools.render_parameters"
    )


def test_the_parameter_reference_is_what_the_declarations_render() -> None:
    written = (ROOT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")
    assert written == render_reference(), (
        "run python -m depth_motion_ros.nodes.tools.render_parameters"
    )


def rviz_topics() -> set[str]:
    displays = load("depth_motion.rviz")["Visualization Manager"]["Displays"]
    return {display["Topic"]["Value"] for display in displays if "Topic" in display}


def test_rviz_shows_every_output_it_can_show() -> None:
    assert rviz_topics() == (OUTPUTS - NOT_IN_RVIZ) | {"image"}


def test_rviz_hears_reliable_and_best_effort_publishers() -> None:
    displays = load("depth_motion.rviz")["Visualization Manager"]["Displays"]
    policies = {d["Topic"]["Reliability Policy"] for d in displays if "Topic" in d}
    assert policies == {"Best Effort"}


def test_foxglove_shows_every_output_and_nothing_else() -> None:
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text(encoding="utf-8"))
    assert set(_leaves(layout["layout"])) == set(layout["configById"])
    shown = {text for text in _strings(layout["configById"]) if text.startswith("/")}
    topics = {text.partition(".")[0] for text in shown}
    expected = {topic if topic.startswith("/") else f"/{topic}" for topic in OUTPUTS | INPUTS}
    assert topics == expected


def _leaves(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return _leaves(node["first"]) + _leaves(node["second"])


def _strings(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    if isinstance(node, dict):
        return [text for key, value in node.items() for text in (key, *_strings(value))]
    return [text for value in node for text in _strings(value)] if isinstance(node, list) else []


def test_the_filter_fuses_velocities_only_and_owns_the_transform() -> None:
    values = load("ekf.yaml")["/**"]["ros__parameters"]
    names = (
        "x", "y", "z", "roll", "pitch", "yaw", "vx", "vy", "vz", "vroll", "vpitch", "vyaw",
        "ax", "ay", "az",
    )  # fmt: skip
    fused = {name for name, used in zip(names, values["odom0_config"], strict=True) if used}
    assert fused == {"vx", "vy", "vyaw"}
    assert values["odom0"] == "odom"
    assert values["publish_tf"] is True
    node = load("depth_motion.yaml")["/**"]["ros__parameters"]
    assert node["publish_tf"] is False
    assert values["odom_frame"] == node["odom_frame"]
    assert values["base_link_frame"] == node["base_frame"]


def test_the_filters_noise_is_a_covariance() -> None:
    noise = load("ekf.yaml")["/**"]["ros__parameters"]["process_noise_covariance"]
    matrix = np.array(noise).reshape(15, 15)
    assert np.array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0
