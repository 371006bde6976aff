"""Where every pixel of a frame lies in another frame, as a function of its inverse depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Rows and columns between those whose variance by the pose is computed.
_EVERY = 8
# What comes to lie behind the other camera was not seen by it.
_NEAREST = np.float32(1e-3)


def median_parallax(motion: Doubles, camera: Camera, inverse_depth: Floats) -> float:
    """Pixels by which the translation moves the pixel in the middle.

    motion: (4, 4), points of this camera into the other one's axes. Every eighth row and column is
    enough for a median.
    """
    u, v, w, r = _coarse(motion, camera, inverse_depth)
    b = camera.K @ motion[:3, 3]
    near = r / np.maximum(w + b[2] * r, _NEAREST)
    return float(np.median(np.hypot((b[0] - u * b[2]) * near, (b[1] - v * b[2]) * near)))


def median_turn(motion: Doubles, camera: Camera) -> float:
    """Pixels by which the rotation alone moves the pixel in the middle."""
    u, v, *_ = _coarse(motion, camera, np.zeros(camera.size[::-1], np.float32))
    column, row = (np.arange(_EVERY // 2, size, _EVERY) for size in camera.size)
    return float(np.median(np.hypot(u - column, v - row[:, None])))


def _coarse(
    motion: Doubles, camera: Camera, inverse_depth: Floats
) -> tuple[Doubles, Doubles, Doubles, Floats]:
    """Of every eighth row and column: where a pixel of infinite depth lies, its w, and inverse
    depth."""
    some = np.s_[_EVERY // 2 :: _EVERY, _EVERY // 2 :: _EVERY]
    ray_x, ray_y = (part[some] for part in rays(camera))
    KR = camera.K @ motion[:3, :3]
    x, y, w = (row[0] * ray_x + row[1] * ray_y + row[2] for row in KR)
    w = np.maximum(w, _NEAREST)
    return x / w, y / w, w, inverse_depth[some]


@dataclass(frozen=True, eq=False)
class EpipolarField:
    """A pixel of inverse depth r lies at (a + r b)[:2] / (a + r b)[2] in the other frame.

    motion: (4, 4), points of this camera into the other one's axes. camera: of both images.
    a: (3, H, W), b: (3,), homogeneous pixels of the other frame.
    """

    motion: Doubles
    camera: Camera
    a: tuple[Floats, Floats, Floats]
    b: Floats

    @classmethod
    def of(cls, motion: Doubles, camera: Camera) -> EpipolarField:
        ray_x, ray_y = rays(camera)
        KR = (camera.K @ motion[:3, :3]).astype(np.float32)
        x, y, z = (row[0] * ray_x + row[1] * ray_y + row[2] for row in KR)
        return cls(motion, camera, (x, y, z), (camera.K @ motion[:3, 3]).astype(np.float32))

    def projected(self, inverse_depth: Floats) -> tuple[Floats, Floats, Floats]:
        """u, v (pixels) and w = a_z + r b_z > 0, (H, W) each."""
        ax, ay, az = self.a
        w = np.maximum(az + self.b[2] * inverse_depth, _NEAREST)
        over = 1 / w
        return (ax + self.b[0] * inverse_depth) * over, (ay + self.b[1] * inverse_depth) * over, w

    def pose_variance(self, covariance: Doubles, inverse_depth: Floats) -> tuple[Floats, Floats]:
        """(H, W) each: variance, pixels², by the pose, along the epipolar lines and across them.

        covariance: (6, 6) of e in motion · exp(e), translation before rotation. Of every eighth row
        and column, and between them interpolated.
        """
        height, width = inverse_depth.shape
        some = np.s_[_EVERY // 2 :: _EVERY, _EVERY // 2 :: _EVERY]
        grid = np.arange(height * width).reshape(height, width)[some]
        J_u, J_v, du, dv, *_ = self.by_pose(grid.ravel(), inverse_depth.ravel()[grid.ravel()])
        length = np.maximum(np.hypot(du, dv), 1e-9)
        x, y = (du / length)[:, None], (dv / length)[:, None]
        root = np.linalg.cholesky(covariance + 1e-14 * np.eye(6))
        along, across = (x * J_u + y * J_v) @ root, (x * J_v - y * J_u) @ root
        return tuple(  # type: ignore[return-value]
            np.asarray(
                cv2.resize(
                    np.einsum("ni,ni->n", part, part).reshape(grid.shape).astype(np.float32),
                    (width, height),
                    interpolation=cv2.INTER_LINEAR,
                )
            )
            for part in (along, across)
        )

    def by_pose(
        self, index: NDArray[np.intp], inverse_depth: Floats
    ) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles, Doubles]:
        """At flat indices (N,): d u / d e and d v / d e, (N, 6) each, for motion · exp(e); (N,)
        each: d u and d v by the parallax, for all of the inverse depth; and u and v."""
        r = inverse_depth.astype(np.float64)
        ax, ay, az = (part.ravel()[index].astype(np.float64) for part in self.a)
        w = np.maximum(az + self.b[2] * r, float(_NEAREST))
        u, v = (ax + self.b[0] * r) / w, (ay + self.b[1] * r) / w
        ray = np.stack([*(part.ravel()[index] for part in rays(self.camera)), np.ones(len(index))])
        KR = self.camera.K @ self.motion[:3, :3]
        rows = []
        for axis, pixel in ((0, u), (1, v)):
            A = (KR[axis][:, None] - pixel * KR[2][:, None]) / w
            rows.append(np.concatenate((A * r, np.cross(ray, A, axis=0))).T)
        du, dv = (self.b[0] - u * self.b[2]) * r / w, (self.b[1] - v * self.b[2]) * r / w
        return rows[0], rows[1], du, dv, u, v
