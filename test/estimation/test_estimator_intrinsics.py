"""The camera that the network has learned, and what becomes of it beside a given one."""

from __future__ import annotations

import numpy as np
import pytest
from support.estimation_helpers import (
    CAMERA,
    HEIGHT,
    LEARNED_K,
    WIDTH,
    ScriptedEngine,
    frame,
)

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.sources.frame import Frame


def test_without_a_camera_the_learned_one_serves_from_the_first_frame_on():
    engine = ScriptedEngine()
    estimator = Estimator(engine)
    first = estimator.process(frame(0.0, camera=None))
    # One step for depth, one for a look at the intrinsics with the image as its own partner.
    assert [had for had, _, _ in engine.asked] == [False, True]
    np.testing.assert_allclose(first.camera.K, LEARNED_K)
    assert first.learned_camera is not None
    estimator.process(frame(0.1, shift=1, camera=None))
    assert len(engine.asked) == 3


def test_learned_intrinsics_are_steady():
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine)
    for index, focal in enumerate([80, 80, 300, 80.4, 79.6, 20, 80]):
        engine.K = LEARNED_K.copy()
        engine.K[(0, 1), (0, 1)] = focal
        estimate = estimator.process(frame(0.1 * index, shift=2 * index, camera=None))
    assert estimate.camera.fx == 80


def test_learned_intrinsics_follow_a_lasting_change():
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine, EstimatorSettings(intrinsics_window=5))
    for index in range(12):
        if index == 4:
            engine.K = LEARNED_K * np.float32([[2], [2], [1]])
        estimate = estimator.process(frame(0.1 * index, shift=2 * index, camera=None))
    assert estimate.camera.fx == pytest.approx(160)


@pytest.mark.parametrize(("square", "focal"), [(True, (60, 40)), (False, (75, 32))])
def test_square_pixels_leave_one_focal_length(square, focal):
    # The camera's 128x96 pixels become the network's 128x64.
    engine = ScriptedEngine()
    engine.K = np.array([[75, 0, 64], [0, 32, 32], [0, 0, 1]], np.float32)
    tall = Frame(0, np.zeros((HEIGHT * 3 // 2, WIDTH, 3), np.uint8))
    settings = EstimatorSettings(square_pixels=square)
    camera = Estimator(engine, settings).process(tall).camera
    assert (camera.fx, camera.fy) == pytest.approx(focal)
    original = camera.resized(WIDTH, HEIGHT * 3 // 2)
    assert (original.fx == pytest.approx(original.fy)) == square


def test_a_given_camera_does_not_hide_the_learned_one():
    estimator = Estimator(ScriptedEngine().moving(2))
    estimator.process(frame(0.0))
    estimate = estimator.process(frame(0.1, shift=2))
    assert estimate.camera.same_as(CAMERA)
    np.testing.assert_allclose(estimate.learned_camera.K, LEARNED_K)


def test_intrinsics_that_are_none_are_an_error_that_names_the_way_out():
    engine = ScriptedEngine()
    engine.K = np.full((3, 3), np.nan, np.float32)
    with pytest.raises(EngineError, match="give the frames a camera"):
        Estimator(engine).process(frame(0.0, camera=None))
