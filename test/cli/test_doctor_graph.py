"""``depth_motion doctor`` on what is seen in the ROS graph."""

from __future__ import annotations

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
        "uncalibrated": False, "focal": {}, "distorted": False, **changes,
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
        assert "learned intrinsics serve" in wrong[0].what


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
        ("/cam/image_rect_color", {"k": 180.0, "p": None}, False, "ok", "fx = 180 of K serves"),
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
