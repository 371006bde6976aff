from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from depth_motion_ros.estimation.scene_flow.object_flow import object_flow

SHAPE = (4, 6)
DEPTH = np.full(SHAPE, 10, np.float32)


def field(vector) -> np.ndarray:
    return np.broadcast_to(np.array(vector, np.float32), (*SHAPE, 3)).copy()


def test_a_thing_that_came_from_the_left_moves_to_the_right():
    # 0.1 units further left (x = -0.1) than a static point would have been, 0.5 s ago, 2 m a unit.
    flow = object_flow(field([-0.1, 0, 0]), np.eye(3), DEPTH, 2.0, 0.5, 0, 0)
    np.testing.assert_allclose(flow.velocity, field([0.4, 0, 0]), rtol=1e-6)
    assert flow.moving_fraction == 1


def test_a_point_followed_through_two_frames_has_its_true_velocity():
    rng = np.random.default_rng(0)
    R = Rotation.from_rotvec([0.05, -0.1, 0.02]).as_matrix()
    t, dt, scale = rng.normal(size=3), 0.04, 3.0
    now = rng.normal(size=(*SHAPE, 3)) + np.array([0, 0, 10])
    velocity = rng.normal(size=(*SHAPE, 3))
    # Where the point was, in the current axes and then in the previous ones, in network units.
    before = now - velocity * dt / scale
    residual = (before @ R.T + t) - (now @ R.T + t)
    flow = object_flow(residual.astype(np.float32), R, DEPTH, scale, dt, 0, 0)
    np.testing.assert_allclose(flow.velocity, velocity, atol=1e-4)


@pytest.mark.parametrize("dt", [0.01, 0.1, 1.0])
def test_the_same_displacement_in_less_time_is_faster(dt):
    flow = object_flow(field([0, 0, -0.3]), np.eye(3), DEPTH, 1.0, dt, 0, 0)
    np.testing.assert_allclose(flow.velocity[..., 2], 0.3 / dt, rtol=1e-5)


def test_slower_than_the_threshold_is_exactly_zero():
    residual = field([0, 0, 0])
    residual[0, 0] = [-0.29, 0, 0]
    residual[0, 1] = [0, -0.31, 0]
    flow = object_flow(residual, np.eye(3), DEPTH, 1.0, 1.0, min_speed=0.3, min_ratio=0)
    assert not flow.velocity[0, 0].any()
    assert flow.velocity[0, 1, 1] == pytest.approx(0.31)
    assert flow.moving_fraction == pytest.approx(1 / 24)


def test_the_threshold_grows_with_depth():
    depth = np.full(SHAPE, 10, np.float32)
    depth[:, 3:] = 50
    # 0.02 of 10 m is 0.2 m/s, of 50 m it is 1 m/s.
    flow = object_flow(field([-0.5, 0, 0]), np.eye(3), depth, 1.0, 1.0, 0.1, min_ratio=0.02)
    assert (flow.velocity[:, :3, 0] == np.float32(0.5)).all()
    assert not flow.velocity[:, 3:].any()


def test_invalid_depth_has_no_velocity_and_does_not_count():
    depth = DEPTH.copy()
    depth[:, :3] = np.nan
    flow = object_flow(field([-0.5, 0, 0]), np.eye(3), depth, 1.0, 1.0, 0.1, 0.01)
    assert np.isnan(flow.velocity[:, :3]).all()
    assert (flow.velocity[:, 3:, 0] == np.float32(0.5)).all()
    assert flow.moving_fraction == 1


def test_without_any_valid_depth_nothing_moves():
    nowhere = np.full(SHAPE, np.nan, np.float32)
    flow = object_flow(field([1, 0, 0]), np.eye(3), nowhere, 1.0, 1.0, 0.1, 0.01)
    assert flow.moving_fraction == 0
    assert np.isnan(flow.velocity).all()


def test_static_pixels_do_not_move_even_without_a_threshold():
    flow = object_flow(field([0, 0, 0]), np.eye(3), DEPTH, 1.0, 1.0, 0, 0)
    assert flow.moving_fraction == 0
    assert not flow.velocity.any()
