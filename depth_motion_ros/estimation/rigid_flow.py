"""What optical flow shows that the camera's motion and depth do not explain, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.dense_flow import DenseFlow
from depth_motion_ros.estimation.point_cloud import rays
from depth_motion_ros.geometry.camera import Camera

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Samples by which the camera's motion is corrected, and rounds of reweighting.
_SAMPLES, _ROUNDS, _FEWEST = 1000, 4, 100
# Degrees of freedom of Student's t: its heavy tails are what moves.
_FREEDOM = 2.0
# Flow of neighbours errs alike: so many samples say as much as one.
_CORRELATED = 5.0
# Standard deviation of flow: pixels, and a share of the parallax, where surfaces are cut and
# foreshortened.
FLOW_ERROR, FLOW_SHARE = 0.07, 0.04


@dataclass(frozen=True, eq=False)
class RigidFlow:
    """Every pixel of a frame as the camera's motion lets it move.

    point: (3, H, W) in the previous camera's axes. x, y: (H, W) flow left over, in pixels.
    by_depth: (2, H, W) pixels that flow changes by, for each unit of ln(depth).
    by_motion: (2, N, 6) the same for e of motion · exp(e), translation before rotation.
    covariance: (6, 6) of e.
    """

    point: Floats
    x: Floats
    y: Floats
    by_depth: Floats
    by_motion: Floats
    covariance: Doubles

    def motion_variance(self) -> tuple[Floats, Floats, Floats]:
        """(H, W) each: variances of x and y, and their covariance, by the camera's motion."""
        root = np.linalg.cholesky(self.covariance + 1e-12 * np.eye(6)).astype(np.float32)
        u, v = (part @ root for part in self.by_motion)
        shape = self.x.shape
        xx, yy, xy = (np.einsum("ni,ni->n", *pair) for pair in ((u, u), (v, v), (u, v)))
        return xx.reshape(shape), yy.reshape(shape), xy.reshape(shape)


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
    # What comes to lie behind the previous camera was not seen by it.
    inverse = 1 / np.maximum(point[2], np.float32(1e-6))
    fx, fy = np.float32(camera.fx), np.float32(camera.fy)
    u, v = point[0] * inverse, point[1] * inverse
    left_x = flow.x + fx * (ray_x - u)
    left_y = flow.y + fy * (ray_y - v)
    scale_x, scale_y = fx * inverse, fy * inverse
    by_depth = np.stack(
        (scale_x * (turned[0] - u * turned[2]), scale_y * (turned[1] - v * turned[2]))
    )
    back = X.reshape(3, -1)
    rows = []
    for scale, slope, axis in ((scale_x, u, 0), (scale_y, v, 1)):
        s, k = scale.ravel(), slope.ravel()
        # d pixel / d point is (s, 0, -k s) or (0, s, -k s); the point moves by R (t + r x X).
        a = s * (R[axis, :, None] - k * R[2, :, None])
        turn = np.stack(
            (
                back[1] * a[2] - back[2] * a[1],
                back[2] * a[0] - back[0] * a[2],
                back[0] * a[1] - back[1] * a[0],
            )
        )
        rows.append(np.concatenate((a, turn)).T)
    return RigidFlow(point, left_x, left_y, by_depth, np.stack(rows), covariance)


def without_motion_error(seen: RigidFlow, good: NDArray[np.bool_], depth_error: float) -> RigidFlow:
    """The same with the camera's motion that most of the good flow agrees on.

    The motion was found by other means; where it is off by little, everything seems to move.
    It stays within its covariance, which becomes what both leave open.

    depth_error: relative standard deviation of depth.
    """
    found = np.flatnonzero(good)
    if len(found) < _FEWEST:
        return seen
    picked = found[:: max(1, len(found) // _SAMPLES)]
    J = seen.by_motion[:, picked].astype(np.float64)
    r = np.stack([part.ravel()[picked] for part in (seen.x, seen.y)]).astype(np.float64)
    d = np.stack([part.ravel()[picked] for part in seen.by_depth]).astype(np.float64)
    noise = FLOW_ERROR**2 + FLOW_SHARE**2 * (d * d).sum(axis=0)
    # Rotate to along and across the way depth moves the pixel: independent there.
    length = np.maximum(np.sqrt((d * d).sum(axis=0)), 1e-9)
    c, s = d / length
    sigma = np.sqrt(np.stack((noise + (depth_error * length) ** 2, noise)))
    r = np.stack((c * r[0] + s * r[1], c * r[1] - s * r[0])) / sigma
    J = np.stack((c[:, None] * J[0] + s[:, None] * J[1], c[:, None] * J[1] - s[:, None] * J[0]))
    J /= sigma[..., None]
    prior = np.linalg.inv(seen.covariance + 1e-12 * np.eye(6))
    error, H = np.zeros(6), prior
    for _ in range(_ROUNDS):
        off = r - J @ error
        weight = (_FREEDOM + 2) / (_FREEDOM + (off * off).sum(axis=0)) / _CORRELATED
        weighted = (J * weight[:, None]).reshape(-1, 6).T
        H = prior + weighted @ J.reshape(-1, 6)
        error = np.linalg.solve(H, weighted @ r.ravel())
    shift = seen.by_motion @ error.astype(np.float32)
    x, y = (
        part - change.reshape(part.shape)
        for part, change in zip((seen.x, seen.y), shift, strict=True)
    )
    return RigidFlow(seen.point, x, y, seen.by_depth, seen.by_motion, np.linalg.inv(H))
