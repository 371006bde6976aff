"""Connected patches of moving pixels in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

# Smaller patches are noise; 1/800 of 416x128 is a patch of 8x8.
_MIN_PATCH_SHARE = 1 / 800
# Neighbours whose depths have a larger ratio belong to two surfaces.
_EDGE_DEPTH_RATIO = 1.25
_NEIGHBOUR_KERNEL = np.ones((3, 3), np.uint8)
# Errors of a patch's depth and speed that are common to all its pixels.
_DEPTH_RELATIVE_STD, _SPEED_RELATIVE_STD = 0.1, 0.2
# Uncertainty of the outline of a patch.
_OUTLINE_STD_PX = 2.0
# Extent of a patch, without its rim, which mixes with the background.
_EXTENT_PERCENTILES = 5.0, 95.0


@dataclass(frozen=True, eq=False)
class MovingPatch:
    """A patch of moving pixels, in the camera's optical axes.

    position: (3,) m, the median.
    velocity: (3,) m/s, the median.
    size: (3,) m, extent along the axes.
    covariance: (6, 6), position before velocity.
    box: x, y, width, height in pixels.
    pixels: number of pixels.
    """

    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    size: NDArray[np.float64]
    covariance: NDArray[np.float64]
    box: tuple[int, int, int, int]
    pixels: int


def moving_patches(
    depth: NDArray[np.float32], flow: NDArray[np.float32], camera: Camera
) -> list[MovingPatch]:
    """Patches of moving pixels, cut where depth jumps.

    depth: (H, W) m. flow: (H, W, 3) m/s, 0 where static; NaN in both where unknown.
    """
    vx, vy, vz = cv2.split(flow)
    known = ~np.isnan(depth)
    moves = known & ~np.isnan(vx) & ((vx != 0) | (vy != 0) | (vz != 0))
    if not moves.any():
        return []
    near = np.where(known, depth, np.float32(0))
    jumps = cv2.dilate(near, _NEIGHBOUR_KERNEL) > _EDGE_DEPTH_RATIO * cv2.erode(
        near, _NEIGHBOUR_KERNEL
    )
    mask = (moves & ~jumps).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _NEIGHBOUR_KERNEL), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    ray_x, ray_y = rays(camera)
    patches = []
    for label in range(1, count):
        x, y, width, height, pixels = (int(value) for value in stats[label])
        if pixels < _MIN_PATCH_SHARE * depth.size:
            continue
        window = np.s_[y : y + height, x : x + width]
        inside = labels[window] == label
        z = depth[window][inside].astype(np.float64)
        points = np.stack((ray_x[window][inside] * z, ray_y[window][inside] * z, z), axis=1)
        velocities = flow[window][inside].astype(np.float64)
        patches.append(_patch(points, velocities, (x, y, width, height), camera))
    return patches


def _patch(
    points: NDArray[np.float64],
    velocities: NDArray[np.float64],
    box: tuple[int, int, int, int],
    camera: Camera,
) -> MovingPatch:
    position, velocity = np.median(points, axis=0), np.median(velocities, axis=0)
    low, high = np.percentile(points, _EXTENT_PERCENTILES, axis=0)
    covariance = np.zeros((6, 6))
    across = _OUTLINE_STD_PX * position[2] / camera.fx
    covariance[:3, :3] = across**2 * np.eye(3) + _DEPTH_RELATIVE_STD**2 * np.outer(
        position, position
    )
    spread = 1.4826 * np.median(np.abs(velocities - velocity), axis=0)
    common = _SPEED_RELATIVE_STD * float(np.linalg.norm(velocity))
    covariance[3:, 3:] = np.diag(spread**2 + common**2)
    return MovingPatch(position, velocity, high - low, covariance, box, len(points))
