"""Metric scale from the known height of the camera above the ground."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.estimation.scale.filter import ScaleFilter
from depth_motion_ros.estimation.scale.ground_plane import GroundPlane, Plane
from depth_motion_ros.estimation.scale.source import UNKNOWN_SCALE, ScaleObservation
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

# Use every Nth row and column: normals of closer neighbours are noise.
_STRIDE_PX = 4
# Ground has normals within 5 degrees of the vertical.
_MIN_NORMAL_COSINE = float(np.cos(np.radians(5.0)))
# Less of the image is not ground but a table, or a wrong depth map.
_MIN_GROUND_SHARE = 0.02
# Errors of a depth map are smooth: all its points count as this many independent ones.
_INDEPENDENT_POINTS = 10.0
# Systematic errors, which do not average out: of a depth map's ground, which the network predicts
# too near; of triangulated points: slope, suspension, vegetation. Measured on three real and three
# rendered sequences: 4 to 10 % and up to 3 %.
_DEPTH_MAP_RELATIVE_STD, _PLANE_RELATIVE_STD = 0.05, 0.03
# After this time without triangulated ground, that of the depth map is used.
_PLANE_TIMEOUT_NS = 2_000_000_000


class GroundEstimate(NamedTuple):
    """The ground in a depth map.

    height: median distance of the camera from the ground plane, in the unit of depth.
    spread: robust relative standard deviation of ``height``.
    share: share of the image that is ground.
    """

    height: float
    spread: float
    share: float


def ground(
    depth: NDArray[np.float32], camera: Camera, down: NDArray[np.float64]
) -> GroundEstimate | None:
    """The ground in a depth map; None where there is too little of it.

    depth: (H, W), NaN = unknown. down: (3,) unit vector of gravity in the camera's optical axes.
    Normals are cross products of vectors to neighbours; ground has a normal within 5 degrees of
    the vertical, lies below the camera, and its distance is abs(N · P).
    """
    ray_x, ray_y = rays(camera)
    z = depth[::_STRIDE_PX, ::_STRIDE_PX]
    points = np.stack(
        (ray_x[::_STRIDE_PX, ::_STRIDE_PX] * z, ray_y[::_STRIDE_PX, ::_STRIDE_PX] * z, z), -1
    )
    corner = points[:-1, :-1]
    right, below = points[:-1, 1:] - corner, points[1:, :-1] - corner
    normals = np.cross(right, below)
    vertical = down.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.linalg.norm(normals, axis=-1)
        upright = np.abs(normals @ vertical) / length
        # NaN compares false.
        is_ground = (upright > _MIN_NORMAL_COSINE) & (corner @ vertical > 0)
        distance = np.abs(np.sum(normals * corner, axis=-1)) / length
    heights = distance[is_ground]
    share = heights.size / max(1, is_ground.size)
    if share < _MIN_GROUND_SHARE:
        return None
    height = float(np.median(heights))
    spread = 1.4826 * float(np.median(np.abs(heights - height))) / height
    return GroundEstimate(height, spread, share)


class CameraHeightScale:
    """s = known height of the camera / measured height above the ground, filtered over time.

    The ground is a plane in the triangulated points of a pair of frames, independent of the
    network. At first, and after two seconds without one (no texture), it is that of the depth map
    (``ground``).
    """

    def __init__(self, height: float, base_from_camera: NDArray[np.float64]) -> None:
        """height: m above the ground. base_from_camera: (4, 4); the base stands upright on the
        ground, so its z axis is vertical."""
        self._height = height
        self._down = base_from_camera[:3, :3].T @ np.array([0.0, 0.0, -1.0])
        self._plane = GroundPlane(base_from_camera)
        self._plane_seen: int | None = None
        self._filter = ScaleFilter()

    def update(self, seen: ScaleObservation) -> Scale:
        self._filter.change_unit(seen.unit_change, seen.unit_variance)
        plane = self._triangulated(seen)
        if plane is not None:
            self._plane_seen = seen.stamp
            self._add(seen, plane.height, plane.variance + _PLANE_RELATIVE_STD**2)
        elif not self._has_seen_plane(seen.stamp):
            found = ground(seen.depth, seen.camera, self._down)
            if found is not None and found.height > 0:
                self._add(
                    seen,
                    found.height,
                    found.spread**2 / _INDEPENDENT_POINTS + _DEPTH_MAP_RELATIVE_STD**2,
                )
        if self._filter.value is None:
            return UNKNOWN_SCALE
        # The systematic part does not average out.
        least = _PLANE_RELATIVE_STD if self._has_seen_plane(seen.stamp) else _DEPTH_MAP_RELATIVE_STD
        return Scale(self._filter.value, "camera_height", max(self._filter.variance, least**2))

    def _add(self, seen: ScaleObservation, height: float, variance: float) -> None:
        self._filter.add(seen.stamp, self._height / height, variance)

    def _has_seen_plane(self, stamp: int) -> bool:
        return self._plane_seen is not None and abs(stamp - self._plane_seen) < _PLANE_TIMEOUT_NS

    def _triangulated(self, seen: ScaleObservation) -> Plane | None:
        if seen.points is None or seen.point_variance is None:
            return None
        if self._filter.value is not None:
            expected = self._height / self._filter.value
        else:
            found = ground(seen.depth, seen.camera, self._down)
            if found is None or not found.height > 0:
                return None
            expected = found.height
        return self._plane.find(seen.stamp, seen.points, seen.point_variance, expected)
