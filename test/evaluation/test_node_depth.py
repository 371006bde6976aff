"""Depth as the node publishes it is scored with what it claims about itself."""

from __future__ import annotations

import numpy as np
import pytest
from support.estimation_helpers import SECOND, ScriptedEngine

from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.evaluation.node_depth import node_depth_metrics, sparsification_error
from depth_motion_ros.sources.frame import Frame, GroundTruth


def test_a_perfect_order_has_no_sparsification_error():
    error = np.random.default_rng(0).uniform(0, 1, 1000).astype(np.float32)
    assert sparsification_error(error, 2 * error) == pytest.approx(0.0, abs=1e-6)


def test_a_random_order_loses_half_of_the_mean_and_a_reversed_one_more():
    rng = np.random.default_rng(0)
    error = rng.uniform(0, 1, 10_000).astype(np.float32)
    # Uniform errors: leaving out the worst leaves 1 - x of the mean, leaving out any leaves 1.
    assert sparsification_error(error, rng.uniform(size=10_000)) == pytest.approx(0.475, abs=0.02)
    assert sparsification_error(error, -error) > 0.9


def test_the_estimators_depth_is_scored_at_the_size_of_the_truth():
    engine = ScriptedEngine()
    height, width = engine.depth.shape
    rng = np.random.default_rng(0)
    truth = np.full((2 * height, 2 * width), 3.0, np.float32)
    image = rng.integers(0, 255, (2 * height, 2 * width, 3), np.uint8)
    frames = [
        Frame(index * SECOND // 10, image, None, GroundTruth(depth=truth if index else None))
        for index in range(3)
    ]
    estimator = Estimator(engine, EstimatorSettings(depth_relative_std=0.04))
    metrics = node_depth_metrics(estimator, frames)
    assert metrics["node_depth_images"] == 2
    # Flat depth on a flat truth; 1.5 times 0.04 and 0.02 is sure.
    assert metrics["node_abs_rel"] == pytest.approx(0.0, abs=1e-5)
    assert metrics["node_sure"] == 1.0


def test_without_true_depth_there_is_nothing_to_say():
    image = np.zeros((64, 64, 3), np.uint8)
    assert node_depth_metrics(Estimator(ScriptedEngine()), [Frame(0, image)]) == {}
