"""Small images keep telling the truth about their camera."""

from __future__ import annotations

import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.training.data.fit import FrameFit

SIZE = (640, 480)
CAMERA = Camera(np.array([[500.0, 0, 330], [0, 510, 230], [0, 0, 1]]), *SIZE)
RAY = np.array([0.05, -0.04, 1.0])


def blob(camera: Camera) -> np.ndarray:
    """An image of one soft spot where the camera sees RAY."""
    u, v, _ = camera.K @ RAY
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    spot = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 12**2))
    return np.repeat(spot.astype(np.uint8)[..., None], 3, axis=2)


def centre(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(float)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize(
    ("fit", "size"),
    [
        (FrameFit(416), (416, 312)),  # 480 * 416 / 640
        (FrameFit(320, 120), (320, 120)),
        (FrameFit(200, 240), (200, 240)),  # cuts at the sides
        (FrameFit(416, 128, "stretch"), (416, 128)),
        (FrameFit(800, 600), (800, 600)),  # grows
    ],
)
def test_the_camera_fits_the_small_image(fit: FrameFit, size: tuple[int, int]) -> None:
    image, camera = fit(blob(CAMERA), CAMERA)
    assert image.shape[1::-1] == size
    assert camera is not None
    assert camera.size == size
    seen = camera.K @ RAY
    np.testing.assert_allclose(centre(image), seen[:2], atol=0.1)  # pixels


def test_proportions_are_kept_and_nothing_is_enlarged_without_a_height() -> None:
    image = blob(CAMERA.resized(160, 120))
    same, camera = FrameFit(416)(image, None)
    assert same is image
    assert camera is None


def test_cropping_keeps_square_pixels_square() -> None:
    square = Camera.from_field_of_view(*SIZE, 1.0)
    _, camera = FrameFit(320, 120)(blob(square), square)
    assert camera is not None
    assert camera.fx == pytest.approx(camera.fy)
    _, stretched = FrameFit(416, 128, "stretch")(blob(square), square)
    assert stretched is not None
    assert stretched.fx / stretched.fy == pytest.approx((416 / 640) / (128 / 480))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((8,), "width must be at least 16 pixels, got 8"),
        ((416, 0), "height"),
        ((416, 128, "x"), "'x'"),
    ],
)
def test_impossible_fits_are_named(arguments: tuple, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        FrameFit(*arguments)
