"""Object motion: end-point errors and overlaps counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.motion import THRESHOLDS, MotionScore, end_point_error


def field(*lengths: float) -> np.ndarray:
    """(1, N, 3): motion along x by so many metres."""
    values = np.zeros((1, len(lengths), 3), np.float32)
    values[0, :, 0] = lengths
    return values


def test_end_point_error_is_the_distance_in_metres() -> None:
    truth = np.zeros((1, 2, 3), np.float32)
    truth[0, 0] = (0.3, 0.4, 0)
    truth[0, 1] = (np.nan, 0, 0)
    error = end_point_error(np.zeros((1, 2, 3), np.float32), truth)
    assert error[0] == pytest.approx([0.5, np.nan], nan_ok=True)


def test_static_and_moving_pixels_are_told_apart_by_the_truth() -> None:
    score = MotionScore()
    score.add(field(0, 0, 0.1, 0.1), field(0.5, 0.3, 0, 0.005))
    metrics = score.metrics()
    # 5 mm is below what counts as moving.
    assert metrics["motion_epe_moving"] == pytest.approx((0.5 + 0.3) / 2)
    assert metrics["motion_epe_static"] == pytest.approx((0.1 + 0.095) / 2)
    assert metrics["motion_epe"] == pytest.approx((0.5 + 0.3 + 0.1 + 0.095) / 4)
    assert metrics["floor_still_motion_epe"] == pytest.approx((0.5 + 0.3 + 0.005) / 4)


def test_iou_of_three_hits_one_miss_and_one_false_alarm() -> None:
    score = MotionScore(threshold=0.1)
    score.add(field(1, 1, 1, 0, 1, 0), field(1, 1, 1, 1, 0, 0))
    assert score.metrics()["motion_iou"] == pytest.approx(3 / 5)


def test_the_threshold_decides_which_predictions_move() -> None:
    prediction, truth = field(0.06, 0.2), field(0, 1)
    low, high = MotionScore(threshold=0.05), MotionScore(threshold=0.1)
    low.add(prediction, truth)
    high.add(prediction, truth)
    assert low.metrics()["motion_iou"] == pytest.approx(1 / 2)
    assert high.metrics()["motion_iou"] == 1
    best = low.metrics()["motion_best_threshold"]
    assert best in THRESHOLDS
    assert 0.06 <= best < 0.2
    assert low.metrics()["motion_best_iou"] == 1


def test_unknown_truth_is_ignored() -> None:
    score = MotionScore()
    score.add(field(9, 0), field(np.nan, 0))
    metrics = score.metrics()
    assert metrics["motion_epe"] == 0
    # Nothing moves and nothing is said to: an overlap is not defined.
    assert metrics["motion_iou"] is None
    assert metrics["motion_epe_moving"] is None


def test_counts_add_up_over_images() -> None:
    score = MotionScore(threshold=0.1)
    score.add(field(1, 0), field(1, 0))
    score.add(field(1, 1, 1), field(0, 0, 0))
    # 1 hit, 3 false alarms.
    assert score.metrics()["motion_iou"] == pytest.approx(1 / 4)
    assert score.metrics()["motion_images"] == 2


def test_no_known_pixel_bad_threshold_and_wrong_size_are_errors() -> None:
    score = MotionScore()
    score.add(field(1), field(np.nan))
    with pytest.raises(EvaluationError, match="no pixel has known motion"):
        score.metrics()
    with pytest.raises(EvaluationError, match=r"-1"):
        MotionScore(threshold=-1)
    with pytest.raises(EvaluationError, match=r"\(1, 2, 3\)"):
        score.add(field(1, 1), field(1))
