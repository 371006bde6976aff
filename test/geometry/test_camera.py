"""Camera: intrinsics stay true through everything that is done to an image."""

from types import SimpleNamespace

import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera, CameraError

K = np.array([[300.0, 0.0, 159.5], [0.0, 280.0, 119.5], [0.0, 0.0, 1.0]])


def camera_info(**changes: object) -> SimpleNamespace:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    fields: dict[str, object] = {
        "k": K.reshape(-1).tolist(), "d": [], "distortion_model": "plumb_bob", "width": 320,
        "height": 240, "binning_x": 0, "binning_y": 0, "roi": roi,
    }  # fmt: skip
    return SimpleNamespace(**{**fields, **changes})


def project(camera: Camera, point: tuple[float, float, float]) -> tuple[float, float]:
    """Relative position in the image, 0 at its left or top border and 1 at the other."""
    u, v, w = camera.K @ np.array(point)
    return (u / w + 0.5) / camera.width, (v / w + 0.5) / camera.height


def test_resizing_keeps_a_points_relative_position() -> None:
    camera = Camera(K, 320, 240)
    resized = camera.resized(416, 128)
    assert resized.size == (416, 128)
    point = (0.3, -0.2, 2.0)
    assert project(resized, point) == pytest.approx(project(camera, point))
    assert resized.resized(320, 240).same_as(camera)


def test_cropping_moves_the_principal_point_only() -> None:
    cropped = Camera(K, 320, 240).cropped(10, 20, 200, 100)
    assert (cropped.cx, cropped.cy) == (149.5, 99.5)
    assert (cropped.fx, cropped.fy) == (300, 280)
    assert cropped.size == (200, 100)
    with pytest.raises(CameraError, match="leaves the 320x240 image"):
        Camera(K, 320, 240).cropped(200, 0, 200, 100)


def test_flipping_twice_is_identity_and_once_mirrors_the_principal_point() -> None:
    off_centre = K.copy()
    off_centre[0, 2] = 100
    camera = Camera(off_centre, 320, 240)
    assert camera.flipped().cx == 320 - 1 - 100
    assert camera.flipped().cy == camera.cy
    assert camera.flipped().flipped().same_as(camera)


def test_rays_project_back_onto_their_pixels() -> None:
    skewed = K.copy()
    skewed[0, 1] = 2.0
    camera = Camera(skewed, 32, 24)
    pixels = camera.rays() @ camera.K.T
    u, v = np.meshgrid(np.arange(32), np.arange(24))
    np.testing.assert_allclose(pixels[..., 0], u, atol=1e-3)  # float32 rays times 300 px
    np.testing.assert_allclose(pixels[..., 1], v, atol=1e-3)


def test_field_of_view_spans_the_image() -> None:
    camera = Camera.from_field_of_view(640, 480, np.pi / 2)
    # 90 degrees: the border, half an image from the centre, lies at 45 degrees
    assert camera.fx == pytest.approx(320)
    assert project(camera, (1, 0, 1))[0] == pytest.approx(1.0)
    with pytest.raises(CameraError, match="field of view"):
        Camera.from_field_of_view(640, 480, np.pi)


def test_camera_info_is_read_with_region_of_interest_and_binning() -> None:
    assert Camera.from_camera_info(camera_info()).same_as(Camera(K, 320, 240))
    roi = SimpleNamespace(x_offset=60, y_offset=40, width=200, height=160)
    camera = Camera.from_camera_info(camera_info(roi=roi, binning_x=2, binning_y=2))
    assert camera.size == (100, 80)
    assert camera.fx == pytest.approx(150)
    assert camera.cx == pytest.approx((159.5 - 60 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": [0.0] * 9}, "focal lengths must be positive"),
        ({"k": [float("nan")] * 9}, "non-finite"),
        ({"width": 0}, "at least 1x1, got 0x240"),
        ({"d": [0.1] * 5, "distortion_model": "magic"}, "unknown distortion model 'magic'"),
        ({"d": [float("inf")]}, "distortion has non-finite"),
    ],
)
def test_a_camera_info_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CameraError, match=message):
        Camera.from_camera_info(camera_info(**changes))


def test_zero_coefficients_are_no_distortion() -> None:
    camera = Camera.from_camera_info(camera_info(d=[0.0] * 5, distortion_model=""))
    assert not camera.is_distorted
    distorted = Camera.from_camera_info(camera_info(d=[0.1, 0.0, 0.0, 0.0, 0.0]))
    assert distorted.is_distorted
    assert not distorted.same_as(camera)
    assert not distorted.undistorted().is_distorted


def test_intrinsics_cannot_be_changed_by_accident() -> None:
    camera = Camera(K, 320, 240)
    with pytest.raises(ValueError, match="read-only"):
        camera.K[0, 0] = 1.0
    assert K[0, 0] == 300
