"""The ground as a plane in points that two frames have triangulated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# Points this much higher or lower than expected, as a share of the height, are not asked.
_REACH = 0.4
# Fewer points are no plane.
_FEWEST = 20
# Standard deviation, as a share of the height, beyond which a point says nothing about the ground,
# and the least that one has: ground is rough.
_MAX_ERROR, _ROUGH = 0.15, 0.02
# Radians: what lies beside the way of the robot is as much higher or lower (camber, kerbs, verges).
_CAMBER = 0.04
# Of the search for the height at which most points lie: steps over the reach, and their width.
_CANDIDATES, _KERNEL = 41, 0.03
_ITERATIONS = 6
# Tracks of neighbouring points share their errors: so many say as much as one.
_CORRELATED = 30.0
# Radians: how far ground tilts against what the mount says; how far that changes in a second (a
# slope, the suspension); and more than which it is no ground (ALGORITHM: Metric scale).
_TILT, _WANDER, _MOST = 0.03, 0.01, float(np.radians(5.0))


class Plane(NamedTuple):
    """height: distance of the camera from the ground, in the unit of the points. variance:
    relative, of it."""

    height: float
    variance: float


class GroundPlane:
    """Finds the plane and remembers its tilt, which changes less than it is uncertain in one pair.

    Ground is the level near the expected height at which most points lie; what rises from it
    (kerbs, grass, walls) lies beside that level and is left out, as by Geman and McClure (1987).
    """

    def __init__(self, base_from_camera: Doubles) -> None:
        """base_from_camera: (4, 4); the base stands upright on the ground, x ahead."""
        ahead, left, up = base_from_camera[:3, :3]
        # In the camera's optical axes.
        self._axes = np.stack((-up, ahead, left))
        self._tilt = np.zeros(2)
        self._covariance = np.eye(2) * _TILT**2
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
        noise = variance + _ROUGH**2 + (_CAMBER * left) ** 2
        asked = (np.abs(level - 1) < _REACH) & (noise < _MAX_ERROR**2)
        if np.count_nonzero(asked) < _FEWEST:
            return None
        A = np.stack((np.ones_like(below), ahead, left), axis=1)[asked]
        below, level, noise = below[asked], level[asked], noise[asked]
        prior = self._prior(stamp)
        plane = np.array([_crowded(level, noise), *self._tilt])
        for _ in range(_ITERATIONS):
            off = below - A @ plane
            weight = 1 / (noise * (1 + off * off / (3 * noise)) ** 2)
            information = (A * weight[:, None]).T @ A / _CORRELATED
            information[1:, 1:] += prior
            b = A.T @ (weight * below) / _CORRELATED
            b[1:] += prior @ self._tilt
            plane = np.linalg.solve(information, b)
        near = np.count_nonzero(off * off < 9 * noise)
        if near < _FEWEST or abs(plane[0] - 1) > _REACH or np.linalg.norm(plane[1:]) > _MOST:
            return None
        covariance = np.linalg.inv(information)
        self._tilt, self._covariance, self._stamp = plane[1:], covariance[1:, 1:], stamp
        upright = 1 / float(np.sqrt(1 + plane[1:] @ plane[1:]))
        return Plane(height * plane[0] * upright, float(covariance[0, 0] / plane[0] ** 2))

    def _prior(self, stamp: int) -> Doubles:
        elapsed = 0.0 if self._stamp is None else abs(stamp - self._stamp) * 1e-9
        wandered = self._covariance + np.eye(2) * _WANDER**2 * elapsed
        return np.linalg.inv(wandered) + np.eye(2) / _TILT**2


def _crowded(level: Doubles, noise: Doubles) -> float:
    """Where most points lie."""
    candidates = np.linspace(1 - _REACH, 1 + _REACH, _CANDIDATES)
    wide = noise + _KERNEL**2
    off = level - candidates[:, None]
    crowd = np.exp(-0.5 * off * off / wide) @ (1 / np.sqrt(wide))
    return float(candidates[np.argmax(crowd)])
