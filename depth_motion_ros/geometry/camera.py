"""Pinhole camera intrinsics that stay true through resizing, cropping and flipping."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.lens import DISTORTION_MODELS as DISTORTION_MODELS
from depth_motion_ros.geometry.lens import EQUIDISTANT, PLUMB_BOB, lens_of
from depth_motion_ros.geometry.lens import CameraError as CameraError

# Outside of these no lens of a robot lies: they tell pixels from other units, and from garbage.
_MIN_FOCAL, _MAX_FOCAL = 0.05, 100.0  # in image widths or heights
_MAX_ASPECT = 4.0  # fx / fy, or its inverse
_MAX_SKEW = 0.2  # in focal lengths
_CORNER = 0.02  # in image widths and heights: no principal point lies there

RECTIFIED_WITHOUT_P = (
    "the images are rectified, but P is not given: K is used, which is right only if they were "
    "undistorted to K itself, as cv2.undistort does"
)


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one camera at one image size.

    Pixel centres lie at integer coordinates, so the image spans [-0.5, width - 0.5].

    K: (3, 3) float64, [[fx, s, cx], [0, fy, cy], [0, 0, 1]], in pixels.
    distortion: coefficients in the order of ``sensor_msgs/CameraInfo.d``; empty = zeros.
    distortion_model: what any writer calls it; kept as one of ``DISTORTION_MODELS``.

    What somebody else claims (a message, a file) is read by ``from_camera_info`` and
    ``from_calibration``, which also ask whether it can be true.

    Raises CameraError for a K that is not finite, not (3, 3), not upper triangular with a last
    row of 0, 0, 1, or has a focal length <= 0; for a size below 1 pixel; for a lens that is
    unknown or whose number of coefficients does not fit (see ``lens_of``).
    """

    K: NDArray[np.float64]
    width: int
    height: int
    distortion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    distortion_model: str = PLUMB_BOB

    def __post_init__(self) -> None:
        K = np.array(self.K, dtype=np.float64)
        distortion = np.array(self.distortion, dtype=np.float64).reshape(-1)
        if K.shape != (3, 3):
            raise CameraError(f"K must be 3x3, got shape {K.shape}")
        if not np.isfinite(K).all():
            raise CameraError(f"K has non-finite entries: {K.reshape(-1).tolist()}")
        if K[0, 0] <= 0 or K[1, 1] <= 0:
            raise CameraError(f"focal lengths must be positive, got fx={K[0, 0]}, fy={K[1, 1]}")
        if self.width < 1 or self.height < 1:
            raise CameraError(f"image size must be at least 1x1, got {self.width}x{self.height}")
        if not np.isfinite(distortion).all():
            raise CameraError(f"distortion has non-finite entries: {distortion.tolist()}")
        _check_form(K)
        model, distortion = lens_of(self.distortion_model, distortion)
        K.setflags(write=False)
        distortion.setflags(write=False)
        object.__setattr__(self, "K", K)
        object.__setattr__(self, "distortion", distortion)
        object.__setattr__(self, "distortion_model", model)

    @property
    def fx(self) -> float:
        return float(self.K[0, 0])

    @property
    def fy(self) -> float:
        return float(self.K[1, 1])

    @property
    def cx(self) -> float:
        return float(self.K[0, 2])

    @property
    def cy(self) -> float:
        return float(self.K[1, 2])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    @property
    def is_distorted(self) -> bool:
        return self.distortion_model == EQUIDISTANT or bool(self.distortion.any())

    def same_as(self, other: Camera, tolerance: float = 1e-9) -> bool:
        """Whether both describe the same size, K and distortion, to a relative tolerance."""
        return (
            self.size == other.size
            and self.is_distorted == other.is_distorted
            and np.allclose(self.K, other.K, rtol=tolerance, atol=tolerance)
            and (
                not self.is_distorted
                or (
                    self.distortion_model == other.distortion_model
                    and self.distortion.shape == other.distortion.shape
                    and np.allclose(
                        self.distortion, other.distortion, rtol=tolerance, atol=tolerance
                    )
                )
            )
        )

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the same view sampled at another size; the aspect ratio may change."""
        sx, sy = width / self.width, height / self.height
        K = self.K.copy()
        K[0, :2] *= sx
        K[1, 1] *= sy
        K[0, 2] = (K[0, 2] + 0.5) * sx - 0.5
        K[1, 2] = (K[1, 2] + 0.5) * sy - 0.5
        return replace(self, K=K, width=width, height=height)

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The camera of the window whose top left pixel is (x, y)."""
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise CameraError(
                f"crop {width}x{height}+{x}+{y} leaves the {self.width}x{self.height} image"
            )
        K = self.K.copy()
        K[0, 2] -= x
        K[1, 2] -= y
        return replace(self, K=K, width=width, height=height)

    def flipped(self) -> Camera:
        """The camera of the horizontally mirrored image: cx becomes width - 1 - cx."""
        K = self.K.copy()
        K[0, 1] = -K[0, 1]
        K[0, 2] = self.width - 1 - K[0, 2]
        return replace(self, K=K)

    def undistorted(self) -> Camera:
        """The same K without distortion: the camera of the rectified image."""
        return replace(self, distortion=np.zeros(0), distortion_model=PLUMB_BOB)

    def rays(self) -> NDArray[np.float32]:
        """Directions K^-1 (u, v, 1) of every pixel, (height, width, 3), with z = 1.

        Distortion is not applied: rectify first.
        """
        u, v = np.meshgrid(np.arange(self.width), np.arange(self.height))
        y = (v - self.cy) / self.fy
        x = (u - self.cx - self.K[0, 1] * y) / self.fx
        return np.stack((x, y, np.ones_like(x)), axis=-1).astype(np.float32)

    @classmethod
    def from_field_of_view(cls, width: int, height: int, horizontal_fov: float) -> Camera:
        """A centred camera with square pixels. horizontal_fov: radians, in (0, pi)."""
        if not 0 < horizontal_fov < np.pi:
            raise CameraError(f"field of view must lie in (0, pi) rad, got {horizontal_fov}")
        focal = 0.5 * width / np.tan(0.5 * horizontal_fov)
        K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        return cls(K, width, height)

    @classmethod
    def from_calibration(
        cls,
        K: Any,
        width: int,
        height: int,
        distortion: Any = (),
        distortion_model: str = PLUMB_BOB,
        *,
        P: Any = None,
        rectified: bool = False,
        is_window: bool = False,
    ) -> Camera:
        """Camera of what a file or a message claims.

        K: 9 numbers, row by row. P: 12, of the rectified image; None or zeros = not known.
        rectified: the images are rectified already: P holds, and no distortion. Without P, K does.
        is_window: the image may be a part of what the sensor sees, with its centre elsewhere.

        Raises CameraError for what cannot be: see Camera; K or P transposed, the identity, in
        units of the image's size or in millimetres; a principal point at 0, 0 or outside.
        """
        matrix = np.asarray(K, dtype=np.float64)
        if rectified and is_given(P):
            matrix = np.asarray(P, dtype=np.float64).reshape(3, -1)[:, :3]
        elif matrix.size == 9:
            matrix = matrix.reshape(3, 3)
        if rectified:
            distortion, distortion_model = (), PLUMB_BOB
        camera = cls(matrix, int(width), int(height), np.asarray(distortion), distortion_model)
        _check_claim(camera, is_window)
        return camera

    @classmethod
    def from_camera_info(cls, info: Any, *, rectified: bool = False) -> Camera:
        """Camera of a ``sensor_msgs/CameraInfo`` (any object with its fields).

        K describes the full sensor; binning and region of interest are applied, so the result
        fits the image that comes with the message (REP-104).
        rectified: the images are, as those of a topic image_rect: P holds (see from_calibration).

        Raises CameraError where K[0] = 0 (uncalibrated), or what is said cannot be.
        """
        camera = cls.from_calibration(
            info.k,
            info.width,
            info.height,
            info.d,
            str(info.distortion_model),
            P=getattr(info, "p", None),
            rectified=rectified,
        )
        roi = info.roi
        if roi.width and roi.height:
            camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
        bin_x, bin_y = max(1, int(info.binning_x)), max(1, int(info.binning_y))
        if bin_x > 1 or bin_y > 1:
            camera = camera.resized(camera.width // bin_x, camera.height // bin_y)
        return camera


def is_given(matrix: Any) -> bool:
    """Whether a K or P was filled in: drivers leave what they do not know at zeros."""
    return matrix is not None and len(matrix) > 0 and bool(np.any(matrix))


def _check_form(K: NDArray[np.float64]) -> None:
    if np.allclose(K[[1, 2, 2], [0, 0, 1]], 0) and np.isclose(K[2, 2], 1):
        return
    row_by_row = f"got {K.reshape(-1).tolist()}"
    if np.allclose(K.T[[1, 2, 2], [0, 0, 1]], 0) and np.isclose(K[2, 2], 1):
        raise CameraError(
            f"K is transposed: write it row by row, fx 0 cx 0 fy cy 0 0 1; {row_by_row}"
        )
    raise CameraError(f"K must be fx s cx, 0 fy cy, 0 0 1, row by row; {row_by_row}")


def _check_claim(camera: Camera, is_window: bool) -> None:
    """Whether these can be the intrinsics of an image of this size, in its pixels."""
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    size = f"{camera.width}x{camera.height}"
    values = f"fx={fx:g}, fy={fy:g}, cx={cx:g}, cy={cy:g}"
    in_size = fx / camera.width, fy / camera.height
    if min(in_size) < _MIN_FOCAL or max(in_size) > _MAX_FOCAL:
        raise CameraError(
            f"{values} cannot be pixels of a {size} image: is this the identity, in units of the "
            "image's size, or in millimetres? Give pixels"
        )
    if not 1 / _MAX_ASPECT < fx / fy < _MAX_ASPECT or abs(camera.K[0, 1]) > _MAX_SKEW * fx:
        raise CameraError(
            f"{values}, skew={camera.K[0, 1]:g}: no camera has such pixels; calibrate again"
        )
    near = 0.0 if is_window else _CORNER
    if abs(cx) <= near * camera.width and abs(cy) <= near * camera.height:
        raise CameraError(
            f"the principal point is {cx:g}, {cy:g}, a corner of the image: was it left out, or in "
            f"other units? It lies near the centre, {(camera.width - 1) / 2:g}, "
            f"{(camera.height - 1) / 2:g}"
        )
    inside = 0 < cx < camera.width - 1 and 0 < cy < camera.height - 1
    if not inside and not is_window:
        raise CameraError(
            f"the principal point {cx:g}, {cy:g} lies outside the {size} image: is the "
            "calibration of another size, or the image a window of the sensor (then set roi)?"
        )
