"""Two frames and K tell motion and depth, or say why they do not; on scenes known exactly."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from support.training_helpers import Room

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.se3 import inverse
from depth_motion_ros.geometry.two_view import (
    Matches,
    NoParallaxError,
    TwoView,
    match,
    resected,
    two_view,
)
from depth_motion_ros.sources.frame import GroundTruth
from depth_motion_ros.sources.simulated import open_simulator

STANDS = "stood still or only turned: a turn explains"


class Pair(NamedTuple):
    """Two gray images, K, true depth of the first and true motion (4, 4) of its points."""

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    K: NDArray[np.float64]
    depth: NDArray[np.float32]
    motion: NDArray[np.float64]


def gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def rendered(name: str, width: int, height: int, rate: float, index: int) -> Pair:
    source = open_simulator(f"sim:{name}", width=width, height=height, rate=rate)
    first, second = source.frame(index), source.frame(index + 1)
    depth, here = pose_and_depth(first.truth)
    _, there = pose_and_depth(second.truth)
    return Pair(
        gray(first.image), gray(second.image), source.camera.K, depth, inverse(there) @ here
    )


def pose_and_depth(truth: GroundTruth | None) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    assert truth is not None
    assert truth.depth is not None
    assert truth.pose is not None
    return truth.depth, truth.pose


@pytest.fixture(scope="module")
def sideways() -> Pair:
    """A room, 0.155 m to the right: between frames 2 and 3 its path does not go ahead."""
    room = Room(4, 320, 240)
    motion = inverse(room.poses[3]) @ room.poses[2]
    first, second = gray(room.images[2]), gray(room.images[3])
    return Pair(first, second, room.true_camera.K, room.depths[2], motion)


@pytest.fixture(scope="module")
def ahead() -> Pair:
    """A yard, 0.19 m straight ahead, with its lens, noise and light."""
    return rendered("yard", 416, 208, 6.0, 3)


@pytest.fixture(params=["sideways", "ahead"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return request.getfixturevalue(request.param)


def seen(pair: Pair, seed: int = 0) -> TwoView:
    return two_view(pair.first, pair.second, pair.K, seed)


def degrees_between(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    return float(np.degrees(Rotation.from_matrix(one.T @ two).magnitude()))


def error_of(depth: NDArray[np.float32], pair: Pair) -> NDArray[np.float64]:
    """Relative error of the pixels that are known, after one factor."""
    known = np.isfinite(depth) & np.isfinite(pair.depth)
    ratio = depth[known] / pair.depth[known]
    return np.abs(ratio / np.median(ratio) - 1)


def test_motion_is_found_in_direction_and_rotation(pair: Pair) -> None:
    found = seen(pair)
    # Measured 0.01 to 0.04 degrees: a tenth of a pixel at f = 250.
    assert degrees_between(found.rotation, pair.motion[:3, :3]) < 0.1
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-9)
    # The way counts as 1. Measured 0.3 and 1.3 degrees.
    assert np.linalg.norm(found.translation) == pytest.approx(1.0)
    true = pair.motion[:3, 3] / np.linalg.norm(pair.motion[:3, 3])
    assert np.degrees(np.arccos(found.translation @ true)) < 3.0


def test_depth_is_that_of_the_scene_up_to_the_length_of_the_way(pair: Pair) -> None:
    found = seen(pair)
    known = np.isfinite(found.depth)
    # Measured: 0.69 and 0.40 of the pixels with a mean of 0.025 and 0.073, medians 0.008 and 0.042.
    assert known.mean() > 0.3
    error = error_of(found.depth, pair)
    assert error.mean() < 0.12
    assert np.median(error) < 0.06
    both = known & np.isfinite(pair.depth)
    way = np.median(pair.depth[both] / found.depth[both])
    assert way == pytest.approx(np.linalg.norm(pair.motion[:3, 3]), rel=0.05)


def test_depth_is_positive_where_known_and_nan_elsewhere(pair: Pair) -> None:
    found = seen(pair)
    assert found.depth.dtype == np.float32
    assert found.depth.shape == pair.first.shape
    known = np.isfinite(found.depth)
    assert (found.depth[known] > 0).all()
    assert np.isnan(found.depth[~known]).all()
    # The strip that has left the second image cannot be known.
    assert (~known).any()


def test_the_sky_stays_unknown(ahead: Pair) -> None:
    sky = np.isnan(ahead.depth)
    assert sky.any()
    # It is infinitely far: what is believed of it are blurred silhouettes in front of it.
    assert np.isfinite(seen(ahead).depth[sky]).mean() < 0.05


def test_parallax_is_how_far_translation_alone_moves_a_pixel(sideways: Pair) -> None:
    found = seen(sideways)
    K, motion = sideways.K, sideways.motion
    size = sideways.first.shape[::-1]
    points = Camera(K, *size).rays() * sideways.depth[..., None]
    turned = points @ motion[:3, :3].T

    def pixels(at: NDArray[np.float64]) -> NDArray[np.float64]:
        projected = at @ K.T
        return projected[..., :2] / projected[..., 2:]

    true = np.linalg.norm(pixels(turned + motion[:3, 3]) - pixels(turned), axis=2)
    known = np.isfinite(found.depth)
    # Errors of the flow, of which parallax is the rest: measured 0.1 pixel of 5.7.
    assert np.median(np.abs(found.parallax - true)[known]) < 0.3
    # Below 2 pixels it would be noise.
    assert found.parallax[known].min() > 2


def test_more_parallax_means_less_error(ahead: Pair) -> None:
    found = seen(ahead)
    known = np.isfinite(found.depth) & np.isfinite(ahead.depth)
    parallax, error = found.parallax[known], error_of(found.depth, ahead)
    # An error of flow weighs the less the more parallax there is: by theory a quarter of the error
    # or less. Half, since what has most parallax is near, where the flow is worse.
    assert np.median(error[parallax > 8]) < 0.5 * np.median(error[parallax < 4])


def test_the_same_seed_gives_the_same_bits_and_another_other_samples(ahead: Pair) -> None:
    one, again, other = seen(ahead, 7), seen(ahead, 7), seen(ahead, 8)
    np.testing.assert_array_equal(one.depth, again.depth)
    np.testing.assert_array_equal(one.rotation, again.rotation)
    np.testing.assert_array_equal(one.translation, again.translation)
    assert not np.array_equal(one.translation, other.translation)


def test_backwards_is_the_inverse(sideways: Pair) -> None:
    there = seen(sideways)
    back = two_view(sideways.second, sideways.first, sideways.K)
    # Two independent estimates: twice the errors of one.
    assert degrees_between(back.rotation.T, there.rotation) < 0.2
    # x' = R x + t becomes x = R^T x' - R^T t.
    assert np.degrees(np.arccos(-(there.rotation @ back.translation) @ there.translation)) < 6


def turned(image: NDArray[np.uint8], K: NDArray, rotation: list[float]) -> NDArray[np.uint8]:
    """What a camera that turns by a rotation vector sees, border and all."""
    homography = K @ cv2.Rodrigues(np.array(rotation))[0] @ np.linalg.inv(K)
    size = image.shape[1], image.shape[0]
    return np.asarray(
        cv2.warpPerspective(image, homography, size, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


@pytest.mark.parametrize(
    "rotation", [[0.0, 0.02, 0.0], [0.0, 0.06, 0.0], [0.03, -0.04, 0.05], [0.0, 0.0, 0.1]]
)
def test_a_camera_that_only_turns_tells_nothing(ahead: Pair, rotation: list[float]) -> None:
    with pytest.raises(NoParallaxError, match=STANDS):
        two_view(ahead.first, turned(ahead.first, ahead.K, rotation), ahead.K)


@pytest.mark.parametrize(("factor", "rotation"), [(1.1, [0.0, 0.12, 0.0]), (1.2, [0.1, 0.0, 0.05])])
def test_a_wrong_focal_length_does_not_make_a_turn_look_like_a_way(
    ahead: Pair, factor: float, rotation: list[float]
) -> None:
    """It did: 77 % of the image had "parallax", as in hand-held video, whose K is never exact."""
    wrong = ahead.K * np.array([[factor], [factor], [1.0]])
    wrong[:2, 2] = ahead.K[:2, 2]
    with pytest.raises(NoParallaxError, match=STANDS):
        two_view(ahead.first, turned(ahead.first, ahead.K, rotation), wrong)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_camera_that_stands_still_tells_nothing(ahead: Pair, noise: float) -> None:
    rng = np.random.default_rng(0)
    again = ahead.first + noise * rng.standard_normal(ahead.first.shape)
    with pytest.raises(NoParallaxError, match=STANDS):
        two_view(ahead.first, np.clip(again, 0, 255).astype(np.uint8), ahead.K)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_walls_without_texture_tell_nothing(ahead: Pair, noise: float) -> None:
    rng = np.random.default_rng(0)
    shape = ahead.first.shape
    blank = [(128 + noise * rng.standard_normal(shape)).astype(np.uint8) for _ in range(2)]
    with pytest.raises(NoParallaxError, match="pixels have texture"):
        two_view(*blank, ahead.K)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("one", "other"), [("indoor", "crowd"), ("handheld", "indoor")])
def test_unrelated_images_are_not_taken_for_a_motion(one: str, other: str, seed: int) -> None:
    """Without a least share of pixels that are followed, chance matches agreed on a motion."""
    images = [open_simulator(f"sim:{n}", width=320, height=240, rate=6.0) for n in (one, other)]
    first, second = (gray(source.frame(5).image) for source in images)
    with pytest.raises(NoParallaxError, match="is found in the other image"):
        two_view(first, second, images[0].camera.K, seed)


def test_matches_lead_to_where_the_points_are(sideways: Pair) -> None:
    found = match(sideways.first, sideways.second)
    points = Camera(sideways.K, 320, 240).rays() * sideways.depth[..., None]
    seen_from_there = points @ sideways.motion[:3, :3].T + sideways.motion[:3, 3]
    projected = seen_from_there @ sideways.K.T
    true = projected[..., :2] / projected[..., 2:]
    error = np.linalg.norm(found.target - true, axis=2)[found.good]
    # Measured 0.1 pixel; edges, where the flow is a blend of two, make the tail.
    assert np.median(error) < 0.25
    assert (error < 1).mean() > 0.9
    limit = np.array([319, 239])
    assert ((found.target >= 0) & (found.target <= limit)).all(axis=2)[found.good].all()


def test_samples_are_good_pixels_each_once() -> None:
    good = np.zeros((60, 80), bool)
    good[10:40, 20:60] = True
    found = Matches(np.zeros((60, 80, 2), np.float32), good)
    # 1,200 good pixels, fewer than are ever drawn.
    assert sorted(found.sampled(0)) == np.flatnonzero(good).tolist()
    left = np.zeros_like(good)
    left[:, :40] = True
    assert sorted(found.sampled(0, left)) == np.flatnonzero(good & left).tolist()
    with pytest.raises(NoParallaxError, match="only 300 pixels could be followed"):
        found.sampled(0, np.indices(good.shape)[1] < 30)


@pytest.mark.parametrize("unit", [1.0, 0.25])
def test_motion_from_depth_is_in_the_unit_of_the_depth(pair: Pair, unit: float) -> None:
    matches = match(pair.first, pair.second)
    rotation, translation = resected(unit * pair.depth, matches, pair.K)
    # Measured 0.04 degrees, and 0.03 of the length of the way.
    assert degrees_between(rotation, pair.motion[:3, :3]) < 0.1
    way = np.linalg.norm(pair.motion[:3, 3])
    assert np.linalg.norm(translation / unit - pair.motion[:3, 3]) < 0.08 * way


def test_motion_from_depth_needs_no_parallax(ahead: Pair) -> None:
    """Unlike two views alone, depth that is known already tells a turn, and standing still."""
    rotation = [0.0, 0.04, 0.0]
    matches = match(ahead.first, turned(ahead.first, ahead.K, rotation))
    found, translation = resected(ahead.depth, matches, ahead.K)
    assert degrees_between(found, cv2.Rodrigues(np.array(rotation))[0]) < 0.1
    assert np.linalg.norm(translation) < 0.01 * np.nanmedian(ahead.depth)


def test_depth_of_another_scene_tells_no_motion(sideways: Pair) -> None:
    rng = np.random.default_rng(0)
    wrong = np.exp(rng.standard_normal(sideways.depth.shape)).astype(np.float32)
    with pytest.raises(NoParallaxError, match="do not agree on one motion"):
        resected(wrong, match(sideways.first, sideways.second), sideways.K)


def test_without_depth_there_is_no_motion_from_it(sideways: Pair) -> None:
    nothing = np.full_like(sideways.depth, np.nan)
    with pytest.raises(NoParallaxError, match="only 0 pixels could be followed"):
        resected(nothing, match(sideways.first, sideways.second), sideways.K)
