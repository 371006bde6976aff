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


def test_an_ideal_fisheye_is_a_lens_and_zeros_of_others_are_none() -> None:
    """r = f theta is not r = f tan(theta), however many zeros stand for the coefficients."""
    for zeros in ([], [0.0] * 4, [0.0] * 5):
        camera = Camera.from_camera_info(camera_info(d=zeros, distortion_model="equidistant"))
        assert camera.is_distorted
        assert camera.distortion.tolist() == [0, 0, 0, 0]
    for model in ("plumb_bob", "rational_polynomial", "", "none", "pinhole"):
        for count in (0, 4, 5, 8, 12, 14):
            camera = Camera.from_camera_info(camera_info(d=[0.0] * count, distortion_model=model))
            assert not camera.is_distorted
    assert not Camera(K, 320, 240).same_as(Camera(K, 320, 240, distortion_model="equidistant"))


@pytest.mark.parametrize(
    ("name", "count", "model"),
    [
        ("plumb_bob", 5, "plumb_bob"),
        ("radtan", 4, "plumb_bob"),
        ("Radial-Tangential", 5, "plumb_bob"),
        ("plumb_bob", 8, "rational_polynomial"),  # as OpenCV and image_proc take it
        ("rational_polynomial", 14, "rational_polynomial"),
        ("fisheye", 4, "equidistant"),
        ("KannalaBrandt8", 4, "equidistant"),
        ("equi", 4, "equidistant"),
    ],
)
def test_a_lens_goes_by_many_names(name: str, count: int, model: str) -> None:
    d = [0.01 * (index + 1) for index in range(count)]
    camera = Camera.from_camera_info(camera_info(d=d, distortion_model=name))
    assert camera.distortion_model == model
    assert camera.distortion.tolist() == d


@pytest.mark.parametrize(
    ("d", "model", "message"),
    [
        (
            [0.1, 0.0, 0.0, 0.0, 0.0],
            "",
            "5 distortion coefficients, but the distortion model is ''",
        ),
        ([0.1, 0.0, 0.0, 0.0], "none", "say which it is, plumb_bob, rational_polynomial"),
        ([0.1, 0.2, 0.3], "equidistant", "equidistant takes 4 coefficients, got 3"),
        ([0.1, 0.0], "plumb_bob", "plumb_bob takes 4 or 5 coefficients, got 2"),
        ([0.1] * 9, "rational_polynomial", "takes 4 or 5 or 8 or 12 or 14 coefficients, got 9"),
        # No zeros make a pinhole of what is no pinhole.
        ([0.0] * 4, "double_sphere", "unknown distortion model 'double_sphere'"),
    ],
)
def test_coefficients_that_leave_the_lens_open_are_refused(
    d: list[float], model: str, message: str
) -> None:
    with pytest.raises(CameraError, match=message):
        Camera.from_camera_info(camera_info(d=d, distortion_model=model))


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (K.T, "K is transposed: write it row by row"),
        ([300, 0, 0, 0, 280, 0, 159.5, 119.5, 1], "K is transposed"),
        (np.eye(3), "fx=1, fy=1, cx=0, cy=0 cannot be pixels of a 320x240 image"),
        ([0.94, 0, 0.5, 0, 1.17, 0.5, 0, 0, 1], "cannot be pixels .* units of the image's size"),
        ([1.9, 0, 0.0, 0, 2.3, 0.0, 0, 0, 1], "cannot be pixels"),  # of an image from -1 to 1
        ([4.0, 0, 2.4, 0, 4.0, 1.8, 0, 0, 1], "in millimetres"),
        ([0.004, 0, 159.5, 0, 0.004, 119.5, 0, 0, 1], "in millimetres"),
        ([3e6, 0, 159.5, 0, 3e6, 119.5, 0, 0, 1], "cannot be pixels"),
        ([300, 0, 159.5, 0, 20, 119.5, 0, 0, 1], "no camera has such pixels"),
        ([300, 250, 159.5, 0, 300, 119.5, 0, 0, 1], "skew=250: no camera has such pixels"),
        ([300, 0, 6.9e-310, 0, 300, 6.9e-310, 6.9e-310, 0, 0], "K must be fx s cx, 0 fy cy"),
        ([300, 0, 159.5, 0, 300, 119.5, 0, 0, 2], "K must be fx s cx, 0 fy cy, 0 0 1"),
        ([300, 0, 0, 0, 300, 0, 0, 0, 1], "the principal point is 0, 0, a corner of the image"),
        ([600, 0, 319.5, 0, 600, 239.5, 0, 0, 1], "319.5, 239.5 lies outside the 320x240 image"),
        ([300, 0, -20.0, 0, 300, 119.5, 0, 0, 1], "-20, 119.5 lies outside"),
    ],
)
def test_what_cannot_be_the_intrinsics_of_an_image_is_refused(k: object, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        Camera.from_camera_info(camera_info(k=np.asarray(k, float).reshape(-1).tolist()))


@pytest.mark.parametrize(
    "k",
    [
        [66.0, 0, 159.5, 0, 66.0, 119.5, 0, 0, 1],  # a fisheye of 280 degrees
        [9000.0, 0, 140.0, 0, 9000.0, 130.0, 0, 0, 1],  # a telescope
        [300.0, 0, 159.5, 0, 150.0, 119.5, 0, 0, 1],  # every second line of an interlaced image
        [300.0, 0.5, 40.0, 0, 300.0, 200.0, 0, 0, 1],  # a shifted lens
    ],
)
def test_unusual_lenses_are_believed(k: list[float]) -> None:
    assert Camera.from_camera_info(camera_info(k=k)).K.reshape(-1).tolist() == k


def test_a_region_of_interest_may_lie_beside_the_principal_point() -> None:
    roi = SimpleNamespace(x_offset=200, y_offset=0, width=100, height=100)
    assert Camera.from_camera_info(camera_info(roi=roi)).cx == 159.5 - 200
    window = Camera.from_calibration([300, 0, -40.5, 0, 300, 50, 0, 0, 1], 100, 100, is_window=True)
    assert window.cx == -40.5


def test_of_rectified_images_p_holds_without_distortion() -> None:
    P = [128.0, 0, 150.0, 0, 0, 130.0, 110.0, 0, 0, 0, 1, 0]
    stereo = [*P[:3], -12.5, *P[4:]]  # the right camera of a pair: its baseline is no matter
    for p in (P, stereo):
        info = camera_info(d=[-0.3, 0.1, 0, 0, 0], p=p)
        camera = Camera.from_camera_info(info, rectified=True)
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (128, 130, 150, 110)
        assert not camera.is_distorted
        assert Camera.from_camera_info(info).fx == 300  # the raw image's
    # A fisheye's is a pinhole after rectification, too; binning and roi belong to P as to K.
    fisheye = camera_info(
        d=[0.0] * 4, distortion_model="equidistant", p=P, binning_x=2, binning_y=2
    )
    camera = Camera.from_camera_info(fisheye, rectified=True)
    assert (camera.fx, camera.size, camera.distortion_model) == (64, (160, 120), "plumb_bob")
    # Where nobody gave P, K is the best there is.
    for p in ([0.0] * 12, []):
        without = camera_info(d=[-0.3, 0.1, 0, 0, 0], p=p)
        assert Camera.from_camera_info(without, rectified=True).same_as(Camera(K, 320, 240))
    with pytest.raises(CameraError, match="cannot be pixels"):
        Camera.from_camera_info(
            camera_info(p=[1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1, 0]), rectified=True
        )


def test_a_rectified_camera_is_plumb_bob() -> None:
    for model in ("equidistant", "rational_polynomial"):
        camera = Camera(K, 320, 240, np.full(4, 0.01), model).undistorted()
        assert camera.distortion_model == "plumb_bob"
        assert not camera.is_distorted
