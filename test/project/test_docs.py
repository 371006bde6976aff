"""What the documents say of names, files and limits is true of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.pages import DOCS, granted, read

from depth_motion_ros.cli.main import commands
from depth_motion_ros.models.weights import MAX_BYTES
from depth_motion_ros.nodes.adaptation.parameters import ADAPTATION_PARAMETERS
from depth_motion_ros.nodes.camera.parameters import CAMERA_PARAMETERS
from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.share import ALLOCATOR, config_file
from depth_motion_ros.sources.encodings import MOST_PIXELS
from depth_motion_ros.sources.sequence import reader as sequence

if TYPE_CHECKING:
    from support.ros_harness import Ros

try:
    import rclpy  # noqa: F401

    pytest_plugins = ["support.ros_harness"]
    HAS_ROS = True
except ImportError:
    HAS_ROS = False

PAGES = ("adaptation", "diagnostics", "platforms", "security", "troubleshooting")
# Where two nodes have a parameter of one name, that of depth_motion_node has more choices.
PARAMETERS = {
    p.name: p for p in (*ADAPTATION_PARAMETERS, *CAMERA_PARAMETERS, *DEPTH_MOTION_PARAMETERS)
}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(page)):
        assert target.startswith("http") or (DOCS / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_parameters_commands_and_variables_exist(page: str) -> None:
    text = read(page)
    for name, value in re.findall(r"`(?:-p )?([a-z_]+):(?:=| )([a-z0-9_]+)`", text):
        if name in ("metric", "tracking", "weights_version", "engine_reason"):
            continue  # of /diagnostics
        assert name in PARAMETERS, name
        choices = PARAMETERS[name].choices
        assert not choices or value in choices, f"{name}: {value}"
    known = {words.split()[0] for words in commands()}
    assert set(re.findall(r"`depth_motion ([a-z]+)", text)) <= known
    for name, value in re.findall(r"(MALLOC_[A-Z_]+)=(\d+)", text):
        assert ALLOCATOR[name] == value
    for name in re.findall(r"config/([a-z0-9_]+\.[a-z]+)", text):
        assert config_file(name).is_file()


def test_the_limits_are_those_of_the_code() -> None:
    text = read("security")
    assert f"at most {MAX_BYTES // 1_000_000} MB" in text
    assert f"more than {MOST_PIXELS // 1_000_000} million pixels" in text
    assert f"more than {sequence._MOST_MOTION_BYTES // 1_000_000} MB" in text


def test_every_trouble_has_a_symptom_a_check_and_a_fix() -> None:
    rows = [line for line in read("troubleshooting").splitlines() if re.match(r"\| \d", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 17))
    assert all(len(row.split(" | ")) == 4 for row in rows)


@pytest.mark.skipif(not HAS_ROS, reason="needs ROS 2 (a sourced one, or the wheels)")
def test_policy_and_diagnostics_are_those_of_the_running_node(ros: Ros) -> None:
    """Every topic, service and value that the node has is granted and explained."""
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from depth_motion_ros.nodes.ros import messages

    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    ros.start("depth_motion_node", {"engine": "torch", "input_width": 64, "input_height": 32})
    ros.wait(lambda: ros.node.count_subscribers("/image"), "the node to be active")
    ros.wait(lambda: len(diagnostics) > 2, "diagnostics")
    node, name = ros.node, "depth_motion"
    published = {t for t, _ in node.get_publisher_names_and_types_by_node(name, "/")}
    heard = {t for t, _ in node.get_subscriber_names_and_types_by_node(name, "/")}
    offered = {t for t, _ in node.get_service_names_and_types_by_node(name, "/")}
    # What a parameter adds: TF, the clock of a simulation, the other transport.
    assert granted(name, "topics", "publish") - published == {"/tf"}
    assert published <= granted(name, "topics", "publish")
    assert granted(name, "topics", "subscribe") - heard == {
        "/clock", "/tf", "/tf_static", "/image/compressed",
    }  # fmt: skip
    assert heard <= granted(name, "topics", "subscribe")
    # Humble has no get_type_description.
    assert granted(name, "services", "reply") - offered <= {"/depth_motion/get_type_description"}
    assert offered <= granted(name, "services", "reply")

    # Most values come with the first frames.
    ros.listen(Image, "/depth/image")
    images = ros.node.create_publisher(Image, "/image", 10)

    def served() -> bool:
        now = ros.node.get_clock().now().to_msg()
        pixels = np.zeros((48, 64, 3), np.uint8)
        images.publish(messages.rgb_image(Header(stamp=now, frame_id="eye"), pixels))
        return any(pair.key == "scale" for pair in diagnostics[-1].status[0].values)

    ros.wait(served, "a frame to be served")
    text = read("diagnostics")
    for pair in diagnostics[-1].status[0].values:
        key = pair.key.partition("/")[0]
        if key.startswith("cpu_"):
            key = key.replace("_p95", "")
        assert f"`{key}`" in text, key
