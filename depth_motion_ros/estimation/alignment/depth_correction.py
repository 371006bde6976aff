"""Errors of a depth map that are smooth over the image: found along with the motion."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.gauss_newton import median
from depth_motion_ros.estimation.alignment.template import Floats, Template, TemplateView
from depth_motion_ros.geometry.camera import Camera

# Errors of neighbours are alike: so many say as much as one; and some are far off (Student's t).
_ALIKE, _FREEDOM = np.float32(5), np.float32(4)
# Cosines along x and y by which smooth errors of depth are described.
_WAVES = 4, 3
WAVES = _WAVES[0] * _WAVES[1] - 1
"""How many there are. The constant is not among them: the images do not show the unit of length."""


def waves(template: Template) -> Floats:
    """(WAVES, N) smooth functions over the image; their squares add up to about 1."""
    width, height = template.camera.size
    return _maps(width, height).take(template.y * width + template.x, axis=1)


def depth_jacobian(
    template: Template, inverse_depth: Floats, at: TemplateView, motion: NDArray[np.float64]
) -> Floats:
    """(N,) d residual / d ln(depth): nearer things move more between the images.

    inverse_depth: (N,) at which the points were looked at.
    """
    k = (template.camera.K @ motion[:3, 3]).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        toward = -inverse_depth / at.ratio
    du, dv = (k[0] - at.u * k[2]) * toward, (k[1] - at.v * k[2]) * toward
    pull = template.gradient[0] * du + template.gradient[1] * dv
    return np.where(at.valid, pull, np.float32(0))


def smooth_part(
    error: Floats, variance: Floats, index: NDArray[np.intp], camera: Camera, depth_error: float
) -> NDArray[np.float64]:
    """(WAVES,) the smooth part of an error that is known at some pixels; 0 if that is noise.

    error, variance: (N,), index: (N,) flat pixel. depth_error: standard deviation of the smooth
    part.
    """
    shapes = _maps(*camera.size).take(index, axis=1)
    rest = np.float32(1.4826 * median(np.abs(error))) ** 2
    weight = 1 / (_ALIKE * (variance + rest + error * error / _FREEDOM))
    H = ((shapes * weight) @ shapes.T).astype(np.float64)
    H[np.diag_indices(WAVES)] += depth_error**-2
    b = (shapes @ (weight * error)).astype(np.float64)
    found = np.linalg.solve(H, b)
    # As much is gained on mere noise, by so many unknowns.
    return found if b @ found > WAVES else np.zeros(WAVES)


def correction(error: NDArray[np.float64], width: int, height: int) -> Floats:
    """(height, width) factor that takes the smooth error out of a depth map.

    error: (WAVES,), d ln(depth) by the waves.
    """
    # Smooth as it is, an eighth of the size shows all of it.
    small = max(2, width // 8), max(2, height // 8)
    factor = np.exp(error.astype(np.float32) @ _maps(*small)).reshape(small[::-1])
    return np.asarray(cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR))


@functools.lru_cache(maxsize=16)
def _maps(width: int, height: int) -> Floats:
    """(WAVES, height · width): products of cosines along x and y, but for the constant."""
    along, across = _WAVES
    x, y = _cosines(along, width), _cosines(across, height)
    products = (x[:, None, None, :] * y[None, :, :, None]).reshape(along * across, -1)[1:]
    return np.asarray(products * np.float32(WAVES**-0.5), np.float32)


def _cosines(count: int, length: int) -> Floats:
    """(count, length) cosines of 0, 1, 2... half waves over a length of pixels; mean square 1."""
    phase = np.pi * (np.arange(length) + 0.5) / length
    cosines = np.sqrt(2) * np.cos(np.arange(count)[:, None] * phase)
    cosines[0] = 1
    return np.asarray(cosines, np.float32)
