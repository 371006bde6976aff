from __future__ import annotations

import numpy as np
import pytest
from support.epipolar_scenes import CAMERA, NOISE, STRAIGHT, error_of, solved, street, tracks_of

from depth_motion_ros.estimation.alignment.depth_correction import DEPTH_COSINES, correction
from depth_motion_ros.estimation.alignment.triangulated_points import (
    TriangulatedPoints,
    smooth_error,
)
from depth_motion_ros.geometry import se3


def two_pairs(units=(1.0, 1.0), shape_error=0.0, count=400, seed=0):
    """The structures of two successive pairs of three frames, one metre apart.

    units: metres in a unit of the depth of the second and the third frame. shape_error: share by
    which their depth is too long on the left and too short on the right.
    """
    rng = np.random.default_rng(seed)
    pixel, depth = street(rng, count)
    structures = []
    for unit in units:
        lopsided = (1 + shape_error) ** np.linspace(1, -1, CAMERA.width)[pixel[0].astype(int)]
        tracks = tracks_of(pixel, depth, STRAIGHT, rng, told=depth * lopsided / unit)
        found = solved(tracks, STRAIGHT, max(shape_error, 0.1))
        structures.append(TriangulatedPoints.of(tracks, found, CAMERA))
        # The next frame is a metre further on and sees the same points.
        depth = depth - 1.0
        rays = np.linalg.inv(CAMERA.K) @ np.vstack((pixel, np.ones(pixel.shape[1])))
        points = rays * (depth + 1.0) - np.array([[0.0], [0.0], [1.0]])
        # Whole pixels, as corners are.
        pixel = np.rint((CAMERA.K @ points)[:2] / points[2])
        kept = (depth > 2) & (pixel > 6).all(axis=0)
        kept &= (pixel[0] < CAMERA.width - 7) & (pixel[1] < CAMERA.height - 7)
        pixel, depth = pixel[:, kept], depth[kept]
    return structures


@pytest.mark.parametrize("units", [(1.0, 1.0), (1.0, 1.1), (1.3, 1.0), (0.1, 0.2)])
def test_points_seen_twice_tell_the_ratio_of_the_units(units):
    before, after = two_pairs(units)
    factor, variance = after.unit_after(before)
    # Depth in the later unit, times the factor, is depth in the earlier one. A pixel beside and a
    # tenth of one in tracking leave 2 % to each point, and half a percent to the middle of them.
    assert factor == pytest.approx(np.log(units[1] / units[0]), abs=0.02)
    assert abs(factor - np.log(units[1] / units[0])) < 3 * np.sqrt(variance)
    assert variance < 0.02**2


def test_a_camera_that_hardly_moves_triangulates_nothing():
    """The logarithm of a depth that is mostly noise is wrong on the average, and the unit of length
    fell by half where a robot stopped."""
    rng = np.random.default_rng(0)
    slow = STRAIGHT.copy()
    # A centimetre: at most a fifth of a pixel but for what is nearest.
    slow[2, 3] = 0.01
    tracks = tracks_of(*street(rng), slow, rng)
    found = solved(tracks, slow, 0.2)
    assert TriangulatedPoints.of(tracks, found, CAMERA).log_depth.size < 20


def test_the_shape_of_depth_s_errors_does_not_matter():
    before, after = two_pairs((1.0, 1.1), shape_error=0.3)
    factor, _ = after.unit_after(before)
    assert factor == pytest.approx(np.log(1.1), abs=0.02)


def test_the_claimed_variance_is_that_of_many_draws():
    off = []
    for seed in range(20):
        before, after = two_pairs((1.0, 1.1), seed=seed)
        factor, variance = after.unit_after(before)
        off.append((factor - np.log(1.1)) / np.sqrt(variance))
    # Cautious, for neighbours are taken to be alike, but not by more than a factor of ten.
    assert 0.1 < np.sqrt(np.mean(np.square(off))) < 1.3


def test_a_neighbouring_point_is_another_point():
    before, after = two_pairs()
    # Beside each point there is one that is twice as near, a row below: on the outline of a thing.
    beside = before.pixel + np.array([[0], [1]], np.float32)
    both = TriangulatedPoints(
        np.hstack((before.pixel, beside)),
        np.hstack((before.previous_pixel, before.previous_pixel)),
        np.hstack((before.log_depth, before.log_depth - np.float32(np.log(2)))),
        np.hstack((before.log_previous_depth, before.log_previous_depth)),
        np.hstack((before.variance, before.variance)),
        before.size,
    )
    alone, _ = after.unit_after(before)
    assert after.unit_after(both)[0] == pytest.approx(alone, abs=0.02)


def test_too_few_points_compare_nothing():
    before, after = two_pairs()
    few = np.s_[:19]
    fewer = TriangulatedPoints(
        after.pixel[:, few],
        after.previous_pixel[:, few],
        after.log_depth[few],
        after.log_previous_depth[few],
        after.variance[few],
        after.size,
    )
    assert fewer.unit_after(before) is None


def test_images_of_another_size_compare_nothing():
    before, after = two_pairs()
    other = TriangulatedPoints(
        before.pixel,
        before.previous_pixel,
        before.log_depth,
        before.log_previous_depth,
        before.variance,
        (208, 64),
    )
    assert after.unit_after(other) is None


def test_only_what_lies_before_both_cameras_counts():
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    # A tenth is infinitely far by the depth map.
    told = np.where(np.arange(depth.size) % 10 == 0, np.inf, depth)
    tracks = tracks_of(pixel, depth, STRAIGHT, rng, told=told)
    triangulated = TriangulatedPoints.of(tracks, solved(tracks, STRAIGHT), CAMERA)
    assert np.isfinite(triangulated.log_depth).all()
    assert np.isfinite(triangulated.log_previous_depth).all()
    # The camera went ahead: all was a metre further away.
    was = np.exp(triangulated.log_previous_depth) - np.exp(triangulated.log_depth)
    assert np.median(was) == pytest.approx(1, abs=0.02)


def test_its_points_lie_where_they_are_seen():
    _, triangulated = two_pairs()
    points = triangulated.points(CAMERA.resized(CAMERA.width // 2, CAMERA.height // 2))
    np.testing.assert_allclose(points[2], np.exp(triangulated.log_depth), rtol=1e-5)
    seen = CAMERA.K @ points
    np.testing.assert_allclose(seen[:2] / seen[2], triangulated.pixel, atol=1e-2)


def lopsided(depth, pixel, share):
    return depth * (1 + share * np.cos(np.pi * (pixel[0] + 0.5) / CAMERA.width))


def test_a_smooth_error_of_depth_is_found_but_not_its_unit():
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    # A cosine is one of the waves; the map is in another unit besides.
    tracks = tracks_of(pixel, depth, STRAIGHT, rng, told=2.0 * lopsided(depth, pixel, 0.3))
    found = solved(tracks, se3.exp([0, 0, 2.0, 0, 0, 0]), 0.3)
    # The convention of the alignment: ln(depth) told over ln(depth) there is.
    error = -smooth_error(tracks, tracks, found, CAMERA, 0.3)
    factor = correction(error, *CAMERA.size)[64]
    x = np.arange(CAMERA.width)
    there = 1 + 0.3 * np.cos(np.pi * (x + 0.5) / CAMERA.width)
    left = np.log(factor * there)
    # Four fifths of it are taken out (neighbours are taken to err alike, and so are doubted), and
    # none of the unit.
    assert np.abs(left - left.mean()).mean() < 0.2 * np.abs(np.log(there)).mean()
    assert np.abs(np.log(factor).mean()) < 0.05
    assert error_of(found, STRAIGHT)[2] == pytest.approx(2.0, rel=0.1)


def test_noise_is_no_smooth_error():
    rng = np.random.default_rng(0)
    tracks = tracks_of(*street(rng), STRAIGHT, rng, NOISE)
    found = solved(tracks, STRAIGHT)
    assert not smooth_error(tracks, tracks, found, CAMERA, 0.1).any()


def test_without_good_tracks_no_error_is_found():
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    far = tracks_of(pixel, np.full_like(depth, 1e7), se3.exp([0, 0, 0, 0, 0.01, 0]), rng, 0.0)
    found = solved(far, se3.exp([0, 0, 1e-3, 0, 0.01, 0]))
    assert not found.good.any()
    np.testing.assert_array_equal(
        smooth_error(far, far, found, CAMERA, 0.1), np.zeros(DEPTH_COSINES)
    )
