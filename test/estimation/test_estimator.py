from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.engine_helpers import images, trained_like_weights
from support.estimation_helpers import (
    CAMERA,
    DEPTH,
    HEIGHT,
    SECOND,
    STEP,
    WIDTH,
    ScriptedEngine,
    frame,
    wall,
)

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.select import create_engine
from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.estimation.estimator import Estimator, RequestedOutputs
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.frame import Frame


def test_first_frame_then_pairs():
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine)
    first = estimator.process(frame(0.0))
    assert first.quality.tracking == "first"
    assert first.motion is None
    assert first.object_flow is None
    assert first.learned_camera is None
    np.testing.assert_array_equal(first.depth, DEPTH)

    second = estimator.process(frame(0.1, shift=2))
    assert second.quality.tracking == "ok"
    assert second.quality.photometric_error < second.quality.identity_error
    np.testing.assert_allclose(second.motion.translation, [-2 * STEP, 0, 0], rtol=1e-6)
    assert second.motion.dt == pytest.approx(0.1)
    # The camera moved 0.2 to its left: y of the base points left.
    np.testing.assert_allclose(estimator.pose.pose[:3, 3], [0, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(estimator.pose.twist[:3], [0, 2.0, 0], atol=1e-5)


def test_five_lines_of_plain_python():
    estimator = Estimator(create_engine(trained_like_weights(), engine="torch", device="cpu"))
    for image_index, image in enumerate(images(3)):
        estimate = estimator.process(Frame(image_index * SECOND // 10, image))
    assert estimate.depth.shape == image.shape[:2]
    assert (estimate.depth[np.isfinite(estimate.depth)] > 0).all()
    assert (estimate.camera.width, estimate.camera.height) == image.shape[1::-1]
    # Weights that never saw an image: what they say of motion is believed or not, but told.
    assert estimate.quality.tracking in ("ok", "static", "lost")
    assert (estimate.motion is None) == (estimate.quality.tracking == "lost")


def test_depth_of_the_previous_frame_is_reused():
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine)
    depths = [8.0, 9.0, 10.0]
    for index, depth in enumerate(depths):
        engine.depth[:] = depth
        estimator.process(frame(0.1 * index, shift=2 * index))
    # One step a frame, each given the depth of the one before in the network's own unit.
    assert [had for had, _, _ in engine.asked] == [False, True, True]
    assert [given[0, 0] for _, given, _ in engine.asked[1:]] == depths[:2]


def test_one_scale_multiplies_depth_motion_and_object_flow():
    engine = ScriptedEngine().moving(2)
    engine.residual[:8, :8] = [0, 0, -0.4]
    estimator = Estimator(engine, EstimatorSettings(scale=2.5, object_motion="network"))
    estimator.process(frame(0.0))
    estimate = estimator.process(frame(0.1, shift=2))
    assert estimate.scale.source == "constant"
    assert estimate.scale.is_metric
    np.testing.assert_allclose(estimate.depth, 2.5 * DEPTH)
    np.testing.assert_allclose(estimate.motion.translation, [-2.5 * 2 * STEP, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(estimate.object_flow[:8, :8, 2], 2.5 * 0.4 / 0.1, rtol=1e-5)
    assert not estimate.object_flow[8:].any()
    assert estimate.quality.moving_fraction == pytest.approx(64 / (WIDTH * HEIGHT))
    np.testing.assert_allclose(estimator.pose.pose[1, 3], 0.5, rtol=1e-6)


def test_without_a_scale_everything_is_in_the_unit_of_the_network_and_says_so():
    estimate = Estimator(ScriptedEngine()).process(frame(0.0))
    assert estimate.scale == Scale(1.0, "unit", estimate.scale.variance)
    assert not estimate.scale.is_metric


def test_a_scale_source_of_ones_own_is_asked_for_every_frame():
    class Growing:
        calls = 0

        def update(self, seen):
            self.calls += 1
            return Scale(float(self.calls), "odometry", 0.01)

    estimator = Estimator(ScriptedEngine().moving(2), scale_source=Growing())
    assert estimator.process(frame(0.0)).depth[0, 0] == DEPTH
    second = estimator.process(frame(0.1, shift=2))
    assert second.depth[0, 0] == 2 * DEPTH
    assert second.motion.translation[0] == pytest.approx(-4 * STEP)


def test_depth_out_of_range_is_invalid_and_never_clipped():
    engine = ScriptedEngine().moving(2)
    engine.depth[0, :4] = [0.5, 1.0, 40.0, 41.0]
    engine.depth[1, 0], engine.depth[1, 1] = np.nan, np.inf
    engine.residual[:2, :8] = [0, 0, -0.4]
    estimator = Estimator(engine, EstimatorSettings(min_depth=1.0, max_depth=40.0))
    first = estimator.process(frame(0.0))
    np.testing.assert_array_equal(first.depth[0, :5], [np.nan, 1, 40, np.nan, DEPTH])
    assert np.isnan(first.depth[1, :2]).all()
    flow = estimator.process(frame(0.1, shift=2)).object_flow
    np.testing.assert_array_equal(np.isnan(flow).all(axis=2), np.isnan(first.depth))


def test_what_nobody_asks_for_is_not_computed():
    estimator = Estimator(ScriptedEngine().moving(2))
    estimator.process(frame(0.0))
    estimate = estimator.process(frame(0.1, shift=2), RequestedOutputs(object_flow=False))
    assert estimate.object_flow is None
    assert np.isnan(estimate.quality.moving_fraction)
    assert estimate.motion is not None


@pytest.mark.parametrize(
    ("next_frame", "options", "reason"),
    [
        (frame(-0.6), {}, "time went back by 1.600 s"),
        (frame(2.6), {}, "no frame for 1.600 s"),
        (Frame(round(1.1 * SECOND), np.zeros((32, 64, 3), np.uint8)), {}, "input changed"),
        (frame(1.1, shift=2), {"frame_id": "other_camera"}, "other_camera"),
    ],
)
def test_a_break_in_the_stream_resets_the_motion_state_and_nothing_else(
    next_frame, options, reason
):
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine)
    estimator.process(frame(0.9))
    estimator.process(frame(1.0, shift=2))
    pose = estimator.pose.pose
    assert pose[1, 3] == pytest.approx(0.2)
    count = len(engine.asked)

    estimate = estimator.process(next_frame, **options)
    assert estimate.quality.tracking == "first"
    assert reason in estimate.quality.reason
    assert estimate.motion is None
    assert not engine.asked[count][0]
    np.testing.assert_array_equal(estimator.pose.pose, pose)
    assert estimator.pose.twist is None

    image = np.roll(next_frame.image, 1, axis=1)
    after = Frame(next_frame.stamp + SECOND // 10, image, next_frame.camera)
    assert estimator.process(after, **options).quality.tracking != "first"
    assert engine.asked[-1][0]


def test_a_gap_costs_the_certainty_that_it_should():
    estimator = Estimator(ScriptedEngine(), EstimatorSettings(lost_speed=2.0, lost_turn_rate=0.1))
    estimator.process(frame(0.0))
    estimator.process(frame(10.0))
    std = np.sqrt(np.diag(estimator.pose.covariance))
    np.testing.assert_allclose(std, [20, 20, 20, 1, 1, 1])


def test_a_reset_from_outside_says_why():
    estimator = Estimator(ScriptedEngine())
    estimator.process(frame(0.0))
    estimator.reset("node was deactivated")
    assert estimator.process(frame(0.1)).quality.reason == "node was deactivated"


def test_the_odometry_can_start_anew():
    estimator = Estimator(ScriptedEngine().moving(2))
    estimator.process(frame(0.0))
    estimator.process(frame(0.1, shift=2))
    estimator.reset_pose()
    np.testing.assert_array_equal(estimator.pose.pose, np.eye(4))
    # Only the pose: the next frame is still paired.
    assert estimator.process(frame(0.2, shift=4)).quality.tracking == "ok"


def test_a_camera_at_rest_does_not_creep():
    # A network never says exactly nothing; here it claims 0.05 pixels a frame.
    engine = ScriptedEngine().moving(0.05)
    estimator = Estimator(engine)
    for index in range(20):
        estimate = estimator.process(frame(0.1 * index))
    assert estimate.quality.tracking == "static"
    np.testing.assert_array_equal(estimator.pose.pose, np.eye(4))
    assert not estimator.pose.twist.any()
    assert np.diag(estimate.motion.covariance).min() > 0


def test_a_motion_that_contradicts_the_image_is_lost_not_integrated():
    engine = ScriptedEngine().moving(-20)
    estimator = Estimator(engine)
    estimator.process(frame(0.0))
    estimate = estimator.process(frame(0.1, shift=2))
    assert estimate.quality.tracking == "lost"
    assert "photometric error" in estimate.quality.reason
    assert estimate.motion is None
    assert estimate.object_flow is None
    np.testing.assert_array_equal(estimator.pose.pose, np.eye(4))
    assert np.diag(estimator.pose.covariance).min() > 0
    engine.moving(2)
    assert estimator.process(frame(0.2, shift=4)).quality.tracking == "ok"


def test_a_diverged_network_is_lost():
    engine = ScriptedEngine()
    engine.translation[0] = np.nan
    estimator = Estimator(engine)
    estimator.process(frame(0.0))
    estimate = estimator.process(frame(0.1, shift=1))
    assert estimate.quality.tracking == "lost"
    assert "not finite" in estimate.quality.reason


def test_the_given_camera_is_used_at_the_size_of_the_network():
    # 640x480 to 128x64: the aspect ratio changes, and fx and fy with it.
    camera = Camera(np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]]), 640, 480)
    image = cv2.resize(wall(), (640, 480))
    estimate = Estimator(ScriptedEngine()).process(Frame(0, image, camera))
    assert estimate.camera.size == (WIDTH, HEIGHT)
    assert estimate.camera.fx == pytest.approx(500 * WIDTH / 640)
    assert estimate.camera.fy == pytest.approx(500 * HEIGHT / 480)
    assert (estimate.camera.cx, estimate.camera.cy) == pytest.approx((63.5, 31.5))
    assert estimate.image.shape == (HEIGHT, WIDTH, 3)
    # By area: no aliasing, so the mean is kept.
    assert estimate.image.mean() == pytest.approx(image.mean(), abs=0.5)


def test_a_distorted_image_is_rectified_first():
    distorted = Camera(CAMERA.K, WIDTH, HEIGHT, np.array([-0.3, 0.1, 0, 0]))
    estimate = Estimator(ScriptedEngine()).process(frame(0.0, camera=distorted))
    assert not estimate.camera.is_distorted
    assert not np.array_equal(estimate.image, wall())


def test_a_failing_engine_costs_one_frame():
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine)
    estimator.process(frame(0.0))
    step, engine.step = engine.step, lambda *args: (_ for _ in ()).throw(EngineError("failed"))
    with pytest.raises(EngineError, match="failed"):
        estimator.process(frame(0.1, shift=2))
    engine.step = step
    engine.moving(4)
    estimate = estimator.process(frame(0.2, shift=4))
    assert estimate.quality.tracking == "ok"
    assert estimate.motion.dt == pytest.approx(0.2)


def test_new_weights_see_their_own_depth_of_the_previous_frame():
    old, new = ScriptedEngine(), ScriptedEngine().moving(2)
    new.depth[:] = 2 * DEPTH
    estimator = Estimator(old)
    estimator.process(frame(0.0))
    estimator.use_engine(new)
    assert estimator.engine is new
    new.translation *= 2
    assert estimator.process(frame(0.1, shift=2)).quality.tracking == "ok"
    assert not old.asked[1:]
    had_previous, previous_depth, _ = new.asked[-1]
    assert had_previous
    assert previous_depth[0, 0] == 2 * DEPTH


def test_new_weights_may_err_more_or_less():
    estimator = Estimator(ScriptedEngine(), EstimatorSettings(depth_relative_std=0.2))
    estimator.process(frame(0.0))
    estimator.use_engine(ScriptedEngine().moving(2))
    estimator.process(frame(0.1, shift=2))
    assert estimator.settings.depth_relative_std == 0.2
    estimator.use_engine(ScriptedEngine().moving(2), depth_relative_std=0.4)
    # The frame in flight is of the weights before.
    assert estimator.settings.depth_relative_std == 0.2
    estimator.process(frame(0.2, shift=4))
    assert estimator.settings.depth_relative_std == 0.4


def test_an_engine_of_another_size_starts_anew():
    estimator = Estimator(ScriptedEngine())
    estimator.process(frame(0.0))
    estimator.use_engine(ScriptedEngine((96, 32)))
    estimate = estimator.process(frame(0.1))
    assert estimate.depth.shape == (32, 96)
    assert estimate.quality.tracking == "first"
    assert "(96, 32)" in estimate.quality.reason


def test_an_engine_that_changes_its_own_size_starts_anew_too():
    engine = ScriptedEngine()
    estimator = Estimator(engine)
    estimator.process(frame(0.0, camera=None))
    engine.__init__((96, 32))
    estimator.use_engine(engine)
    estimate = estimator.process(frame(0.1, camera=None))
    assert estimate.quality.tracking == "first"
    assert estimate.camera.size == estimate.depth.shape[::-1] == (96, 32)


def test_an_estimate_does_not_change_when_the_source_reuses_its_buffer():
    buffer = wall()
    estimator = Estimator(ScriptedEngine())
    estimate = estimator.process(frame(0.0, image=buffer))
    kept = estimate.image.copy()
    buffer[:] = 0
    np.testing.assert_array_equal(estimate.image, kept)


def test_networks_may_run_one_frame_ahead_of_the_geometry():
    """Over a gap, a change of the frame_id, a frame without a camera, and flow."""
    times = [0, 0.1, 0.2, 0.3, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6]
    stream = [
        (frame(time, shift, camera=None if shift > 5 else CAMERA), "a" if shift < 9 else "b")
        for shift, time in enumerate(times)
    ]
    settings = EstimatorSettings(refine=True)
    one, two = (Estimator(ScriptedEngine().moving(1), settings) for _ in range(2))
    plain = [one.process(each, frame_id=name) for each, name in stream]
    staged, waiting = [], None
    for each, name in stream:
        inferred = two.infer(each, frame_id=name)
        if waiting is not None:
            staged.append(two.complete(waiting))
        waiting = inferred
    staged.append(two.complete(waiting))
    assert [e.quality.tracking for e in plain].count("first") == 3
    for a, b in zip(plain, staged, strict=True):
        assert a.quality == b.quality
        np.testing.assert_array_equal(a.depth, b.depth)
        np.testing.assert_array_equal(a.camera.K, b.camera.K)
        if a.motion is not None:
            np.testing.assert_array_equal(a.motion.translation, b.motion.translation)
            np.testing.assert_array_equal(a.object_flow, b.object_flow)
    np.testing.assert_array_equal(one.pose.pose, two.pose.pose)
