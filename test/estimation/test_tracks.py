from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.alignment_scenes import HEIGHT, WIDTH, disturbed, pairs

from depth_motion_ros.estimation.alignment.images import grey_of
from depth_motion_ros.estimation.alignment.tracks import follow

# Pixels, in both directions together. Measured: 0.14 to 0.22, with the noise of the simulated
# sensor and corners that lie on the outlines of things.
EXACT = 0.25


def followed(pair, *, image=None, previous=None, depth=None, start=None, weight=None):
    return follow(
        grey_of(pair.image if image is None else image),
        grey_of(pair.previous_image if previous is None else previous),
        np.asarray(1 / (pair.depth if depth is None else depth), np.float32),
        np.ones((HEIGHT, WIDTH), np.float32) if weight is None else weight,
        pair.motion if start is None else start,
        pair.camera,
    )


def missed(pair, tracks):
    """(N,) pixels from where the true depth and motion have each corner."""
    depth = pair.depth.ravel()[tracks.index]
    there = pair.camera.K @ (
        pair.motion[:3, :3] @ (tracks.rays * depth).astype(float) + pair.motion[:3, 3:]
    )
    return np.linalg.norm(tracks.target - there[:2] / there[2], axis=0)


@pytest.mark.parametrize("scene", ["drive", "handheld"])
def test_corners_are_found_again_where_they_are(scene):
    pair = pairs(scene, 5)[0]
    tracks = followed(pair)
    assert np.median(missed(pair, tracks)) < EXACT
    # Hundreds, and all over the image: in each quarter.
    assert tracks.inverse_depth.size > 200
    right, low = tracks.pixel[0] > WIDTH / 2, tracks.pixel[1] > HEIGHT / 2
    for quarter in (right & low, right & ~low, ~right & low, ~right & ~low):
        assert quarter.mean() > 0.05
    assert tracks.tried >= tracks.inverse_depth.size


def test_wrong_depth_and_motion_move_the_search_and_not_what_is_found():
    pair = pairs("drive", 5)[0]
    start = disturbed(pair.motion, 0.5, 0.3, np.random.default_rng(0))
    wrong = pair.depth * np.linspace(1.4, 1 / 1.4, WIDTH, dtype=np.float32)
    tracks = followed(pair, depth=wrong, start=start)
    assert np.median(missed(pair, tracks)) < EXACT
    # What the map says is handed on as it is.
    np.testing.assert_allclose(tracks.inverse_depth, 1 / wrong.ravel()[tracks.index], rtol=1e-6)


def test_exposure_does_not_move_corners():
    pair = pairs("handheld", 5)[0]
    darker = np.clip(pair.previous_image * 0.8 + 12, 0, 255).astype(np.uint8)
    assert np.median(missed(pair, followed(pair, previous=darker))) < EXACT


def test_a_blank_wall_has_no_corners():
    pair = pairs("handheld", 5)[0]
    blank = np.full_like(pair.image, 90)
    tracks = followed(pair, image=blank, previous=blank)
    assert tracks.tried == 0
    assert tracks.target.shape == (2, 0)


def test_what_is_not_there_any_more_is_not_found():
    pair = pairs("handheld", 5)[0]
    previous = pair.previous_image.copy()
    left = np.s_[:, : WIDTH // 2]
    previous[left] = np.random.default_rng(0).integers(0, 255, previous[left].shape)
    tracks = followed(pair, previous=previous)
    is_left = tracks.pixel[0] < WIDTH * 0.45
    # Half of all corners were there; by chance some find themselves in noise.
    assert is_left.mean() < 0.1
    assert np.median(missed(pair, tracks)[~is_left]) < EXACT


def test_corners_without_depth_are_left_out_and_weights_are_handed_on():
    pair = pairs("handheld", 5)[0]
    depth = pair.depth.copy()
    depth[:, : WIDTH // 2] = np.nan
    weight = np.linspace(0, 1, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, axis=0)
    tracks = followed(pair, depth=depth, weight=weight)
    assert tracks.pixel[0].min() >= WIDTH // 2
    np.testing.assert_allclose(tracks.weight, tracks.pixel[0] / (WIDTH - 1), rtol=1e-5)


def test_an_image_that_moved_by_pixels_is_followed_by_as_many():
    pair = pairs("handheld", 5)[0]
    there = np.float32([[1, 0, 6.5], [0, 1, -2.25]])
    previous = cv2.warpAffine(pair.image, there, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    # Nothing is known: six pixels are within the window's reach where the texture is coarse.
    tracks = followed(pair, previous=previous, start=np.eye(4))
    shift = tracks.target - tracks.pixel
    np.testing.assert_allclose(np.median(shift, axis=1), [6.5, -2.25], atol=0.1)
