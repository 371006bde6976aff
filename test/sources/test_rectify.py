"""Rectified images show straight what is straight, with intrinsics that say so."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera, CameraError
from depth_motion_ros.sources.rectify import (
    Rectifier,
    distort,
    is_rectified_topic,
    rectified_camera,
)

WIDTH, HEIGHT = 320, 240
K = np.array([[200.0, 0, 158], [0, 205, 121], [0, 0, 1]])
LENSES = {
    "barrel": ("plumb_bob", [-0.25, 0.06, 1e-3, -5e-4, 0.0]),
    "pincushion": ("plumb_bob", [0.2, 0.0, 0.0, 0.0]),
    "rational": ("rational_polynomial", [0.3, 0.05, 1e-4, 2e-4, 0.01, 0.6, 0.1, 0.02]),
    "fisheye": ("equidistant", [-0.02, 0.005, -0.003, 0.001]),
    "ideal fisheye": ("equidistant", [0.0, 0.0, 0.0, 0.0]),
}


def lens(name: str) -> Camera:
    model, coefficients = LENSES[name]
    return Camera(K, WIDTH, HEIGHT, np.array(coefficients), model)


def model_pixels(camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The lens models written out, as sensor_msgs/CameraInfo and REP-104 refer to them."""
    d = np.zeros(8)
    d[: camera.distortion.size] = camera.distortion
    r2 = x * x + y * y
    if camera.distortion_model == "equidistant":
        r = np.sqrt(r2)
        theta = np.arctan(r)
        bent = theta * (1 + d[0] * theta**2 + d[1] * theta**4 + d[2] * theta**6 + d[3] * theta**8)
        factor = np.where(r > 0, bent / np.maximum(r, 1e-12), 1)
        u, v = x * factor, y * factor
    else:
        k1, k2, p1, p2, k3, k4, k5, k6 = d
        factor = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        u = x * factor + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * factor + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([camera.fx * u + camera.cx, camera.fy * v + camera.cy], -1)


@pytest.mark.parametrize("name", LENSES)
def test_the_lens_models_are_the_published_ones(name: str) -> None:
    camera = lens(name)
    x, y = np.meshgrid(np.linspace(-0.7, 0.7, 9), np.linspace(-0.5, 0.5, 7))
    directions = np.stack([x.ravel(), y.ravel()], -1)
    expected = model_pixels(camera, x.ravel(), y.ravel())
    np.testing.assert_allclose(distort(camera, directions), expected, atol=1e-6)


def picture(pixels: np.ndarray) -> np.ndarray:
    """A smooth picture as a function of position: sampling it anywhere is exact."""
    u, v = pixels[..., 0], pixels[..., 1]
    red = 128 + 60 * np.sin(u / 25) + 60 * np.cos(v / 30)
    return np.clip(np.stack([red, 0.5 * u, v], -1), 0, 255)


@pytest.mark.parametrize("name", LENSES)
def test_each_rectified_pixel_shows_the_ray_of_its_camera(name: str) -> None:
    camera = lens(name)
    grid = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1)
    rectified, pinhole = Rectifier()(picture(grid).round().astype(np.uint8), camera)
    assert not pinhole.is_distorted
    assert pinhole.size == (WIDTH, HEIGHT)
    rays = pinhole.rays().astype(np.float64)
    expected = picture(model_pixels(camera, rays[..., 0], rays[..., 1]))
    inside = (slice(4, -4), slice(4, -4))  # beyond, the neighbour of a sample can be missing
    # 4: a tenth of a grey level by rounding twice, and a slope of 2.4 levels a pixel
    assert np.abs(rectified.astype(float) - expected)[inside].max() < 4


@pytest.mark.parametrize("name", LENSES)
def test_no_pixel_is_left_black(name: str) -> None:
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    rectified, pinhole = Rectifier()(white, lens(name))
    # In a corner both ways a quarter of a pixel may lie beyond the sensor: 255 * 0.75 ** 2 = 143.
    assert rectified.min() >= 140
    if name == "barrel":  # a lens that sees more keeps its focal length
        np.testing.assert_array_equal(pinhole.K, K)
    if name == "pincushion":
        assert pinhole.fx > K[0, 0]
        assert pinhole.fx / pinhole.fy == pytest.approx(K[0, 0] / K[1, 1])


def test_an_undistorted_image_is_handed_back_as_it_is() -> None:
    camera = Camera(K, WIDTH, HEIGHT)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    same, unchanged = Rectifier()(image, camera)
    assert same is image
    assert unchanged is camera


def test_another_camera_gets_other_maps() -> None:
    rectifier = Rectifier()
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    first, _ = rectifier(image, lens("barrel"))
    second, _ = rectifier(image, lens("fisheye"))
    again, _ = rectifier(image, lens("barrel"))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_what_does_not_fit_is_named() -> None:
    image = np.zeros((100, WIDTH, 3), np.uint8)
    with pytest.raises(CameraError, match="320x100, the camera is for 320x240"):
        Rectifier()(image, lens("barrel"))
    with pytest.raises(CameraError, match="equidistant takes 4 coefficients, got 3"):
        Camera(K, WIDTH, HEIGHT, np.array([0.1, 0.2, 0.3]), "equidistant")


# Coefficients, focal length, and where the polynomial first folds back (see test_lens.py).
FOLDED = [
    ([-0.2, 0.01, 0, 0, 0.0], 240.0, 1.41),
    ([-0.35, 0.05, 0, 0, 0.0], 330.0, 1.208),
    ([-0.28, 0.07, 0, 0, -0.0065], 230.0, 2.19),
    ([0.1, -0.12, 0, 0, 0], 300.0, 1.25),
]


@pytest.mark.parametrize(("d", "focal", "radius"), FOLDED)
def test_no_pixel_shows_a_ray_beyond_the_fold_of_the_lens(
    d: list[float], focal: float, radius: float
) -> None:
    """Beyond it the polynomial comes back: those pixels would be copies of others."""
    camera = Camera(
        np.array([[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]]), 640, 480, np.array(d)
    )
    rays = rectified_camera(camera).rays()
    assert np.hypot(rays[..., 0], rays[..., 1]).max() < radius + 0.005
    # What is shown grows with the angle, all the way to the corner.
    line = np.linspace(0, 1, 500)[:, None] * rays[0, 0, :2].astype(np.float64)
    pixels = distort(camera, line)
    assert (np.diff(np.hypot(*(pixels - [319.5, 239.5]).T)) > 0).all()


def test_a_fold_inside_the_image_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    rectify = Rectifier()
    white = np.full((480, 640, 3), 255, np.uint8)
    K = np.array([[240.0, 0, 319.5], [0, 240, 239.5], [0, 0, 1]])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            image, _ = rectify(white, Camera(K, 640, 480, np.array([-0.2, 0.01, 0, 0, 0])))
    assert image.min() >= 140
    assert caplog.text.count("folds back 217 pixels from the principal point") == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING):  # a lens that holds up to the corners
        rectify(white, Camera(K, 640, 480, np.array([-0.02, 0.005, -0.003, 0.001]), "equidistant"))
    assert not caplog.text


@pytest.mark.parametrize("d", [[-40.0, 0, 0, 0, 0], [-9.0, 2.0, 0, 0, 0]])
def test_a_lens_that_describes_next_to_nothing_is_refused(d: list[float]) -> None:
    with pytest.raises(CameraError, match="does not describe a 320x240 image with fx=200"):
        rectified_camera(Camera(K, WIDTH, HEIGHT, np.array(d)))


@pytest.mark.parametrize(
    ("topic", "is_rectified"),
    [
        ("/cam/image_rect", True),
        ("/cam/image_rect_color", True),
        ("/cam/image_rect/compressed", True),
        ("/left/image_rect_gray", True),
        ("/camera/rectified/image", True),
        ("/zed/rgb/image_rect_color", True),
        ("/cam/image_raw", False),
        ("/cam/image", False),
        ("/rectangle/image_raw", False),
        ("/direct/image_color", False),
        ("/cam/image_unrectified", False),
    ],
)
def test_the_name_of_a_topic_says_that_it_is_rectified(topic: str, is_rectified: bool) -> None:
    assert is_rectified_topic(topic) == is_rectified
