"""Which CameraInfo an image gets, and which it must not get."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from depth_motion_ros.nodes.ros.camera_info import CameraPairing, images_are_rectified


def info(fx: float = 300.0, width: int = 64, height: int = 48, **changes: object) -> object:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    fields = {
        "width": width, "height": height, "distortion_model": "plumb_bob", "d": [],
        "k": [fx, 0.0, 31.5, 0.0, fx, 23.5, 0.0, 0.0, 1.0],
        "binning_x": 0, "binning_y": 0, "roi": roi,
    }  # fmt: skip
    return SimpleNamespace(**{**fields, **changes})


class Reports(list):
    def __call__(self, cause: str, message: str) -> None:
        self.append((cause, message))

    @property
    def causes(self) -> list[str]:
        return [cause for cause, _ in self]


def test_the_info_of_the_same_stamp_wins_over_a_newer_one() -> None:
    pairing = CameraPairing(Reports())
    pairing.set(info(fx=300.0), stamp=10)
    pairing.set(info(fx=400.0), stamp=20)
    assert pairing.camera_for(10, 64, 48).fx == 300.0
    assert pairing.camera_for(20, 64, 48).fx == 400.0
    assert pairing.camera_for(30, 64, 48).fx == 400.0


def test_a_late_info_serves_from_then_on() -> None:
    reports = Reports()
    pairing = CameraPairing(reports)
    assert pairing.camera_for(10, 64, 48) is None
    assert reports.causes == ["camera_info missing"]
    pairing.set(info(), stamp=99)
    assert pairing.camera_for(20, 64, 48).fx == 300.0
    assert reports.causes == ["camera_info missing"]


def test_a_contradicting_size_is_not_used_and_both_sizes_are_named() -> None:
    reports = Reports()
    pairing = CameraPairing(reports)
    pairing.set(info(width=128, height=96), stamp=10)
    assert pairing.camera_for(10, 64, 48) is None
    assert reports.causes == ["camera_info contradicts image"]
    assert "128x96" in reports[0][1]
    assert "64x48" in reports[0][1]


def test_binning_and_region_of_interest_count() -> None:
    reports = Reports()
    pairing = CameraPairing(reports)
    pairing.set(info(width=128, height=96, binning_x=2, binning_y=2), stamp=10)
    assert pairing.camera_for(10, 64, 48).fx == 150.0
    assert not reports


def test_an_uncalibrated_info_leaves_the_learned_intrinsics() -> None:
    reports = Reports()
    pairing = CameraPairing(reports)
    pairing.set(info(k=[0.0] * 9), stamp=10)
    assert pairing.camera_for(10, 64, 48) is None
    assert reports.causes == ["camera_info uncalibrated"]


def test_a_bad_info_withdraws_the_camera_and_a_good_one_brings_it_back() -> None:
    reports = Reports()
    pairing = CameraPairing(reports)
    pairing.set(info(), stamp=10)
    bad = [math.nan, 0.0, 31.5, 0.0, 300.0, 23.5, 0.0, 0.0, 1.0]
    pairing.set(info(k=bad), stamp=20)
    assert pairing.camera_for(20, 64, 48) is None
    assert reports.causes == ["camera_info bad"]
    assert "nan" in reports[0][1]
    pairing.set(info(), stamp=30)
    assert pairing.camera_for(30, 64, 48).fx == 300.0


def test_every_bad_info_is_counted_again() -> None:
    reports = Reports()
    pairing = CameraPairing(reports)
    bad = info(k=[math.nan] * 9)
    for stamp in range(3):
        pairing.set(bad, stamp)
    assert reports.causes == ["camera_info bad"] * 3


P = [250.0, 0, 30.0, 0, 0, 251.0, 22.0, 0, 0, 0, 1, 0]
LENS = [-0.3, 0.1, 0, 0, 0]


def test_rectified_images_get_p_and_no_distortion() -> None:
    reports = Reports()
    pairing = CameraPairing(reports, rectified=True)
    pairing.set(info(d=LENS, p=P), stamp=10)
    camera = pairing.camera_for(10, 64, 48)
    assert (camera.fx, camera.cx, camera.is_distorted) == (250.0, 30.0, False)
    pairing.set(info(d=LENS, p=[260.0, *P[1:]]), stamp=20)  # only P has changed
    assert pairing.camera_for(20, 64, 48).fx == 260.0
    # A raw image's K may be unknown where P is not.
    pairing.set(info(k=[0.0] * 9, p=P), stamp=30)
    assert pairing.camera_for(30, 64, 48).fx == 250.0
    assert not reports


def test_rectified_images_without_p_have_k_and_that_is_reported() -> None:
    reports = Reports()
    pairing = CameraPairing(reports, rectified=True)
    pairing.set(info(d=LENS, p=[0.0] * 12), stamp=10)
    camera = pairing.camera_for(10, 64, 48)
    assert (camera.fx, camera.is_distorted) == (300.0, False)
    assert reports.causes == ["camera_info without P"]
    reports.clear()
    pairing.set(info(d=[0.0] * 5, p=[0.0] * 12), stamp=20)  # K is right where nothing is bent
    assert not reports


def test_an_ideal_fisheye_of_camera_info_is_a_lens() -> None:
    pairing = CameraPairing(Reports())
    pairing.set(info(d=[0.0] * 4, distortion_model="equidistant"), stamp=10)
    assert pairing.camera_for(10, 64, 48).is_distorted


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"k": np.reshape(info().k, (3, 3)).T.ravel().tolist()}, "K is transposed"),
        ({"k": np.eye(3).ravel().tolist()}, "fx=1, fy=1, cx=0, cy=0 cannot be pixels"),
        ({"k": [4.7, 0, 0.5, 0, 6.2, 0.5, 0, 0, 1]}, "0.5, 0.5, a corner of the image"),
        ({"k": [300.0, 0, 0, 0, 300.0, 0, 0, 0, 1]}, "the principal point is 0, 0"),
        ({"d": LENS, "distortion_model": ""}, "say which it is"),
        ({"d": [0.1] * 4, "distortion_model": "mei"}, "unknown distortion model 'mei'"),
    ],
)
def test_what_cannot_be_intrinsics_leaves_the_learned_ones(
    changes: dict[str, object], text: str
) -> None:
    reports = Reports()
    pairing = CameraPairing(reports)
    pairing.set(info(**changes), stamp=10)
    assert pairing.camera_for(10, 64, 48) is None
    [(cause, said)] = reports
    assert cause == "camera_info bad"
    assert text in said
    assert said.endswith("the learned intrinsics are used")


class NodeWithTopic:
    """As much of a node as is asked: where its image comes from."""

    def __init__(self, topic: str) -> None:
        self.topic, self.said = topic, []

    def resolve_topic_name(self, name: str) -> str:
        return self.topic + name.removeprefix("image")

    def get_logger(self) -> SimpleNamespace:
        return SimpleNamespace(info=self.said.append)


@pytest.mark.parametrize(
    ("topic", "rectify", "transport", "rectified"),
    [
        ("/cam/image_raw", True, "raw", False),
        ("/cam/image_raw", False, "raw", True),
        ("/cam/image_rect", True, "raw", True),
        ("/cam/image_rect_color", True, "compressed", True),
        ("/cam/image_rect", False, "raw", True),
    ],
)
def test_the_name_of_the_topic_or_the_parameter_says_that_images_are_rectified(
    topic: str, rectify: bool, transport: str, rectified: bool
) -> None:
    node = NodeWithTopic(topic)
    assert images_are_rectified(node, rectify, transport) == rectified
    # What the parameter does not say is said.
    assert bool(node.said) == (rectify and rectified)
    for said in node.said:
        assert topic in said
        assert "P of CameraInfo is used" in said
