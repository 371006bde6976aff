"""Object flow: the scene flow of moving objects, that is, without the part due to ego-motion."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class ObjectFlow(NamedTuple):
    """Object flow of one frame.

    velocity: (H, W, 3) float32, m/s in the current camera's optical axes; 0 where static, NaN where
        depth is invalid.
    moving_fraction: share of the pixels with valid depth that move.
    """

    velocity: NDArray[np.float32]
    moving_fraction: float


def object_flow(
    residual: NDArray[np.float32],
    rotation: NDArray[np.float64],
    depth: NDArray[np.float32],
    scale: float,
    dt: float,
    min_speed: float,
    min_ratio: float,
) -> ObjectFlow:
    """The residual motion of a pair as velocities of the current frame's pixels.

    A point X of the current camera was at R X + t + T_res in the previous camera's axes. A static
    point would have been at R X + t: so it has moved by -T_res, which is -R' T_res in the current
    axes.

    residual: T_res, (H, W, 3) in network units, on the pixels of the current frame.
    rotation: R, (3, 3). depth: (H, W) metres, NaN where invalid.
    scale: metres per network unit. dt: seconds from the previous frame to this one, > 0.
    min_speed (m/s), min_ratio (1/s): slower than max(min_speed, min_ratio · depth) is static,
        since an error of the motion field is one of image motion and grows with depth.
    """
    threshold = np.maximum(np.float32(min_speed), np.float32(min_ratio) * depth)
    # Channel by channel: a mask of pixels on (H, W, 3) costs five times as much.
    channels = [
        np.asarray(channel, np.float32)
        for channel in cv2.split(cv2.transform(residual, -rotation.T * (scale / dt)))
    ]
    vx, vy, vz = channels
    squared_speed = vx * vx + vy * vy + vz * vz
    # Where depth is NaN the comparison is false.
    moves = (squared_speed >= threshold * threshold) & (squared_speed > 0)
    static = depth - depth  # zero, but NaN where depth is
    velocity = cv2.merge([np.where(moves, channel, static) for channel in channels])
    valid = depth.size - int(np.count_nonzero(np.isnan(depth)))
    share = int(np.count_nonzero(moves)) / valid if valid else 0.0
    return ObjectFlow(np.asarray(velocity, np.float32), share)
