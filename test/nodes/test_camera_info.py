"""Which CameraInfo an image gets, and which it must not get."""

from __future__ import annotations

import math
from types import SimpleNamespace

from depth_motion_ros.nodes.ros.camera_info import CameraPairing


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
