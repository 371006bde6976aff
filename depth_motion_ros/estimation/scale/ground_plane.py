"""The ground as a plane in points that two frames have triangulated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# Points higher or lower than expected by more, as a share of the height, are ignored.
_MAX_HEIGHT_DEVIATION_SHARE = 0.4
# Fewest points of a plane.
_MIN_POINTS = 20
# Largest standard deviation of a point that counts, and the least of any point, since ground is
# rough; as shares of the height.
_MAX_POINT_STD_SHARE, _ROUGHNESS_STD_SHARE = 0.15, 0.02
# Slope of the ground to the sides of the path (camber, kerbs, verges).
_CAMBER_RAD = 0.04
# Search for the height of most points: number of candidates, and width of the kernel.
_HEIGHT_CANDIDATES, _KERNEL_WIDTH_SHARE = 41, 0.03
_FIT_ITERATIONS = 6
# Number of neighbouring points with correlated errors.
_CORRELATED_POINTS = 30.0
# Tilt of the ground against the mount; its change over time (slopes, suspension); and the largest
# tilt of what counts as ground.
_TILT_STD_RAD, _TILT_DRIFT_RAD_PER_SQRT_S, _MAX_TILT_RAD = 0.03, 0.01, float(np.radians(5.0))


class Plane(NamedTuple):
    """The ground.

    height: distance of the camera from it, in the unit of the points.
    variance: relative, of ``height``.
    """

    height: float
    variance: float


class GroundPlane:
    """Finds the plane, and filters its tilt over time.

    Ground is the level near the expected height with most points; what rises from it (kerbs,
    grass, walls) is rejected as an outlier (Geman and McClure, 1987).
    """

    def __init__(self, base_from_camera: Doubles) -> None:
        """base_from_camera: (4, 4); the base stands upright on the ground, x ahead."""
        ahead, left, up = base_from_camera[:3, :3]
        # In the camera's optical axes.
        self._axes = np.stack((-up, ahead, left))
        self._tilt = np.zeros(2)
        self._covariance = np.eye(2) * _TILT_STD_RAD**2
        self._stamp: int | None = None

    def find(
        self, stamp: int, points: NDArray[np.float32], variance: NDArray[np.float32], height: float
    ) -> Plane | None:
        """None where too few points agree on a plane.

        stamp: ns. points: (3, N) in the camera's optical axes. variance: (N,) of ln(depth). height:
        as expected, in the unit of the points.
        """
        below, ahead, left = (self._axes @ points) / height
        level = below - self._tilt[0] * ahead - self._tilt[1] * left
        noise = variance + _ROUGHNESS_STD_SHARE**2 + (_CAMBER_RAD * left) ** 2
        asked = (np.abs(level - 1) < _MAX_HEIGHT_DEVIATION_SHARE) & (
            noise < _MAX_POINT_STD_SHARE**2
        )
        if np.count_nonzero(asked) < _MIN_POINTS:
            return None
        A = np.stack((np.ones_like(below), ahead, left), axis=1)[asked]
        below, level, noise = below[asked], level[asked], noise[asked]
        prior = self._prior(stamp)
        plane = np.array([_crowded(level, noise), *self._tilt])
        for _ in range(_FIT_ITERATIONS):
            off = below - A @ plane
            weight = 1 / (noise * (1 + off * off / (3 * noise)) ** 2)
            information = (A * weight[:, None]).T @ A / _CORRELATED_POINTS
            information[1:, 1:] += prior
            b = A.T @ (weight * below) / _CORRELATED_POINTS
            b[1:] += prior @ self._tilt
            plane = np.linalg.solve(information, b)
        near = np.count_nonzero(off * off < 9 * noise)
        if (
            near < _MIN_POINTS
            or abs(plane[0] - 1) > _MAX_HEIGHT_DEVIATION_SHARE
            or np.linalg.norm(plane[1:]) > _MAX_TILT_RAD
        ):
            return None
        covariance = np.linalg.inv(information)
        self._tilt, self._covariance, self._stamp = plane[1:], covariance[1:, 1:], stamp
        upright = 1 / float(np.sqrt(1 + plane[1:] @ plane[1:]))
        return Plane(height * plane[0] * upright, float(covariance[0, 0] / plane[0] ** 2))

    def _prior(self, stamp: int) -> Doubles:
        elapsed = 0.0 if self._stamp is None else abs(stamp - self._stamp) * 1e-9
        wandered = self._covariance + np.eye(2) * _TILT_DRIFT_RAD_PER_SQRT_S**2 * elapsed
        return np.linalg.inv(wandered) + np.eye(2) / _TILT_STD_RAD**2


def _crowded(level: Doubles, noise: Doubles) -> float:
    """The level of most points."""
    candidates = np.linspace(
        1 - _MAX_HEIGHT_DEVIATION_SHARE, 1 + _MAX_HEIGHT_DEVIATION_SHARE, _HEIGHT_CANDIDATES
    )
    wide = noise + _KERNEL_WIDTH_SHARE**2
    off = level - candidates[:, None]
    crowd = np.exp(-0.5 * off * off / wide) @ (1 / np.sqrt(wide))
    return float(candidates[np.argmax(crowd)])
