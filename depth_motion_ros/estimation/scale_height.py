"""Metric scale from the known height of the camera above the ground."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.estimation.point_cloud import rays
from depth_motion_ros.estimation.scale import UNKNOWN, Observation
from depth_motion_ros.estimation.scale_filter import ScaleFilter
from depth_motion_ros.geometry.camera import Camera

# Every so-manyth pixel: normals of closer neighbours are noise.
_STRIDE = 4
# A surface is ground where its normal is so near to the vertical (ALGORITHM: Metric scale).
_COS_TILT = float(np.cos(np.radians(5.0)))
# Less of the image is no ground but a table, or a wrong depth map.
_MIN_SHARE = 0.02
# Errors of a depth map are smooth: its points say as much as so many independent ones.
_INDEPENDENT = 10.0
# Relative; what no number of points tells: slope, suspension, what grows on the ground.
_SYSTEMATIC = 0.05


class Ground(NamedTuple):
    """height: median distance of the camera from the ground plane, in the unit of depth.
    spread: robust relative standard deviation of it. share: of the image that is ground."""

    height: float
    spread: float
    share: float


def ground(depth: NDArray[np.float32], camera: Camera, down: NDArray[np.float64]) -> Ground | None:
    """The ground in a depth map; None where there is too little of it.

    depth: (H, W), NaN = unknown. down: (3,) unit vector of gravity in the camera's optical axes.
    Normals are cross products of vectors to neighbours; ground has a normal within 5 degrees of
    the vertical, lies below the camera, and its distance is abs(N · P).
    """
    ray_x, ray_y = rays(camera)
    z = depth[::_STRIDE, ::_STRIDE]
    points = np.stack((ray_x[::_STRIDE, ::_STRIDE] * z, ray_y[::_STRIDE, ::_STRIDE] * z, z), -1)
    corner = points[:-1, :-1]
    right, below = points[:-1, 1:] - corner, points[1:, :-1] - corner
    normals = np.cross(right, below)
    vertical = down.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.linalg.norm(normals, axis=-1)
        upright = np.abs(normals @ vertical) / length
        # NaN compares false.
        is_ground = (upright > _COS_TILT) & (corner @ vertical > 0)
        distance = np.abs(np.sum(normals * corner, axis=-1)) / length
    heights = distance[is_ground]
    share = heights.size / max(1, is_ground.size)
    if share < _MIN_SHARE:
        return None
    height = float(np.median(heights))
    spread = 1.4826 * float(np.median(np.abs(heights - height))) / height
    return Ground(height, spread, share)


class CameraHeightScale:
    """s = height of the camera / its height in the depth map, filtered over time."""

    def __init__(self, height: float, base_from_camera: NDArray[np.float64]) -> None:
        """height: m above the ground. base_from_camera: (4, 4); the base stands upright on the
        ground, so its z axis says where down is."""
        self._height = height
        self._down = base_from_camera[:3, :3].T @ np.array([0.0, 0.0, -1.0])
        self._filter = ScaleFilter()

    def update(self, seen: Observation) -> Scale:
        self._filter.change_unit(seen.unit_change)
        found = ground(seen.depth, seen.camera, self._down)
        if found is not None and found.height > 0:
            variance = found.spread**2 / _INDEPENDENT + _SYSTEMATIC**2
            self._filter.add(seen.stamp, self._height / found.height, variance)
        if self._filter.value is None:
            return UNKNOWN
        # The systematic part does not average out.
        variance = max(self._filter.variance, _SYSTEMATIC**2)
        return Scale(self._filter.value, "camera_height", variance)
