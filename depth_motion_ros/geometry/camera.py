"""Pinhole camera intrinsics that stay true through resizing, cropping and flipping."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

DISTORTION_MODELS = ("plumb_bob", "rational_polynomial", "equidistant")


class CameraError(ValueError):
    """The intrinsics cannot describe a camera; the message says which value is wrong."""


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one camera at one image size.

    Pixel centres lie at integer coordinates, so the image spans [-0.5, width - 0.5].

    K: (3, 3) float64, [[fx, s, cx], [0, fy, cy], [0, 0, 1]], in pixels.
    distortion: coefficients in the order of ``sensor_msgs/CameraInfo.d``; empty = none.
    distortion_model: one of ``DISTORTION_MODELS``; has no meaning without coefficients.

    Raises CameraError for a K that is not finite, not (3, 3), has a focal length <= 0, or
    for a size below 1 pixel.
    """

    K: NDArray[np.float64]
    width: int
    height: int
    distortion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    distortion_model: str = "plumb_bob"

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
        if distortion.any() and self.distortion_model not in DISTORTION_MODELS:
            raise CameraError(
                f"unknown distortion model {self.distortion_model!r}; known: {DISTORTION_MODELS}"
            )
        K.setflags(write=False)
        distortion.setflags(write=False)
        object.__setattr__(self, "K", K)
        object.__setattr__(self, "distortion", distortion)

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
        return bool(self.distortion.any())

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
        return replace(self, distortion=np.zeros(0))

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
    def from_camera_info(cls, info: Any) -> Camera:
        """Camera of a ``sensor_msgs/CameraInfo`` (any object with its fields).

        K describes the full sensor; binning and region of interest are applied, so the result
        fits the image that comes with the message (REP-104).

        Raises CameraError where K[0] = 0 (uncalibrated) or anything is out of range.
        """
        camera = cls(
            np.asarray(info.k, dtype=np.float64).reshape(3, 3),
            int(info.width),
            int(info.height),
            np.asarray(info.d, dtype=np.float64),
            str(info.distortion_model) or "plumb_bob",
        )
        roi = info.roi
        if roi.width and roi.height:
            camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
        bin_x, bin_y = max(1, int(info.binning_x)), max(1, int(info.binning_y))
        if bin_x > 1 or bin_y > 1:
            camera = camera.resized(camera.width // bin_x, camera.height // bin_y)
        return camera
