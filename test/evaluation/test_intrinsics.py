"""Focal length error by hand."""

from __future__ import annotations

import numpy as np
import pytest

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.intrinsics import FocalScore
from depth_motion_ros.geometry.camera import Camera


def K(fx: float, fy: float) -> np.ndarray:
    return np.array([[fx, 0, 50], [0, fy, 40], [0, 0, 1.0]])


CAMERA = Camera(K(100, 100), 101, 81)


def test_pixels_are_square_so_the_axes_share_a_focal_length() -> None:
    score = FocalScore()
    score.add(K(125, 80), CAMERA)
    metrics = score.metrics()
    assert metrics["focal_error"] == pytest.approx(0)
    assert (metrics["focal_x"], metrics["focal_y"]) == (125, 80)
    assert metrics["focal_std"] == 0


def test_the_error_is_against_both_axes() -> None:
    score = FocalScore()
    score.add(K(110, 110), Camera(K(100, 110), 101, 81))
    assert score.metrics()["focal_error"] == pytest.approx(0.05)


def test_one_wild_pair_does_not_matter() -> None:
    score = FocalScore()
    for fx in (100, 1000, 100):
        score.add(K(fx, 100), CAMERA)
    assert score.metrics()["focal_error"] == 0


def test_without_a_known_camera_there_is_no_error_to_state() -> None:
    score = FocalScore()
    score.add(K(100, 100), None)
    assert score.count == 0
    with pytest.raises(EvaluationError, match="known camera"):
        score.metrics()
