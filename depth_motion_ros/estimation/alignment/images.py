"""Images, depth and static weights as the alignment needs them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.template import Floats
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

# Sensor noise makes gradients; a little blur costs little sharpness.
_BLUR_SIGMA_PX = 0.7
# A residual motion of this many pixels halves a pixel's weight.
_HALF_WEIGHT_MOTION_PX = 0.3
_ERODE_KERNEL = np.ones((5, 5), np.uint8)


def grey_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) of (H, W, 3) RGB."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def denoised(grey: NDArray[np.uint8]) -> Floats:
    return np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _BLUR_SIGMA_PX), np.float32)


def pyramid(image: Floats, levels: int) -> list[Floats]:
    """Halved again and again, by area. NaN spreads."""
    images = [image]
    while len(images) < levels:
        height, width = (max(1, length // 2) for length in images[-1].shape)
        half = cv2.resize(images[-1], (width, height), interpolation=cv2.INTER_AREA)
        images.append(np.asarray(half, np.float32))
    return images


def static_weight(residual: Floats | None, inverse_depth: Floats, camera: Camera) -> Floats:
    """(H, W) in [0, 1], lower where the residual motion displaces a pixel more."""
    if residual is None or not residual.any():
        return np.ones_like(inverse_depth)
    ray_x, ray_y = rays(camera)
    tx, ty, tz = cv2.split(residual)
    dx = (tx - ray_x * tz) * inverse_depth * np.float32(camera.fx / _HALF_WEIGHT_MOTION_PX)
    dy = (ty - ray_y * tz) * inverse_depth * np.float32(camera.fy / _HALF_WEIGHT_MOTION_PX)
    weight = 1 / (1 + dx * dx + dy * dy)
    # Where depth is unknown there is no point to weigh.
    weight[np.isnan(weight)] = 1
    # The outline of what moves is two pixels wide to either side.
    return np.asarray(cv2.erode(weight, _ERODE_KERNEL), np.float32)


def typical(inverse_depth: Floats) -> float:
    """The median of the known values, > 0."""
    known = inverse_depth[inverse_depth > 0]
    return float(np.median(known)) if known.size else 1.0
