"""The way the robot took, as estimated and as the camera's source knows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.cli.demo.recording import ODOMETRY, TRUTH, DemoRecording, poses
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL


@dataclass(frozen=True, eq=False)
class TrajectoryPair:
    """stamps (N,) ns; estimated (N, 4, 4) base_link in odom; true: the same from the truth at its
    own times, laid on the estimate at the first common stamp, (M, 4, 4), None where unknown.
    """

    stamps: NDArray[np.int64]
    estimated: NDArray[np.float64]
    true: NDArray[np.float64] | None


def read_paths(recording: DemoRecording) -> TrajectoryPair:
    """Both paths of a recording whose camera sits in base_link itself, as the demo's does."""
    stamps, estimated = poses(recording, ODOMETRY)
    true_stamps, cameras = poses(recording, TRUTH)
    common, here, there = np.intersect1d(stamps, true_stamps, return_indices=True)
    if not len(common):
        return TrajectoryPair(stamps, estimated, None)
    bases = cameras @ se3.inverse(BODY_FROM_OPTICAL)
    world_to_odom = estimated[here[0]] @ se3.inverse(bases[there[0]])
    return TrajectoryPair(stamps, estimated, world_to_odom @ bases[there[0] : there[-1] + 1])


def length(path: NDArray[np.float64]) -> float:
    """Metres along the positions of (N, 4, 4)."""
    return float(np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1).sum())
