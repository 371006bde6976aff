from __future__ import annotations

import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

CAMERA = Camera(np.array([[200, 0, 207.5], [0, 210, 63.5], [0, 0, 1]]), 416, 128)


def test_points_on_the_rays_project_back_to_their_pixels():
    depth = np.random.default_rng(0).uniform(1, 50, (128, 416))
    x, y = rays(CAMERA)
    pixels = np.stack((x * depth, y * depth, depth), axis=-1) @ CAMERA.K.T
    v, u = np.mgrid[:128, :416]
    np.testing.assert_allclose(pixels[..., 0] / pixels[..., 2], u, atol=1e-3)
    np.testing.assert_allclose(pixels[..., 1] / pixels[..., 2], v, atol=1e-3)


def test_two_cameras_in_turn_do_not_mix():
    wide = Camera(np.array([[100, 0, 207.5], [0, 105, 63.5], [0, 0, 1]]), 416, 128)
    narrow_x, wide_x = (rays(camera)[0][0, 0] for camera in (CAMERA, wide))
    assert wide_x == pytest.approx(2 * narrow_x)


def test_they_are_kept_and_cannot_be_written():
    x, _ = rays(CAMERA)
    assert rays(CAMERA)[0] is x
    with pytest.raises(ValueError, match="read-only"):
        x[:] = 0
