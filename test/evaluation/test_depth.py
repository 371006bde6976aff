"""Depth metrics against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depth_motion_ros.evaluation.depth import (
    DepthErrors,
    DepthScore,
    depth_errors,
    garg_crop,
    mean_errors,
    median_ratio,
    scored_pixels,
)
from depth_motion_ros.evaluation.errors import EvaluationError

NAN = float("nan")


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_all_seven_metrics_of_three_pixels() -> None:
    errors = depth_errors(np.array([1.0, 4.0, 10.0]), np.array([2.0, 4.0, 8.0]))
    assert errors.abs_rel == pytest.approx((1 / 2 + 0 + 2 / 8) / 3)
    assert errors.sq_rel == pytest.approx((1 / 2 + 0 + 4 / 8) / 3)
    assert errors.rmse == pytest.approx(math.sqrt((1 + 0 + 4) / 3))
    assert errors.rmse_log == pytest.approx(math.sqrt((math.log(2) ** 2 + math.log(1.25) ** 2) / 3))
    # Ratios 2, 1 and exactly 1.25, which is not below 1.25; 1.25³ = 1.953 is below 2.
    assert (errors.d1, errors.d2, errors.d3) == pytest.approx((1 / 3, 2 / 3, 2 / 3))


def test_a_perfect_prediction_has_no_error() -> None:
    depth = np.array([0.5, 3.0, 79.0])
    assert depth_errors(depth, depth) == DepthErrors(0, 0, 0, 0, 1, 1, 1)


def test_predictions_beyond_80_m_are_clipped_as_in_the_published_protocol() -> None:
    assert depth_errors(np.array([1000.0]), np.array([40.0])).abs_rel == pytest.approx(1.0)


def test_a_constant_prediction_is_scaled_to_the_median_of_the_truth() -> None:
    score = DepthScore()
    image = score.add(row(1, 1, 1), row(5, 10, 20))
    assert image is not None
    assert image.ratio == pytest.approx(10)
    # 10 against 5, 10, 20: relative errors 1, 0, 0.5.
    assert image.scaled.abs_rel == pytest.approx(0.5)
    assert image.scaled.d1 == pytest.approx(1 / 3)
    # Unscaled, 1 against 5, 10, 20.
    assert image.unscaled.abs_rel == pytest.approx((0.8 + 0.9 + 0.95) / 3)


def test_median_scaling_undoes_any_factor() -> None:
    truth = row(2, 3, 7, 11)
    assert median_ratio(truth / 3, truth) == pytest.approx(3)
    image = DepthScore().add(truth / 3, truth)
    assert image is not None
    assert image.scaled.abs_rel == pytest.approx(0, abs=1e-6)


def test_unknown_near_and_far_truth_is_not_scored() -> None:
    truth = row(NAN, 0.0005, 10, 80, 200)
    assert scored_pixels(truth).tolist() == [[False, False, True, False, False]]
    image = DepthScore().add(row(1, 1, 10, 1, 1), truth)
    assert image is not None
    assert image.unscaled.abs_rel == 0


def test_the_garg_crop_of_a_kitti_frame() -> None:
    # The published crop of a 375x1242 frame is rows 153:371, columns 44:1197.
    inside = garg_crop(375, 1242)
    rows, columns = np.nonzero(inside)
    assert (rows.min(), rows.max() + 1) == (153, 371)
    assert (columns.min(), columns.max() + 1) == (44, 1197)
    assert inside.sum() == (371 - 153) * (1197 - 44)


def test_truth_outside_the_crop_does_not_count_with_the_crop() -> None:
    truth = np.full((100, 100), 10, np.float32)
    prediction = truth.copy()
    prediction[:40] = 20  # rows above 40.8 % of the height
    cropped, whole = DepthScore(crop=True), DepthScore()
    cropped.add(prediction, truth)
    whole.add(prediction, truth)
    assert cropped.metrics()["unscaled_abs_rel"] == 0
    assert whole.metrics()["unscaled_abs_rel"] == pytest.approx(0.4)


def test_means_are_over_images_not_over_pixels() -> None:
    score = DepthScore()
    score.add(row(1.5, 1.5, 1.5), row(1, 1, 1))
    score.add(row(NAN, 1, NAN), row(NAN, 1, NAN))
    metrics = score.metrics()
    assert metrics["unscaled_abs_rel"] == pytest.approx(0.25)
    # Factors 1/1.5 and 1: median 5/6, deviation 1/6, relative 1/5.
    assert metrics["scale"] == pytest.approx(5 / 6)
    assert metrics["scale_std"] == pytest.approx(1 / 5)


def test_images_without_depth_are_skipped_and_counted() -> None:
    score = DepthScore()
    assert score.add(row(1, 2), None) is None
    assert score.add(row(1, 2), row(NAN, NAN)) is None
    score.add(row(1, 2), row(1, 2))
    metrics = score.metrics()
    assert (metrics["depth_images"], metrics["depth_skipped"]) == (1, 2)


def test_no_scored_image_at_all_is_an_error_that_says_so() -> None:
    score = DepthScore()
    score.add(row(1, 2), row(NAN, 100))
    with pytest.raises(EvaluationError, match="no image has true depth"):
        score.metrics()
    with pytest.raises(EvaluationError, match="nothing to score"):
        mean_errors([])


def test_invalid_predictions_are_left_out_and_show_as_coverage() -> None:
    score = DepthScore()
    score.add(row(1, NAN, 0, 2), row(1, 5, 5, 2))
    metrics = score.metrics()
    assert metrics["unscaled_abs_rel"] == 0
    assert metrics["coverage"] == 0.5


def test_a_diverged_prediction_and_a_wrong_size_are_errors() -> None:
    with pytest.raises(EvaluationError, match="none of 2 scored pixels"):
        DepthScore().add(row(NAN, NAN), row(1, 2))
    with pytest.raises(EvaluationError, match=r"\(1, 3\).*\(1, 2\)"):
        DepthScore().add(row(1, 2, 3), row(1, 2))
