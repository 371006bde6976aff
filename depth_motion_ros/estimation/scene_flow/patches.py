"""Connected patches of moving pixels in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.point_cloud import rays
from depth_motion_ros.geometry.camera import Camera

# Smaller patches are the noise of the residual field; 1/800 of 416x128 is a patch of 8x8.
_SMALLEST_SHARE = 1 / 800
# Neighbours whose depths differ by more, as a ratio, are two surfaces.
_EDGE_RATIO = 1.25
_NEIGHBOURS = np.ones((3, 3), np.uint8)
# Relative standard deviations of a patch's depth, and of its speed, that all its pixels share.
_DEPTH_ERROR, _SPEED_ERROR = 0.1, 0.2
# Pixels by which the outline of a patch is uncertain.
_OUTLINE = 2.0
# Percentiles between which a patch extends: its rim mixes with the background.
_EXTENT = 5.0, 95.0


@dataclass(frozen=True, eq=False)
class MovingPatch:
    """position (3,) m, velocity (3,) m/s: medians, optical axes. size (3,): m. covariance (6, 6):
    position before velocity. box: x, y, width, height in pixels. pixels: how many."""

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
    jumps = cv2.dilate(near, _NEIGHBOURS) > _EDGE_RATIO * cv2.erode(near, _NEIGHBOURS)
    mask = (moves & ~jumps).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _NEIGHBOURS), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    ray_x, ray_y = rays(camera)
    patches = []
    for label in range(1, count):
        x, y, width, height, pixels = (int(value) for value in stats[label])
        if pixels < _SMALLEST_SHARE * depth.size:
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
    low, high = np.percentile(points, _EXTENT, axis=0)
    covariance = np.zeros((6, 6))
    across = _OUTLINE * position[2] / camera.fx
    covariance[:3, :3] = across**2 * np.eye(3) + _DEPTH_ERROR**2 * np.outer(position, position)
    spread = 1.4826 * np.median(np.abs(velocities - velocity), axis=0)
    common = _SPEED_ERROR * float(np.linalg.norm(velocity))
    covariance[3:, 3:] = np.diag(spread**2 + common**2)
    return MovingPatch(position, velocity, high - low, covariance, box, len(points))
