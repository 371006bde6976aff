"""The ground's height and tilt from points whose places are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.estimation_helpers import CAMERA, DEPTH, HEIGHT, SECOND, WIDTH

from depth_motion_ros.estimation.scale.camera_height import CameraHeightScale
from depth_motion_ros.estimation.scale.ground_plane import GroundPlane
from depth_motion_ros.estimation.scale.source import ScaleObservation
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL

PERIOD = SECOND // 10
NOISE = 0.03


def on_ground(count=200, height=1.5, pitch=0.0, camber=0.0, seed=0, far=8.0, mount=None):
    """(3, N) in optical axes: points of a plane; pitch, camber: its slopes."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(2, far, count) * height, rng.uniform(-2, 2, count) * height
    z = -height * np.hypot(np.hypot(1, pitch), camber) - pitch * x - camber * y
    rotation = (BODY_FROM_OPTICAL if mount is None else mount)[:3, :3]
    return rotation.T @ np.stack((x, y, z))


def seen_with_noise(points, seed=1):
    """The same, with errors along the lines of sight; and what they are said to be."""
    rng = np.random.default_rng(seed)
    count = points.shape[1]
    noisy = points * np.exp(NOISE * rng.normal(size=count))
    return noisy.astype(np.float32), np.full(count, NOISE**2, np.float32)


@pytest.mark.parametrize(("pitch", "camber"), [(0, 0), (0.03, 0), (-0.02, 0.03)])
def test_the_distance_from_a_tilted_plane_is_found(pitch, camber):
    points, variance = seen_with_noise(on_ground(800, pitch=pitch, camber=camber))
    plane = GroundPlane(BODY_FROM_OPTICAL)
    for index in range(20):
        found = plane.find(index * PERIOD, points, variance, 1.4)
    assert found.height == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize("turn", [[0, 0.5, 0], [0, 0, 1.5], [0.2, 0.3, -1.0]])
def test_however_the_camera_is_mounted(turn):
    mount = se3.exp([0, 0, 0, *turn]) @ BODY_FROM_OPTICAL
    points, variance = seen_with_noise(on_ground(mount=mount))
    found = GroundPlane(mount).find(0, points, variance, 1.5)
    assert found.height == pytest.approx(1.5, rel=0.02)


def test_an_expectation_may_be_off_by_a_third():
    points, variance = seen_with_noise(on_ground())
    for expected in (1.12, 2.0):
        found = GroundPlane(BODY_FROM_OPTICAL).find(0, points, variance, expected)
        assert found.height == pytest.approx(1.5, rel=0.03)


def test_pavements_bushes_and_walls_do_not_lift_it():
    rng = np.random.default_rng(3)
    road = on_ground(120)
    pavement = on_ground(60, height=1.35, seed=4)
    pavement[0] = rng.uniform(2.5, 4, 60)
    wall = np.stack((rng.uniform(-4, -3, 80), rng.uniform(-1.5, 1.5, 80), rng.uniform(3, 12, 80)))
    points, variance = seen_with_noise(np.concatenate((road, pavement, wall), axis=1))
    found = GroundPlane(BODY_FROM_OPTICAL).find(0, points, variance, 1.3)
    assert found.height == pytest.approx(1.5, rel=0.03)


def test_the_variance_covers_the_error():
    off = []
    for seed in range(40):
        points, variance = seen_with_noise(on_ground(150, pitch=0.02, seed=seed), seed + 100)
        found = GroundPlane(BODY_FROM_OPTICAL).find(0, points, variance, 1.5)
        off.append(np.log(found.height / 1.5) / np.sqrt(found.variance))
    assert np.abs(off).max() < 3


def test_the_tilt_is_remembered_and_makes_the_next_height_surer():
    points, variance = seen_with_noise(on_ground(60, pitch=0.03))
    plane = GroundPlane(BODY_FROM_OPTICAL)
    first = plane.find(0, points, variance, 1.5)
    for index in range(1, 20):
        points, variance = seen_with_noise(on_ground(60, pitch=0.03, seed=index), index)
        last = plane.find(index * PERIOD, points, variance, 1.5)
    assert last.variance < 0.6 * first.variance
    assert abs(last.height - 1.5) < 0.03


def test_too_few_points_far_below_or_uncertain_are_no_ground():
    plane = GroundPlane(BODY_FROM_OPTICAL)
    points, variance = seen_with_noise(on_ground(200))
    assert plane.find(0, points[:, :15], variance[:15], 1.5) is None
    assert plane.find(0, points, variance, 5.0) is None
    assert plane.find(0, points, np.full(200, 0.3**2, np.float32), 1.5) is None
    assert plane.find(0, points[:, :0], variance[:0], 1.5) is None


def test_a_ramp_steeper_than_five_degrees_is_no_ground():
    points, variance = seen_with_noise(on_ground(800, pitch=-0.13, far=4.0))
    plane = GroundPlane(BODY_FROM_OPTICAL)
    found = [plane.find(index * PERIOD, points, variance, 1.5) for index in range(50)]
    assert found[-1] is None


MOUNT = BODY_FROM_OPTICAL.copy()
MOUNT[2, 3] = 1.5
TRUE = 2.5


def observed(index, points=None):
    """Depth whose ground is a tenth too near, and points that are right."""
    rays = (np.arange(HEIGHT, dtype=np.float32) - CAMERA.cy) / np.float32(CAMERA.fy)
    with np.errstate(divide="ignore"):
        row = np.where(rays > 0, 0.9 * 1.5 / TRUE / rays, DEPTH)
    depth = np.repeat(row[:, None], WIDTH, axis=1).astype(np.float32)
    seen = ScaleObservation(index * PERIOD, depth, CAMERA)
    if points is None:
        return seen
    points, variance = seen_with_noise(points / TRUE, index)
    return replace(seen, points=points, point_variance=variance)


def test_what_was_triangulated_goes_before_what_the_network_thinks():
    source = CameraHeightScale(1.5, MOUNT)
    for index in range(10):
        scale = source.update(observed(index, on_ground(seed=index)))
    assert scale.value == pytest.approx(TRUE, rel=0.02)
    assert 0.03 <= np.sqrt(scale.variance) < 0.05


def test_without_texture_the_network_serves_after_two_seconds_and_claims_less():
    source = CameraHeightScale(1.5, MOUNT)
    for index in range(20):
        source.update(observed(index, on_ground(seed=index)))
    for index in range(20, 39):
        scale = source.update(observed(index))
    assert scale.value == pytest.approx(TRUE, rel=0.02)
    for index in range(39, 300):
        scale = source.update(observed(index))
    assert scale.value == pytest.approx(TRUE / 0.9, rel=0.02)
    assert np.sqrt(scale.variance) >= 0.05
    for index in range(300, 400):
        scale = source.update(observed(index, on_ground(seed=index)))
    assert scale.value == pytest.approx(TRUE, rel=0.03)
