"""Odometry at the time of an image, from what a recording holds around it."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from depth_motion_ros.sources.base import SECOND

MAX_GAP = SECOND
"""Between samples further apart than this (ns) nothing is interpolated."""
MAX_DISTANCE = SECOND // 5
"""A single sample serves for images no further away than this (ns)."""
_KEEP = 4096

Sample = tuple[int, float, NDArray[np.float64]]


class OdometryTrack:
    """Samples (stamp in ns, speed in m/s, base pose (4, 4)) in order of time.

    Time going back (a loop of the recording, a reset clock) starts the track anew.
    """

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._samples: list[Sample] = []

    def add(self, stamp: int, speed: float, pose: NDArray[np.float64]) -> None:
        if self._stamps and stamp < self._stamps[-1]:
            self._stamps, self._samples = [], []
        self._stamps.append(stamp)
        self._samples.append((stamp, speed, pose))
        if len(self._stamps) > 2 * _KEEP:
            del self._stamps[:_KEEP], self._samples[:_KEEP]

    def reaches(self, stamp: int) -> bool:
        """Whether later samples could no longer improve ``at(stamp)``."""
        return bool(self._stamps) and self._stamps[-1] >= stamp

    def at(self, stamp: int) -> tuple[float, NDArray[np.float64]] | None:
        """(speed, pose) at ``stamp``, interpolated; None where no sample is near enough."""
        after = bisect_left(self._stamps, stamp)
        if after < len(self._stamps) and self._stamps[after] == stamp:
            return self._samples[after][1:]
        if 0 < after < len(self._stamps):
            first, second = self._samples[after - 1], self._samples[after]
            if second[0] - first[0] <= MAX_GAP:
                return _between(first, second, stamp)
        near = self._samples[max(0, after - 1) : after + 1]
        if not near:
            return None
        nearest = min(near, key=lambda sample: abs(sample[0] - stamp))
        return nearest[1:] if abs(nearest[0] - stamp) <= MAX_DISTANCE else None


def _between(first: Sample, second: Sample, stamp: int) -> tuple[float, NDArray[np.float64]]:
    part = (stamp - first[0]) / (second[0] - first[0])
    pose = np.eye(4)
    turns = Rotation.from_matrix(np.stack([first[2][:3, :3], second[2][:3, :3]]))
    pose[:3, :3] = Slerp([0.0, 1.0], turns)(part).as_matrix()
    pose[:3, 3] = (1 - part) * first[2][:3, 3] + part * second[2][:3, 3]
    return (1 - part) * first[1] + part * second[1], pose
