from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.estimation_helpers import (
    CAMERA,
    DEPTH,
    HEIGHT,
    SECOND,
    STEP,
    WIDTH,
    ScriptedEngine,
    frame,
)

from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.estimation.scale.camera_height import CameraHeightScale, ground
from depth_motion_ros.estimation.scale.filter import ScaleFilter
from depth_motion_ros.estimation.scale.odometry import OdometryScale
from depth_motion_ros.estimation.scale.source import (
    UNKNOWN_SCALE,
    FirstKnown,
    ScaleObservation,
    UnitUntilKnown,
)
from depth_motion_ros.estimation.settings import EstimatorSettings, unit_of
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.geometry.rays import rays
from depth_motion_ros.settings import SettingsError

# Metres per unit of the network in these tests.
TRUE = 2.5
# 10 frames a second.
PERIOD = SECOND // 10
CAMERA_DEPTH = np.full((HEIGHT, WIDTH), DEPTH, np.float32)


def moved(x=0.0, y=0.0, yaw=0.0):
    return se3.transform(Rotation.from_euler("z", yaw).as_matrix(), [x, y, 0.0])


def seen(index, motion):
    """motion: (4, 4) of the camera from frame index - 1, in network units."""
    return ScaleObservation(index * PERIOD, CAMERA_DEPTH, CAMERA, (index - 1) * PERIOD, motion)


def ahead(metres, scale=TRUE):
    return se3.transform(np.eye(3), [0, 0, metres / scale])


def drive(source, count, noise=0.0, slip=(), seed=0):
    """A straight drive at 1 m/s. slip: frames whose odometry stands still."""
    rng = np.random.default_rng(seed)
    x, scale = 0.0, UNKNOWN_SCALE
    source.add(0, moved())
    for index in range(1, count + 1):
        x += 0.0 if index in slip else 0.1
        source.add(index * PERIOD, moved(x))
        step = 0.1 * np.exp(noise * rng.normal())
        scale = source.update(seen(index, ahead(step)))
    return scale


def test_a_straight_drive_tells_the_scale():
    scale = drive(OdometryScale(BODY_FROM_OPTICAL), 10)
    assert scale.source == "odometry"
    assert scale.value == pytest.approx(TRUE, rel=1e-6)
    assert 0 < scale.variance < 0.04**2


def test_too_few_steps_tell_nothing():
    assert drive(OdometryScale(BODY_FROM_OPTICAL), 4) == UNKNOWN_SCALE


def test_slipping_wheels_are_outliers():
    scale = drive(OdometryScale(BODY_FROM_OPTICAL), 60, noise=0.05, slip=range(20, 30))
    assert scale.value == pytest.approx(TRUE, rel=0.03)


def test_the_scale_s_variance_covers_its_error():
    errors = []
    for seed in range(20):
        scale = drive(OdometryScale(BODY_FROM_OPTICAL), 60, noise=0.1, seed=seed)
        errors.append(np.log(scale.value / TRUE) / np.sqrt(scale.variance))
    assert np.abs(errors).max() < 3


def test_standing_still_tells_nothing_and_forgets_nothing():
    source = OdometryScale(BODY_FROM_OPTICAL)
    known = drive(source, 10)
    for index in range(11, 200):
        source.add(index * PERIOD, moved(1.0))
        assert source.update(seen(index, ahead(1e-4))) == known


def test_a_unit_that_drifts_is_followed():
    source = OdometryScale(BODY_FROM_OPTICAL)
    source.add(0, moved())
    scale = UNKNOWN_SCALE
    for index in range(1, 101):
        source.add(index * PERIOD, moved(0.1 * index))
        # 3 % in a second, 30 % in all.
        unit = TRUE * 1.3 ** (index / 100)
        scale = source.update(seen(index, ahead(0.1, unit)))
    # What is a second old counts half: the mean is 1.4 s late, which is 4 %. Of all frames alike it
    # would be 13 %.
    assert scale.value == pytest.approx(1.3 * TRUE, rel=0.05)


def test_a_unit_that_jumps_is_followed_at_once():
    """A bus before the lens misled one frame, and the way was 16 % too long from there on: the new
    ratios were outliers among 100 old ones."""
    source = OdometryScale(BODY_FROM_OPTICAL)
    source.add(0, moved())
    scales = []
    for index in range(1, 131):
        source.add(index * PERIOD, moved(0.1 * index))
        unit = TRUE if index <= 100 else 0.8 * TRUE
        scales.append(source.update(seen(index, ahead(0.1, unit))).value)
    assert scales[99] == pytest.approx(TRUE, rel=1e-6)
    # Two seconds later three quarters of all weight is new, and the old are the outliers.
    assert scales[119] == pytest.approx(0.8 * TRUE, rel=1e-6)


def test_the_camera_s_motion_by_the_odometry_is_told_where_it_is_known():
    mount = BODY_FROM_OPTICAL.copy()
    mount[:3, 3] = [1.0, 0.0, 0.5]
    source = OdometryScale(mount)
    source.add(0, moved())
    assert source.motion(0, PERIOD) is None
    source.add(PERIOD, moved(0.3, yaw=0.1))
    camera = source.motion(0, PERIOD)
    base = moved(0.3, yaw=0.1)
    np.testing.assert_allclose(camera, se3.inverse(mount) @ base @ mount, atol=1e-9)
    # Ahead is z of a camera; turning on the spot moves one that sits ahead to the left.
    assert camera[2, 3] == pytest.approx(0.3, abs=0.01)
    assert camera[0, 3] < 0


def test_a_unit_that_may_have_changed_is_learnt_anew_at_once():
    """After a stop nothing ties the network's unit to that of before."""
    source = OdometryScale(BODY_FROM_OPTICAL)
    source.add(0, moved())
    scales = []
    for index in range(1, 121):
        source.add(index * PERIOD, moved(0.1 * index))
        unit = TRUE if index <= 100 else 0.9 * TRUE
        observed = seen(index, ahead(0.1, unit))
        unknown = 0.3**2 if index == 101 else 1e-4
        scales.append(source.update(replace(observed, unit_variance=unknown)).value)
    assert scales[99] == pytest.approx(TRUE, rel=1e-6)
    assert scales[101] == pytest.approx(0.9 * TRUE, rel=1e-3)


def test_a_change_of_unit_that_is_known_need_not_be_learnt():
    mount = BODY_FROM_OPTICAL.copy()
    mount[:3, 3] = [0.2, 0.0, 1.4]
    by_odometry, by_height = OdometryScale(mount), CameraHeightScale(1.4, mount)
    by_odometry.add(0, moved())
    unit = TRUE
    for index in range(1, 41):
        # From frame 20 on all is told shorter, by a twentieth a frame.
        change = 1.0 if index < 20 else 0.95
        unit /= change
        by_odometry.add(index * PERIOD, moved(0.1 * index))
        observed = seen(index, ahead(0.1, unit))
        observed = replace(observed, unit_change=change, depth=floor(1.4 / unit)[0])
        for source in (by_odometry, by_height):
            scale = source.update(observed)
            if index > 5:
                assert scale.value == pytest.approx(unit, rel=2e-3)


def test_odometry_may_come_late():
    source = OdometryScale(BODY_FROM_OPTICAL)
    for index in range(1, 11):
        assert source.update(seen(index, ahead(0.1))) == UNKNOWN_SCALE
    for index in range(11):
        source.add(index * PERIOD, moved(0.1 * index))
    assert source.update(
        ScaleObservation(11 * PERIOD, CAMERA_DEPTH, CAMERA)
    ).value == pytest.approx(TRUE)


def test_a_camera_off_the_axis_of_a_turning_robot_moves_although_the_base_does_not():
    lever = BODY_FROM_OPTICAL.copy()
    lever[:3, 3] = [1.0, 0.0, 0.5]
    source, yaw = OdometryScale(lever), 0.1
    source.add(0, moved())
    for index in range(1, 11):
        source.add(index * PERIOD, moved(yaw=index * yaw))
        base = moved(yaw=yaw)
        camera = se3.inverse(lever) @ base @ lever
        camera[:3, 3] /= TRUE
        scale = source.update(seen(index, camera))
    assert scale.value == pytest.approx(TRUE, rel=1e-6)


def floor(height, pitch=0.0):
    """Depth of a floor below a camera that looks down by ``pitch``, and where down is for it."""
    down = np.array([0.0, np.cos(pitch), np.sin(pitch)])
    x, y = rays(CAMERA)
    toward = x * down[0] + y * down[1] + down[2]
    with np.errstate(divide="ignore"):
        depth = np.where(toward > 1e-3, height / toward, np.nan)
    return depth.astype(np.float32), down


@pytest.mark.parametrize("pitch", [0.0, 0.3, 1.2])
def test_a_floor_is_found_at_its_height(pitch):
    depth, down = floor(1.4, pitch=pitch)
    found = ground(depth, CAMERA, down)
    assert found.height == pytest.approx(1.4, rel=1e-3)
    assert found.spread < 1e-2


def test_a_wall_and_a_ceiling_are_no_ground():
    assert ground(CAMERA_DEPTH, CAMERA, np.array([0.0, 1.0, 0.0])) is None
    depth, down = floor(1.4)
    assert ground(depth[::-1].copy(), CAMERA, down) is None


def test_things_on_the_floor_do_not_lift_it():
    depth, down = floor(1.4)
    rows = np.s_[HEIGHT * 3 // 4 :, : WIDTH // 4]
    table, _ = floor(0.7)
    depth[rows] = table[rows]
    assert ground(depth, CAMERA, down).height == pytest.approx(1.4, rel=0.01)


def test_the_camera_s_height_makes_the_depth_metric():
    mount = BODY_FROM_OPTICAL.copy()
    mount[:3, 3] = [0.2, 0.0, 1.4]
    source = CameraHeightScale(1.4, mount)
    depth, _ = floor(1.4 / TRUE)
    scales = [source.update(ScaleObservation(i * PERIOD, depth, CAMERA)) for i in range(5)]
    # One bad frame must not set the scale: the first ones are heard and not told.
    assert scales[0] == UNKNOWN_SCALE
    assert scales[-1].source == "camera_height"
    assert scales[-1].value == pytest.approx(TRUE, rel=1e-3)
    assert scales[-1].variance >= 0.05**2


def test_a_filter_averages_and_refuses_outliers():
    steady = ScaleFilter()
    rng = np.random.default_rng(0)
    for index in range(100):
        steady.add(index * PERIOD, 2.0 * np.exp(0.1 * rng.normal()), 0.1**2)
    before = steady.value
    assert before == pytest.approx(2.0, rel=0.05)
    steady.add(100 * PERIOD, 20.0, 0.1**2)
    assert steady.value == before
    assert steady.variance < 0.05**2


def test_a_filter_gives_in_to_what_all_measurements_say():
    stubborn = ScaleFilter()
    for index in range(10):
        stubborn.add(index * PERIOD, 2.0, 0.05**2)
    for index in range(10, 30):
        stubborn.add(index * PERIOD, 4.0, 0.05**2)
        # A metric node went back to network units for the frames in which it changed its mind.
        assert stubborn.value is not None
    assert stubborn.value == pytest.approx(4.0)


def test_a_filter_believes_another_scale_where_the_unit_may_have_changed():
    steady = ScaleFilter()
    for index in range(10):
        steady.add(index * PERIOD, 2.0, 0.03**2)
    steady.change_unit(1.0, 0.2**2)
    assert np.sqrt(steady.variance) > 0.2
    steady.add(10 * PERIOD, 3.0, 0.03**2)
    assert steady.value == pytest.approx(3.0, rel=0.02)


class Saying:
    def __init__(self, scale):
        self.scale = scale

    def update(self, seen):
        return self.scale


def test_the_first_that_knows_is_believed():
    height, constant = Scale(3.0, "camera_height"), Scale(2.0, "constant")
    assert (
        FirstKnown([Saying(UNKNOWN_SCALE), Saying(height), Saying(constant)]).update(None) == height
    )
    assert FirstKnown([Saying(UNKNOWN_SCALE)]).update(None) == UNKNOWN_SCALE


def test_the_estimator_turns_metric_with_odometry_and_stays_so():
    # The network says 0.2 a frame and the wheels 0.5: its unit is 2.5 m.
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine, EstimatorSettings(refine=False, depth_source="network"))
    for index in range(12):
        estimator.add_odometry(round(0.1 * index * SECOND), moved(y=TRUE * 2 * STEP * index))
        estimate = estimator.process(frame(0.1 * index, shift=2 * index))
    assert estimate.scale.source == "odometry"
    np.testing.assert_allclose(estimate.depth, TRUE * DEPTH, rtol=1e-5)
    np.testing.assert_allclose(estimate.motion.translation, [-TRUE * 2 * STEP, 0, 0], rtol=1e-5)
    # What the scale leaves open is open along the motion.
    assert estimate.motion.covariance[0, 0] > estimate.motion.covariance[1, 1]


def test_silence_until_the_scale_is_known():
    estimator = Estimator(
        ScriptedEngine().moving(2), EstimatorSettings(publish_unscaled=False, refine=False)
    )
    for index in range(12):
        if index >= 3:
            estimator.add_odometry(round(0.1 * index * SECOND), moved(y=TRUE * 2 * STEP * index))
        estimate = estimator.process(frame(0.1 * index, shift=2 * index))
        assert estimate.is_withheld == (estimate.scale.source == "unit")
        if estimate.is_withheld:
            # A pose in an unknown unit would stay wrong for ever.
            np.testing.assert_array_equal(estimator.pose.pose, np.eye(4))
    assert not estimate.is_withheld
    assert estimator.pose.pose[1, 3] > 0


def test_a_height_that_nobody_knows_is_an_error_that_names_the_parameter():
    with pytest.raises(SettingsError, match="needs camera_height > 0"):
        EstimatorSettings(scale_source="camera_height")
    mount = BODY_FROM_OPTICAL.copy()
    mount[2, 3] = 0.6
    settings = EstimatorSettings(scale_source="camera_height", base_from_camera=mount)
    assert settings.height == 0.6
    with pytest.raises(
        SettingsError, match=r"scale_source is 'wheels'; .* one of auto, odometry, "
    ):
        EstimatorSettings(scale_source="wheels")


def test_the_unit_that_weights_were_taught_serves_until_the_scale_is_known():
    estimator = Estimator(ScriptedEngine().moving(2), EstimatorSettings(unit=10.0, refine=False))
    for index in range(12):
        if index >= 3:
            estimator.add_odometry(round(0.1 * index * SECOND), moved(y=TRUE * 2 * STEP * index))
        estimate = estimator.process(frame(0.1 * index, shift=2 * index))
        if index < 3:
            assert estimate.scale == Scale(10.0, "unit")
            assert not estimate.scale.is_metric
            np.testing.assert_allclose(np.nanmedian(estimate.depth), 10 * DEPTH)
    assert estimate.scale.source == "odometry"
    assert estimate.scale.value == pytest.approx(TRUE, rel=0.02)

    never = UnitUntilKnown(FirstKnown([]), 4.0)
    assert never.update(seen(0, None)).value == 4.0
    assert unit_of({"unit": "10"}) == 10.0
    assert [unit_of(m) for m in ({}, {"unit": "m"}, {"unit": "-1"}, {"unit": "inf"})] == [1.0] * 4
    with pytest.raises(SettingsError, match=r"unit is 0\.0; it must be a finite number from 1e-06"):
        EstimatorSettings(unit=0.0)
