"""``depth_motion doctor`` on what is seen in the ROS graph."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from depth_motion_ros.cli.doctor.finding import Finding
from depth_motion_ros.cli.doctor.graph import IMAGE, INFO, check_graph

NODE, CAMERA, VIEWER = "/depth_motion", "/cam/driver", "/rviz2"


def end(node: str, reliability: str = "reliable", durability: str = "volatile") -> dict[str, str]:
    return {"node": node, "reliability": reliability, "durability": durability}


def heard(**changes: Any) -> dict[str, Any]:
    return {
        "count": 90, "hz": 30.0, "bytes": 921_600, "age_s": 0.01, "backwards": 0,
        "sizes": ["640x480"], "encodings": ["rgb8"], "frame_ids": ["cam_optical"],
        "uncalibrated": False, "focal": {}, "distorted": False,
        "refused": {"k": "", "p": ""}, **changes,
    }  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    """A camera and a perception node in good health."""
    return {
        "rmw": "rmw_fastrtps_cpp",
        "domain": 3,
        "nodes": [CAMERA, NODE],
        "perception": [
            {
                "name": NODE,
                "state": "active",
                "listens": {IMAGE: "/image", INFO: "/camera_info"},
                "adapted_weights": "",
                "diagnostics": {"level": 0, "message": "tracking ok, 30.00 Hz", "values": {}},
            }
        ],
        "topics": {
            "/image": {"types": [IMAGE], "publishers": [end(CAMERA)], "subscribers": [end(NODE)]},
            "/camera_info": {
                "types": [INFO], "publishers": [end(CAMERA)], "subscribers": [end(NODE)],
            },
            "/depth/image": {"types": [IMAGE], "publishers": [end(NODE)], "subscribers": []},
        },
        "heard": {"/image": heard(), "/camera_info": heard(bytes=0, encodings=[])},
    }  # fmt: skip


def only_finding(report: dict[str, Any]) -> Finding:
    """The one that is not ok."""
    [found] = [finding for finding in check_graph(report) if finding.level != "ok"]
    return found


def test_good_health_is_told_with_rates(report: dict[str, Any]) -> None:
    findings = check_graph(report)
    assert {finding.level for finding in findings} == {"ok"}
    text = "\n".join(finding.what for finding in findings)
    assert "/depth_motion is active" in text
    assert "/image: 30 Hz, rgb8 640x480, 0.92 MB each" in text
    assert "tracking ok, 30.00 Hz" in text


def second_node(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Another perception node on the same camera."""
    entry = {**report["perception"][0], "name": name}
    report["perception"].append(entry)
    report["nodes"].append(name)
    for about in report["topics"].values():
        about["subscribers"].append(end(name))
    return entry


def test_two_nodes_with_one_file_are_found(report: dict[str, Any]) -> None:
    other = second_node(report, "/rear/depth_motion")
    assert {finding.level for finding in check_graph(report)} == {"ok"}
    report["perception"][0]["adapted_weights"] = other["adapted_weights"] = "/data/a.safetensors"
    found = only_finding(report)
    assert found.level == "problem"
    assert "/depth_motion and /rear/depth_motion" in found.what
    assert "/data/a.safetensors" in found.what
    other["adapted_weights"] = "/data/b.safetensors"
    assert {finding.level for finding in check_graph(report)} == {"ok"}


@pytest.mark.parametrize("name", [NODE, CAMERA])
def test_two_nodes_of_one_name_are_found(report: dict[str, Any], name: str) -> None:
    report["nodes"].append(name)
    found = only_finding(report)
    assert found.level == "warning"
    assert f"2 nodes are called {name}" in found.what
    assert "-r __ns:=" in found.fix


def test_without_a_perception_node_the_domain_is_named(report: dict[str, Any]) -> None:
    report["perception"] = []
    found = only_finding(report)
    assert found.level == "warning"
    assert "domain 3" in found.what


@pytest.mark.parametrize(
    ("state", "fix"),
    [
        ("unconfigured", "ros2 lifecycle set /depth_motion configure"),
        ("inactive", "ros2 lifecycle set /depth_motion activate"),
        ("finalized", "restart it"),
        (None, "restart it"),
    ],
)
def test_a_node_that_is_not_active_gets_its_transition(
    report: dict[str, Any], state: str | None, fix: str
) -> None:
    report["perception"][0]["state"] = state
    found = only_finding(report)
    assert found.level == "problem"
    assert fix in found.fix


def test_a_wrong_topic_name_gets_the_remapping(report: dict[str, Any]) -> None:
    topics = report["topics"]
    topics["/cam/image_raw"] = {**topics["/image"], "subscribers": []}
    topics["/image"] = {**topics["/image"], "publishers": []}
    del report["heard"]["/image"]
    found = only_finding(report)
    assert found.level == "problem"
    assert "/image, where nobody publishes" in found.what
    # The node's own depth/image is no camera.
    assert "/depth/image" not in found.what
    assert found.fix.endswith("--ros-args -r image:=/cam/image_raw")


def test_a_camera_that_sends_jpeg_alone_gets_the_transport(report: dict[str, Any]) -> None:
    topics = report["topics"]
    topics["/image"]["publishers"] = []
    topics["/cam/compressed"] = {
        "types": ["sensor_msgs/msg/CompressedImage"], "publishers": [end(CAMERA)],
        "subscribers": [],
    }  # fmt: skip
    del report["heard"]["/image"]
    assert "image_transport:=compressed" in only_finding(report).fix


def test_without_any_camera_one_is_to_be_started(report: dict[str, Any]) -> None:
    report["topics"]["/image"]["publishers"] = []
    del report["heard"]["/image"]
    found = only_finding(report)
    assert "no topic at all" in found.what
    assert "source:=usb_cam" in found.fix


def test_two_cameras_on_one_topic_are_told(report: dict[str, Any]) -> None:
    report["topics"]["/image"]["publishers"].append(end("/second"))
    assert "2 publishers" in only_finding(report).what


def test_a_reliable_subscriber_of_a_best_effort_camera_gets_nothing(
    report: dict[str, Any],
) -> None:
    report["topics"]["/image"]["publishers"] = [end(CAMERA, "best_effort")]
    found = only_finding(report)
    assert found.level == "problem"
    assert f"{NODE} asks for reliable, {CAMERA} offers best_effort" in found.what
    assert "qos to auto" in found.fix


def test_a_viewer_that_asks_for_too_much_is_named(report: dict[str, Any]) -> None:
    wants = end(VIEWER, durability="transient_local")
    report["topics"]["/depth/image"]["subscribers"] = [wants]
    found = only_finding(report)
    assert "asks for transient_local" in found.what
    assert f"QoS of {VIEWER} to volatile" in found.fix


def test_a_best_effort_viewer_of_a_reliable_output_is_fine(report: dict[str, Any]) -> None:
    report["topics"]["/depth/image"]["subscribers"] = [end(VIEWER, "best_effort")]
    assert {finding.level for finding in check_graph(report)} == {"ok"}


def test_a_topic_of_two_types_is_told(report: dict[str, Any]) -> None:
    report["topics"]["/depth/image"]["types"].append("std_msgs/msg/String")
    assert "several types" in only_finding(report).what


def test_a_publisher_that_is_not_heard_points_to_the_transport(report: dict[str, Any]) -> None:
    report["heard"]["/image"] = heard(count=0, hz=0.0, sizes=[], encodings=[])
    found = only_finding(report)
    assert found.level == "problem"
    assert "nothing arrived" in found.what


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"frame_ids": [""]}, "warning", "empty frame_id"),
        ({"backwards": 3}, "warning", "went back 3 times"),
        ({"age_s": 3600.0}, "warning", "3600 s from this computer's clock"),
        ({"age_s": -60.0}, "warning", "-60 s"),
        ({"encodings": ["32FC1"]}, "problem", "'32FC1'"),
        ({"sizes": ["640x480", "320x240", "640x480"]}, "warning", "changes its size"),
    ],
)
def test_images_that_will_not_do_are_told(
    report: dict[str, Any], changes: dict[str, Any], level: str, words: str
) -> None:
    report["heard"]["/image"] = heard(**changes)
    found = only_finding(report)
    assert found.level == level
    assert words in found.what


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 0}, "nothing arrived"),
        ({"uncalibrated": True}, "K[0] = 0"),
        ({"sizes": ["1280x720"]}, "is for 1280x720, the images are 640x480"),
    ],
)
def test_a_camera_info_that_will_not_serve_is_told(
    report: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    report["heard"]["/camera_info"] = heard(bytes=0, encodings=[], **changes)
    wrong = [finding for finding in check_graph(report) if finding.level != "ok"]
    assert any(words in finding.what for finding in wrong)
    if "count" not in changes:
        assert "learned intrinsics are used" in wrong[0].what


def test_the_nodes_own_word_comes_with_what_it_counted(report: dict[str, Any]) -> None:
    values = {"bad/short data": "4", "received": "10"}
    for level, name in ((1, "warning"), (2, "problem")):
        report["perception"][0]["diagnostics"] = {
            "level": level, "message": "4 bad messages", "values": values,
        }  # fmt: skip
        found = only_finding(report)
        assert found.level == name
        assert "says: 4 bad messages (bad/short data 4)" in found.what
    report["perception"][0]["diagnostics"] = None
    assert "said nothing on /diagnostics" in only_finding(report).what


@pytest.mark.parametrize(
    ("topic", "focal", "distorted", "level", "text"),
    [
        (
            "/cam/image_rect",
            {"k": 180.0, "p": 128.2},
            True,
            "ok",
            "fx = 128.2 of P in /camera_info",
        ),
        ("/cam/image_rect_color", {"k": 180.0, "p": None}, False, "ok", "fx = 180 of K is used"),
        ("/cam/image_rect", {"k": 180.0, "p": None}, True, "warning", "K is the raw image's"),
        ("/left/rectified/image", {"k": 0.0, "p": 99.5}, True, "ok", "fx = 99.5 of P"),
    ],
)
def test_the_intrinsics_of_a_rectified_topic_are_named(
    report: dict[str, Any],
    topic: str,
    focal: dict[str, float | None],
    distorted: bool,
    level: str,
    text: str,
) -> None:
    report["perception"][0]["listens"][IMAGE] = topic
    report["topics"][topic] = report["topics"].pop("/image")
    report["heard"][topic] = report["heard"].pop("/image")
    report["heard"]["/camera_info"] |= {
        "focal": focal, "distorted": distorted, "uncalibrated": focal["k"] == 0,
    }  # fmt: skip
    [found] = [
        finding for finding in check_graph(report) if "rectified, by its name" in finding.what
    ]
    assert found.level == level
    assert text in found.what


@pytest.mark.parametrize(
    ("changes", "topic", "text"),
    [
        ({"k": [300.0, 0, 0, 0, 300, 0, 31.5, 23.5, 1]}, "/image", "K is transposed"),
        ({"k": [0.9, 0, 0.5, 0, 1.2, 0.5, 0, 0, 1]}, "/image", "cannot be pixels of a 64x48 image"),
        ({"d": [0.1] * 5, "distortion_model": ""}, "/image", "say which it is"),
        ({"p": [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]}, "/cam/image_rect", "cannot be pixels"),
    ],
)
def test_a_camera_info_that_cannot_be_is_named_with_what_is_wrong(
    report: dict[str, Any], changes: dict[str, object], topic: str, text: str
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    from depth_motion_ros.nodes.tools.topic_statistics import TopicStatistics

    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    fields = {
        "width": 64, "height": 48, "k": [60.0, 0, 31.5, 0, 60, 23.5, 0, 0, 1], "d": [],
        "p": [0.0] * 12, "distortion_model": "plumb_bob", "binning_x": 0, "binning_y": 0,
        "header": SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id="cam"),
    }  # fmt: skip
    statistics = TopicStatistics()
    statistics.take(SimpleNamespace(**{**fields, **changes}, roi=roi))
    report["heard"]["/camera_info"] = statistics.summary(1.0) | {"age_s": 0.0}
    report["heard"][topic] = report["heard"].pop("/image") | {"sizes": ["64x48"]}
    report["topics"][topic] = report["topics"].pop("/image")
    report["perception"][0]["listens"][IMAGE] = topic
    found = only_finding(report)
    assert found.level == "warning"
    assert "/camera_info is not used, the learned intrinsics are used" in found.what
    assert text in found.what
