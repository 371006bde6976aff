"""Augmentation keeps images, intrinsics and masks true to one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.training.data.augment import (
    CropWindow,
    apply_jitter,
    apply_shade,
    draw_jitter,
    draw_window,
)
from depth_motion_ros.training.recipe import AugmentSection


def _dot(x: int, y: int, width: int = 64, height: int = 48) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_point_lands_where_the_new_camera_projects_it(mirrored: bool) -> None:
    camera = Camera.from_field_of_view(64, 48, 1.2)
    window = CropWindow(x=4, y=6, width=48, height=36, mirrored=mirrored)
    image = window.of_image(_dot(30, 20), 96, 72)
    ray = np.linalg.inv(camera.K) @ (30, 20, 1)
    # Mirroring the image mirrors the world.
    ray[0] *= -1 if mirrored else 1
    expected = window.of_camera(camera, 96, 72).K @ ray
    weights = image[..., 0].astype(float)
    rows, columns = np.mgrid[:72, :96]
    found = (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()
    # The dot's centre of mass after enlarging by two is exact but for rounding to bytes.
    np.testing.assert_allclose(found, expected[:2] / expected[2], atol=0.05)


def test_shrinking_averages_areas() -> None:
    # A one-pixel checkerboard becomes even gray; sampling would keep its extremes.
    board = np.indices((32, 32)).sum(0) % 2 * 200
    image = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    small = CropWindow(0, 0, 32, 32, False).of_image(image, 16, 16)
    assert (small == 100).all()


def test_masks_move_with_the_image() -> None:
    window = CropWindow(x=8, y=4, width=32, height=24, mirrored=True)
    image = window.of_image(_dot(20, 15), 64, 48)
    labels = window.of_labels((_dot(20, 15)[..., 0] > 0).astype(np.uint8), 64, 48)
    # Linear enlarging blurs the rim by less than a pixel: above half is what is inside.
    assert ((image[..., 0] > 127) == (labels > 0)).mean() > 0.99
    assert labels.any()


def test_crop_sides_are_drawn_independently_and_fit() -> None:
    recipe = AugmentSection(min_crop=0.5)
    windows = [draw_window(np.random.default_rng(i), 100, 80, recipe) for i in range(200)]
    shares = np.array([(w.width / 100, w.height / 80) for w in windows])
    assert shares.min() >= 0.49
    assert abs(np.corrcoef(shares.T)[0, 1]) < 0.2
    assert all(w.x >= 0 and w.x + w.width <= 100 for w in windows)
    assert all(w.y >= 0 and w.y + w.height <= 80 for w in windows)
    assert 60 < sum(w.mirrored for w in windows) < 140  # p = 0.5, 5.7 standard deviations


def test_jitter_of_ones_changes_nothing() -> None:
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(apply_jitter(images, torch.ones(2, 3)), images)


def test_gray_pairs_have_equal_channels() -> None:
    factors = draw_jitter(np.random.default_rng(0), AugmentSection(gray=1.0))
    gray = apply_jitter(torch.rand(1, 3, 8, 8), torch.from_numpy(factors)[None])
    torch.testing.assert_close(gray[:, 0], gray[:, 1])
    torch.testing.assert_close(gray[:, 0], gray[:, 2])


def test_jitter_maps_equal_colours_to_equal_colours() -> None:
    # Else the warp could not explain one frame by the other: a colour in two images that differ
    # elsewhere must change alike.
    one, two = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    two[..., 0, 0] = one[..., 0, 0]
    factors = torch.tensor([[1.1, 0.8, 1.2]])
    a, b = apply_jitter(one, factors), apply_jitter(two, factors)
    torch.testing.assert_close(a[..., 0, 0], b[..., 0, 0])


def test_false_shadows_darken_within_their_strength_and_nothing_else() -> None:
    torch.manual_seed(0)
    images = torch.full((16, 3, 32, 64), 0.8)
    shaded = apply_shade(images, 0.75)
    assert torch.equal(apply_shade(images, 0.0), images)
    assert float(shaded.max()) <= 0.8 + 1e-6
    assert float(shaded.min()) >= 0.8 * 0.25 - 1e-6
    # Light has no colour of its own, and shadows are uneven within nearly every image.
    assert torch.equal(shaded[:, 0], shaded[:, 2])
    assert int((shaded.std(dim=(1, 2, 3)) > 0.01).sum()) >= 12
