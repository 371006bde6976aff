"""Optical flow minus the rigid flow of ego-motion and depth, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.scene_flow.optical_flow import DenseFlow
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Correction of the ego-motion: samples at most, iterations of reweighting, fewest samples.
_MAX_SAMPLES, _FIT_ITERATIONS, _MIN_SAMPLES = 1000, 4, 100
# Its heavy tails stand for what moves.
_STUDENT_T_DOF = 2.0
# Number of neighbouring samples with correlated errors of flow.
_CORRELATED_SAMPLES = 5.0
# Error of flow: a constant, and a share of the parallax, where surfaces are cut and foreshortened.
FLOW_STD_PX, FLOW_STD_PARALLAX_SHARE = 0.07, 0.04
# Points behind the previous camera were not in its view.
_MIN_DEPTH_UNITS = np.float32(1e-6)
# The variance due to ego-motion is computed on every Nth row and column, and interpolated.
_SAMPLE_STRIDE_PX = 4


@dataclass(frozen=True, eq=False)
class RigidFlow:
    """Residual flow of every pixel of a frame, and its derivatives.

    point: (3, H, W) in the previous camera's axes.
    x: (H, W) residual flow along x, in pixels.
    y: (H, W) residual flow along y, in pixels.
    by_depth: (2, H, W) pixels of flow per unit of ln(depth).
    covariance: (6, 6) of e in motion · exp(e), translation before rotation.
    rotation: (3, 3), of the ego-motion.
    turned: (3, H, W), ``point`` without the translation.
    focal: fx, fy in pixels.
    """

    point: Floats
    x: Floats
    y: Floats
    by_depth: Floats
    covariance: Doubles
    rotation: Doubles
    turned: Floats
    focal: tuple[float, float]

    def by_motion(self, index: NDArray[np.intp] | slice) -> Floats:
        """(2, N, 6) derivative of flow by e, in pixels, at flat indices."""
        point, turned = (part.reshape(3, -1)[:, index] for part in (self.point, self.turned))
        R = self.rotation.astype(np.float32)
        X = R.T @ turned
        inverse = 1 / np.maximum(point[2], _MIN_DEPTH_UNITS)
        rows = []
        for axis, focal in enumerate(self.focal):
            # d pixel / d point is (s, 0, -k s) or (0, s, -k s); the point moves by R (t + r x X).
            a = (
                np.float32(focal)
                * inverse
                * (R[axis, :, None] - point[axis] * inverse * R[2, :, None])
            )
            rows.append(np.concatenate((a, np.cross(X, a, axis=0))).T)
        return np.stack(rows)

    def motion_variance(self) -> tuple[Floats, Floats, Floats]:
        """(H, W) each: variances of x and y and their covariance due to ego-motion; computed on
        every fourth row and column, and interpolated."""
        height, width = self.x.shape
        grid = np.arange(height * width).reshape(height, width)[
            ::_SAMPLE_STRIDE_PX, ::_SAMPLE_STRIDE_PX
        ]
        root = np.linalg.cholesky(self.covariance + 1e-12 * np.eye(6)).astype(np.float32)
        u, v = (part @ root for part in self.by_motion(grid.ravel()))
        xx, yy, xy = (
            _between(np.einsum("ni,ni->n", *pair).reshape(grid.shape), (height, width))
            for pair in ((u, u), (v, v), (u, v))
        )
        return xx, yy, xy

    def moved(self, error: Doubles) -> tuple[Floats, Floats]:
        """(H, W) each: x and y after a correction of the motion by e = ``error`` (6,)."""
        t, r = error[:3], error[3:]
        cross = np.array([[0, -r[2], r[1]], [r[2], 0, -r[0]], [-r[1], r[0], 0]])
        R = self.rotation
        affine = np.column_stack((R @ cross @ R.T, R @ t)).astype(np.float32)
        shift = cv2.transform(np.moveaxis(self.turned, 0, -1), affine)
        dx, dy, dz = cv2.split(shift)
        inverse = 1 / np.maximum(self.point[2], _MIN_DEPTH_UNITS)
        fx, fy = (np.float32(focal) * inverse for focal in self.focal)
        slope_x, slope_y = self.point[0] * inverse, self.point[1] * inverse
        return self.x - fx * (dx - slope_x * dz), self.y - fy * (dy - slope_y * dz)


def _between(values: Floats, shape: tuple[int, int]) -> Floats:
    """Interpolate values of every _SAMPLE_STRIDE_PX-th row and column."""
    height, width = shape
    return np.asarray(
        cv2.remap(
            np.asarray(values, np.float32),
            *np.meshgrid(
                np.arange(width, dtype=np.float32) / _SAMPLE_STRIDE_PX,
                np.arange(height, dtype=np.float32) / _SAMPLE_STRIDE_PX,
            ),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def rigid_flow(
    flow: DenseFlow,
    depth: Floats,
    rotation: Doubles,
    translation: Doubles,
    covariance: Doubles,
    camera: Camera,
) -> RigidFlow:
    """depth: (H, W) > 0, in the unit of translation (3,). rotation (3, 3) and translation map
    points of the frame into the previous camera's axes; covariance (6, 6): of e in
    motion · exp(e)."""
    ray_x, ray_y = rays(camera)
    X = np.stack((ray_x * depth, ray_y * depth, depth)).astype(np.float32)
    R, t = rotation.astype(np.float32), translation.astype(np.float32)
    turned = np.einsum("ij,jhw->ihw", R, X)
    point = turned + t[:, None, None]
    inverse = 1 / np.maximum(point[2], _MIN_DEPTH_UNITS)
    fx, fy = np.float32(camera.fx), np.float32(camera.fy)
    u, v = point[0] * inverse, point[1] * inverse
    left_x = flow.x + fx * (ray_x - u)
    left_y = flow.y + fy * (ray_y - v)
    scale_x, scale_y = fx * inverse, fy * inverse
    by_depth = np.stack(
        (scale_x * (turned[0] - u * turned[2]), scale_y * (turned[1] - v * turned[2]))
    )
    focal = camera.fx, camera.fy
    return RigidFlow(point, left_x, left_y, by_depth, covariance, rotation, turned, focal)


def without_motion_error(
    seen: RigidFlow, good: NDArray[np.bool_], depth_relative_std: float
) -> RigidFlow:
    """The same with the ego-motion corrected to fit most of the good flow.

    With a slightly wrong ego-motion everything seems to move. The given motion and its covariance
    are the prior; the result has the posterior covariance.

    depth_relative_std: relative standard deviation of depth.
    """
    found = np.flatnonzero(good)
    if len(found) < _MIN_SAMPLES:
        return seen
    picked = found[:: max(1, len(found) // _MAX_SAMPLES)]
    J = seen.by_motion(picked).astype(np.float64)
    r = np.stack([part.ravel()[picked] for part in (seen.x, seen.y)]).astype(np.float64)
    d = np.stack([part.ravel()[picked] for part in seen.by_depth]).astype(np.float64)
    noise = FLOW_STD_PX**2 + FLOW_STD_PARALLAX_SHARE**2 * (d * d).sum(axis=0)
    # Rotate to the directions along and across the epipolar line, where errors are independent.
    length = np.maximum(np.sqrt((d * d).sum(axis=0)), 1e-9)
    c, s = d / length
    sigma = np.sqrt(np.stack((noise + (depth_relative_std * length) ** 2, noise)))
    r = np.stack((c * r[0] + s * r[1], c * r[1] - s * r[0])) / sigma
    J = np.stack((c[:, None] * J[0] + s[:, None] * J[1], c[:, None] * J[1] - s[:, None] * J[0]))
    J /= sigma[..., None]
    prior = np.linalg.inv(seen.covariance + 1e-12 * np.eye(6))
    error, H = np.zeros(6), prior
    for _ in range(_FIT_ITERATIONS):
        off = r - J @ error
        weight = (
            (_STUDENT_T_DOF + 2) / (_STUDENT_T_DOF + (off * off).sum(axis=0)) / _CORRELATED_SAMPLES
        )
        weighted = (J * weight[:, None]).reshape(-1, 6).T
        H = prior + weighted @ J.reshape(-1, 6)
        error = np.linalg.solve(H, weighted @ r.ravel())
    x, y = seen.moved(error)
    return replace(seen, x=x, y=y, covariance=np.linalg.inv(H))
