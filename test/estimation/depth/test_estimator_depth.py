"""Depth and its standard deviation as the estimator hands them out."""

from __future__ import annotations

import numpy as np
import pytest
from support.depth_scenes import CAMERA, HEIGHT, WIDTH, Rectangle, look, moving_camera
from support.estimation_helpers import SECOND, ScriptedEngine

from depth_motion_ros.estimation.estimator import Estimator, RequestedOutputs
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.sources.frame import Frame

STEP = [0.04, 0.0, 0.0]
# A box before a wall: unlike a wall alone, it tells a sidestep from a turn.
SCENE = [Rectangle(3.0), Rectangle(1.5, left=-0.4, right=0.4, top=-0.4, bottom=0.4, seed=1)]
# What the network makes of it: it slopes from left to right.
SLOPE = np.linspace(0.75, 1.25, WIDTH, dtype=np.float32)


def walk(count=7, outputs=None, **settings):
    """Estimates of the frames, and their true depths."""
    engine = ScriptedEngine((WIDTH, HEIGHT))
    estimator = Estimator(engine, EstimatorSettings(depth_relative_std=0.2, **settings))
    estimates, depths = [], []
    for index, pose in enumerate(moving_camera(count, STEP)):
        grey, depth = look(SCENE, pose)
        engine.depth, engine.translation = depth * SLOPE, np.array(STEP, np.float32)
        frame = Frame(index * SECOND // 10, np.dstack([grey] * 3), CAMERA)
        estimates.append(estimator.process(frame, outputs or RequestedOutputs()))
        depths.append(depth)
    return estimates, depths


def shape_error(depth, truth):
    """Mean relative error away from the rims, after the best factor: the unit is the network's."""
    ratio = (depth / truth)[8:-8, 8:-8]
    return float(np.nanmean(np.abs(ratio / np.nanmedian(ratio) - 1)))


def test_depth_becomes_the_measured_one_and_surer():
    estimates, depths = walk()
    assert {estimate.quality.tracking for estimate in estimates[1:]} == {"ok"}
    assert shape_error(estimates[0].depth, depths[0]) == pytest.approx(0.12, abs=0.01)
    assert shape_error(estimates[-1].depth, depths[-1]) < 0.05
    assert np.median(estimates[-1].depth_std) < 0.6 * np.median(estimates[0].depth_std)


@pytest.mark.parametrize(
    "asked",
    [{"depth_source": "network"}, {"outputs": RequestedOutputs(fused_depth=False)}],
    ids=["setting", "request"],
)
def test_the_networks_depth_is_left_alone_where_that_is_asked_for(asked):
    estimates, depths = walk(3, **asked)
    np.testing.assert_allclose(estimates[0].depth, depths[0] * SLOPE, rtol=1e-6)
    # The unit of length of successive frames is filtered; its shape is the network's.
    assert shape_error(estimates[-1].depth, depths[-1]) == pytest.approx(0.12, abs=0.01)
    assert np.ptp(estimates[-1].depth_std) == 0


def test_uncertain_depth_is_invalid_where_that_is_asked_for():
    # The network alone claims 1.5 times 0.2 and 0.02.
    estimates, _ = walk(7, max_depth_std=0.25)
    assert np.isnan(estimates[0].depth).all()
    assert np.isnan(estimates[0].depth_std).all()
    valid = np.isfinite(estimates[-1].depth)
    assert valid.mean() > 0.3
    assert (estimates[-1].depth_std[valid] <= 0.25).all()
