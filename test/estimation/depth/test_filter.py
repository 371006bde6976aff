"""Depth is measured where the camera's motion allows it, and is the network's elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from support.depth_scenes import (
    CAMERA,
    PRIOR_STD,
    WIDTH,
    Rectangle,
    error_of,
    filtered,
    look,
    moving_camera,
)

from depth_motion_ros.estimation.depth.filter import DepthFilter, Step
from depth_motion_ros.estimation.scene_flow.optical_flow import dense_flow

WALL = [Rectangle(3.0)]
BOX = Rectangle(1.5, left=-0.4, right=0.4, top=-0.4, bottom=0.4, seed=1)
ASIDE = [0.04, 0.0, 0.0]


def in_front(depth):
    return depth < 2.0


def test_a_first_frame_has_the_networks_depth_and_its_error():
    (result,), (depth,) = filtered(WALL, moving_camera(1, ASIDE), 1.2)
    np.testing.assert_allclose(1 / result.inverse_depth, 1.2 * depth, rtol=1e-5)
    # Claims are calibrated: 1.5 times the network's, and 0.02.
    np.testing.assert_allclose(result.std, 1.5 * PRIOR_STD + 0.02, rtol=1e-5)


def sloping(scene, poses):
    """Depths as a network has them that believes the scene to slope from left to right."""
    slope = np.linspace(0.75, 1.25, WIDTH, dtype=np.float32)
    return [look(scene, pose)[1] * slope for pose in poses]


@pytest.mark.parametrize("scene", [WALL, [*WALL, BOX]], ids=["wall", "box"])
def test_the_network_is_put_right_where_the_motion_triangulates(scene):
    poses = moving_camera(7, ASIDE)
    results, depths = filtered(scene, poses, sloping(scene, poses))
    # 2 to 4 pixels of parallax a frame, followed to a tenth of a pixel; the network is off by 0.12.
    assert error_of(results[0], depths[0]) == pytest.approx(0.12, abs=0.01)
    assert error_of(results[-1], depths[-1]) < 0.03
    assert np.median(results[-1].std) < 0.2


def test_what_is_near_stands_out_where_the_network_sees_a_plane():
    scene = [*WALL, Rectangle(1.5, left=-0.4, seed=1)]
    poses = moving_camera(7, ASIDE)
    flat = [np.full_like(look(scene, pose)[1], 1.5) for pose in poses]
    results, depths = filtered(scene, poses, flat)
    near = in_front(depths[-1])
    told = 1 / results[-1].inverse_depth
    # Truly a factor of 2; by the network none.
    assert np.median(told[~near]) / np.median(told[near]) > 1.5


@pytest.mark.parametrize(
    ("step", "turn"), [([0.0] * 3, [0.0, 0.01, 0.0]), ([0.0] * 3, [0.0] * 3)], ids=["turn", "rest"]
)
def test_without_parallax_depth_stays_the_networks(step, turn):
    results, depths = filtered([*WALL, BOX], moving_camera(5, step, turn), 1.2)
    for result, depth in zip(results, depths, strict=True):
        # The network's own error.
        assert error_of(result, depth) == pytest.approx(0.2, abs=0.005)
    assert np.median(results[-1].std) == pytest.approx(1.5 * PRIOR_STD + 0.02, rel=0.01)


def test_what_was_measured_is_kept_at_rest():
    poses = moving_camera(7, ASIDE)
    poses += [poses[-1]] * 4
    results, depths = filtered(WALL, poses, sloping(WALL, poses))
    assert error_of(results[-1], depths[-1]) == pytest.approx(
        error_of(results[6], depths[6]), abs=0.005
    )


def test_a_box_that_moves_is_not_told_nearer_than_the_network_has_it():
    """It drives against the camera's way, at twice its parallax: it seems at half its distance."""
    mover = Rectangle(3.0, left=-0.3, right=0.3, top=-0.3, bottom=0.3, seed=1, velocity=-0.04)
    wall = [Rectangle(3.2)]
    poses = moving_camera(6, ASIDE)
    results, depths = filtered([*wall, mover], poses, 1.0)
    box = depths[-1] < 3.1
    # Measured it would be off by 0.5.
    assert error_of(results[-1], depths[-1], box) < 0.15
    assert error_of(results[-1], depths[-1], ~box) < 0.05


def test_odometry_that_is_misled_does_not_spoil_depth():
    """The odometry says a quarter of the way: all would be told at a quarter of its distance."""
    poses = moving_camera(6, ASIDE)
    told = moving_camera(6, [0.01, 0.0, 0.0])
    depth_filter = DepthFilter()
    results, depths = filtered([*WALL, BOX], poses, 1.0, told, depth_filter)
    assert error_of(results[-1], depths[-1]) < 0.02


def test_while_tracking_is_lost_the_network_is_told_and_geometry_is_kept():
    poses = moving_camera(7, ASIDE)
    depth_filter = DepthFilter()
    priors = sloping(WALL, poses)
    filtered(WALL, poses, priors, depth_filter=depth_filter)
    grey, depth = look(WALL, poses[-1])
    prior = 1 / priors[-1]
    lost = depth_filter.update(grey, prior, PRIOR_STD, CAMERA, Step(dense_flow(grey, grey), None))
    np.testing.assert_array_equal(lost.inverse_depth, prior)
    assert error_of(depth_filter.at_rest(prior, PRIOR_STD), depth) < 0.06


def test_a_new_unit_of_length_changes_what_is_kept_alike():
    poses = moving_camera(5, ASIDE)
    depth_filter = DepthFilter()
    results, _ = filtered(WALL, poses, 1.0, depth_filter=depth_filter)
    _, depth = look(WALL, poses[-1])
    longer = depth_filter.at_rest(1 / (2 * depth), PRIOR_STD, unit_change=2.0)
    np.testing.assert_allclose(longer.inverse_depth, results[-1].inverse_depth / 2, rtol=0.02)


def test_an_image_of_another_size_begins_anew():
    depth_filter = DepthFilter()
    filtered(WALL, moving_camera(4, ASIDE), 1.2, depth_filter=depth_filter)
    prior = np.full((64, 104), 0.5, np.float32)
    np.testing.assert_array_equal(depth_filter.at_rest(prior, PRIOR_STD).inverse_depth, prior)
