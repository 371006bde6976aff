from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.estimation.odometry import Odometry
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL

COVARIANCE = np.diag([1e-4] * 3 + [1e-6] * 3)


def motion(T, dt=0.1, covariance=COVARIANCE) -> Motion:
    return Motion(T[:3, :3], T[:3, 3], covariance, dt)


def mounted(axes, position) -> np.ndarray:
    """base_from_camera. axes: the base's (x, y, z) rows in terms of the optical axes."""
    return se3.transform(np.array(axes, float), np.array(position, float))


FORWARD = se3.transform(BODY_FROM_OPTICAL[:3, :3], [0.3, 0.0, 0.5])
# The optical axis points left, down; "right of the image" is then forward, and right.
LEFT = mounted([[1, 0, 0], [0, 0, 1], [0, -1, 0]], [0.1, 0.2, 0.4])
DOWN = mounted([[0, -1, 0], [-1, 0, 0], [0, 0, -1]], [0.2, 0.0, 1.0])


@pytest.mark.parametrize(
    ("mounting", "camera_translation", "base_translation"),
    [
        (FORWARD, [0, 0, 1], [1, 0, 0]),
        (FORWARD, [1, 0, 0], [0, -1, 0]),
        (FORWARD, [0, 1, 0], [0, 0, -1]),
        (LEFT, [1, 0, 0], [1, 0, 0]),
        (LEFT, [0, 0, 1], [0, 1, 0]),
        (DOWN, [0, -1, 0], [1, 0, 0]),
        (DOWN, [0, 0, 1], [0, 0, -1]),
    ],
)
def test_a_straight_motion_is_told_in_the_axes_of_the_base(
    mounting, camera_translation, base_translation
):
    assert np.linalg.det(mounting[:3, :3]) == pytest.approx(1)
    odometry = Odometry(mounting)
    odometry.integrate(motion(se3.transform(np.eye(3), camera_translation), dt=0.5))
    np.testing.assert_allclose(odometry.state.pose[:3, 3], base_translation, atol=1e-12)
    np.testing.assert_allclose(odometry.state.pose[:3, :3], np.eye(3), atol=1e-12)
    # One metre in half a second.
    np.testing.assert_allclose(odometry.state.twist[:3], 2 * np.array(base_translation), atol=1e-12)
    np.testing.assert_allclose(odometry.state.twist[3:], 0, atol=1e-12)


@pytest.mark.parametrize("mounting", [FORWARD, LEFT, DOWN])
def test_turning_on_the_spot_does_not_move_the_base_although_the_camera_swings(mounting):
    yaw = np.radians(3)
    base_step = se3.transform(Rotation.from_euler("z", yaw).as_matrix(), [0, 0, 0])
    camera_step = se3.inverse(mounting) @ base_step @ mounting
    assert np.linalg.norm(camera_step[:3, 3]) > 0.01
    odometry = Odometry(mounting)
    for _ in range(30):
        odometry.integrate(motion(camera_step))
    np.testing.assert_allclose(odometry.state.pose[:3, 3], 0, atol=1e-12)
    heading = Rotation.from_matrix(odometry.state.pose[:3, :3]).as_rotvec()
    np.testing.assert_allclose(heading, [0, 0, np.radians(90)], atol=1e-9)
    np.testing.assert_allclose(odometry.state.twist, [0, 0, 0, 0, 0, yaw / 0.1], atol=1e-12)


def test_a_square_ends_where_it_began():
    side = se3.transform(np.eye(3), [1, 0, 0])
    corner = se3.transform(Rotation.from_euler("z", 90, degrees=True).as_matrix(), [0, 0, 0])
    odometry = Odometry(FORWARD)
    for step in [side, corner] * 4:
        odometry.integrate(motion(se3.inverse(FORWARD) @ step @ FORWARD))
    np.testing.assert_allclose(odometry.state.pose, np.eye(4), atol=1e-9)


def test_a_circle_has_the_twist_of_a_wheeled_robot():
    # 1 m/s forward and 0.5 rad/s: the mean velocity of the base, not its chord over the time.
    dt, twist = 0.1, np.array([1.0, 0, 0, 0, 0, 0.5])
    odometry = Odometry(FORWARD)
    step = se3.exp(twist * dt)
    odometry.integrate(motion(se3.inverse(FORWARD) @ step @ FORWARD, dt))
    np.testing.assert_allclose(odometry.state.twist, twist, atol=1e-9)


def test_rotation_stays_a_rotation_over_many_frames():
    odometry = Odometry(FORWARD)
    step = se3.exp(np.array([0.01, 0.02, 0.03, 0.01, -0.02, 0.03]))
    for _ in range(3000):
        odometry.integrate(motion(step))
    R = odometry.state.pose[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)


def test_uncertainty_grows_with_every_frame_and_is_a_covariance():
    odometry = Odometry(FORWARD)
    step = se3.inverse(FORWARD) @ se3.exp(np.array([0.1, 0, 0, 0, 0, 0.05])) @ FORWARD
    last = 0.0
    for _ in range(50):
        odometry.integrate(motion(step))
        covariance = odometry.state.covariance
        np.testing.assert_array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > 0
        assert np.trace(covariance) > last
        last = np.trace(covariance)


def test_the_covariance_is_that_of_many_noisy_runs():
    rng = np.random.default_rng(0)
    step = se3.inverse(FORWARD) @ se3.exp(np.array([0.2, 0, 0, 0, 0, 0.1])) @ FORWARD
    std = np.array([0.01, 0.02, 0.03, 0.01, 0.005, 0.02])
    frames, runs = 10, 2000

    def run(noises) -> Odometry:
        odometry = Odometry(FORWARD)
        for noise in noises:
            odometry.integrate(motion(step @ se3.exp(noise), covariance=np.diag(std**2)))
        return odometry

    exact = run(np.zeros((frames, 6))).state
    errors = np.empty((runs, 6))
    for index in range(runs):
        pose = run(rng.normal(size=(frames, 6)) * std).state.pose
        errors[index, :3] = pose[:3, 3] - exact.pose[:3, 3]
        turn = pose[:3, :3] @ exact.pose[:3, :3].T
        errors[index, 3:] = Rotation.from_matrix(turn).as_rotvec()
    sampled = np.cov(errors.T)
    # 2000 runs estimate a standard deviation to about 2 %; 10 % leaves room for curvature.
    np.testing.assert_allclose(
        np.sqrt(np.diag(sampled)), np.sqrt(np.diag(exact.covariance)), rtol=0.1
    )
    scale = np.sqrt(np.outer(np.diag(sampled), np.diag(sampled)))
    np.testing.assert_allclose(sampled / scale, exact.covariance / scale, atol=0.1)


def test_the_lever_arm_turns_rotation_noise_into_position_noise():
    only_rotation = np.diag([0, 0, 0, 1e-4, 1e-4, 1e-4])
    far = Odometry(se3.transform(BODY_FROM_OPTICAL[:3, :3], [2.0, 0, 0]))
    far.integrate(motion(np.eye(4), covariance=only_rotation))
    # 0.01 rad about z and y at 2 m: 0.02 m to the side and up, nothing ahead.
    np.testing.assert_allclose(
        np.sqrt(np.diag(far.state.covariance)[:3]), [0, 0.02, 0.02], atol=1e-12
    )


def test_time_without_estimates_keeps_the_pose_and_costs_certainty():
    odometry = Odometry(FORWARD)
    odometry.integrate(motion(se3.transform(np.eye(3), [0, 0, 1])))
    before = odometry.state
    odometry.coast(dt=2.0, speed=1.5, turn_rate=0.5)
    after = odometry.state
    np.testing.assert_array_equal(after.pose, before.pose)
    growth = np.diag(after.covariance - before.covariance)
    np.testing.assert_allclose(growth, [9, 9, 9, 1, 1, 1], atol=1e-12)
    assert after.twist is None
    assert after.twist_covariance is None


def test_what_is_believed_to_go_on_moves_the_pose_and_is_not_told():
    odometry, told = Odometry(FORWARD), Odometry(FORWARD)
    going = motion(se3.transform(np.eye(3), [0, 0, 1]))
    odometry.coast(2.0, 1.5, 0.5, going)
    told.integrate(going)
    np.testing.assert_array_equal(odometry.state.pose, told.state.pose)
    np.testing.assert_array_equal(odometry.state.covariance, told.state.covariance)
    assert odometry.state.twist is None


def test_what_is_handed_out_does_not_change_later():
    odometry = Odometry(FORWARD)
    state = odometry.state
    odometry.integrate(motion(se3.transform(np.eye(3), [0, 0, 1])))
    np.testing.assert_array_equal(state.pose, np.eye(4))


def test_reset_returns_to_the_origin_with_certainty():
    odometry = Odometry(FORWARD)
    odometry.integrate(motion(se3.transform(np.eye(3), [0, 0, 1])))
    odometry.reset()
    np.testing.assert_array_equal(odometry.state.pose, np.eye(4))
    assert not odometry.state.covariance.any()
    assert odometry.state.twist is None
