"""The depth filter between the estimator's frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.depth_scenes import CAMERA, HEIGHT, PRIOR_STD, WIDTH

from depth_motion_ros.estimation.depth.fusion import DepthFusion, FollowedPair
from depth_motion_ros.estimation.estimate import Quality
from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.estimation.scene_flow.optical_flow import DenseFlow

IMAGE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
NOWHERE = np.zeros((HEIGHT, WIDTH), np.float32)


def pair(tracking: str, dt: float = 0.1) -> FollowedPair:
    motion = PairMotion(np.eye(3), np.zeros(3), 1e-6 * np.eye(6), Quality(tracking))
    flow = DenseFlow(NOWHERE, NOWHERE, np.ones((HEIGHT, WIDTH), bool))
    return FollowedPair(motion, flow, None, 1.0, dt)


def fused(fusion: DepthFusion, prior, step):
    return fusion.depth(IMAGE, prior, PRIOR_STD, CAMERA, step, max_gap=1.0)


def test_unknown_depth_stays_unknown():
    prior = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    prior[10, 20], prior[30, 40] = np.nan, 0.0
    depth, std = fused(DepthFusion(), prior, None)
    assert np.isnan(depth[10, 20])
    assert np.isnan(depth[30, 40])
    assert np.count_nonzero(np.isnan(depth)) == 2
    assert std.shape == depth.shape


def test_no_depth_at_all_is_no_error():
    depth, _ = fused(DepthFusion(), np.full((HEIGHT, WIDTH), np.nan, np.float32), None)
    assert np.isnan(depth).all()


def test_every_state_of_tracking_has_a_depth():
    fusion, prior = DepthFusion(), np.full((HEIGHT, WIDTH), 2.0, np.float32)
    for step in (None, pair("ok"), pair("static"), pair("lost"), pair("lost", 2.0), pair("ok")):
        depth, _ = fused(fusion, prior, step)
        np.testing.assert_allclose(depth, 2.0, rtol=0.01)


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, 1e30])
def test_a_motion_of_nonsense_leaves_the_networks_depth(nonsense):
    fusion, prior = DepthFusion(), np.full((HEIGHT, WIDTH), 2.0, np.float32)
    fused(fusion, prior, None)
    good = pair("ok")
    motion = replace(good.motion, translation=np.array([nonsense, 0, 0]))
    for step in (replace(good, motion=motion), good):
        depth, std = fused(fusion, prior, step)
        np.testing.assert_allclose(depth, 2.0, rtol=0.01)
        assert np.isfinite(std).all()
