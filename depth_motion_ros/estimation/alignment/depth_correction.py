"""Errors of a depth map that are smooth over the image: found along with the motion."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.gauss_newton import median
from depth_motion_ros.estimation.alignment.template import Floats, Template, TemplateView
from depth_motion_ros.geometry.camera import Camera

# Number of neighbours whose errors are correlated; Student's t allows for outliers.
_CORRELATED_POINTS, _STUDENT_T_DOF = np.float32(5), np.float32(4)
# Number of cosines along x and y that describe smooth errors of depth.
_COSINES_XY = 4, 3
DEPTH_COSINES = _COSINES_XY[0] * _COSINES_XY[1] - 1
"""Number of cosines, without the constant: the images do not show the unit of length."""


def waves(template: Template) -> Floats:
    """(DEPTH_COSINES, N) smooth functions over the image; their squares add up to about 1."""
    width, height = template.camera.size
    return _maps(width, height).take(template.y * width + template.x, axis=1)


def depth_jacobian(
    template: Template, inverse_depth: Floats, at: TemplateView, motion: NDArray[np.float64]
) -> Floats:
    """(N,) d residual / d ln(depth): nearer things move more between the images.

    inverse_depth: (N,), of the points as projected.
    """
    k = (template.camera.K @ motion[:3, 3]).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        toward = -inverse_depth / at.ratio
    du, dv = (k[0] - at.u * k[2]) * toward, (k[1] - at.v * k[2]) * toward
    pull = template.gradient[0] * du + template.gradient[1] * dv
    return np.where(at.valid, pull, np.float32(0))


def smooth_part(
    error: Floats,
    variance: Floats,
    index: NDArray[np.intp],
    camera: Camera,
    depth_relative_std: float,
) -> NDArray[np.float64]:
    """(DEPTH_COSINES,) the smooth part of an error that some pixels show; 0 if that is noise.

    error, variance: (N,), index: (N,) flat pixel. depth_relative_std: of the smooth part.
    """
    shapes = _maps(*camera.size).take(index, axis=1)
    rest = np.float32(1.4826 * median(np.abs(error))) ** 2
    weight = 1 / (_CORRELATED_POINTS * (variance + rest + error * error / _STUDENT_T_DOF))
    H = ((shapes * weight) @ shapes.T).astype(np.float64)
    H[np.diag_indices(DEPTH_COSINES)] += depth_relative_std**-2
    b = (shapes @ (weight * error)).astype(np.float64)
    found = np.linalg.solve(H, b)
    # Noise alone gains as much with this many unknowns.
    return found if b @ found > DEPTH_COSINES else np.zeros(DEPTH_COSINES)


def correction(error: NDArray[np.float64], width: int, height: int) -> Floats:
    """(height, width) factor that takes the smooth error out of a depth map.

    error: (DEPTH_COSINES,), coefficients of ln(depth).
    """
    # Smooth as it is, an eighth of the size shows all of it.
    small = max(2, width // 8), max(2, height // 8)
    factor = np.exp(error.astype(np.float32) @ _maps(*small)).reshape(small[::-1])
    return np.asarray(cv2.resize(factor, (width, height), interpolation=cv2.INTER_LINEAR))


@functools.lru_cache(maxsize=16)
def _maps(width: int, height: int) -> Floats:
    """(DEPTH_COSINES, height · width): products of cosines along x and y, but for the constant."""
    along, across = _COSINES_XY
    x, y = _cosines(along, width), _cosines(across, height)
    products = (x[:, None, None, :] * y[None, :, :, None]).reshape(along * across, -1)[1:]
    return np.asarray(products * np.float32(DEPTH_COSINES**-0.5), np.float32)


def _cosines(count: int, length: int) -> Floats:
    """(count, length) cosines of 0, 1, 2... half waves over a length of pixels; mean square 1."""
    phase = np.pi * (np.arange(length) + 0.5) / length
    cosines = np.sqrt(2) * np.cos(np.arange(count)[:, None] * phase)
    cosines[0] = 1
    return np.asarray(cosines, np.float32)
