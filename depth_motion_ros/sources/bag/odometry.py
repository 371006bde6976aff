"""Odometry at the time of an image, from the samples around it."""

from __future__ import annotations

from bisect import bisect_left
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from depth_motion_ros.sources.base import SECOND

MAX_GAP = SECOND
"""Between samples further apart than this (ns) nothing is interpolated."""
MAX_DISTANCE = SECOND // 5
"""A single sample serves for images no further away than this (ns)."""
MAX_DELAY = SECOND
"""A sample that is older than the newest by more than this (ns) is usually no late one: time went
back."""
_KEEP = 8192
# Poses that a speed is measured between are at least this far apart (ns): closer ones are noise.
_SPEED_BASE = SECOND // 10
_STANDSTILL_SPEED = 0.02  # m/s; poses that move less are at rest

T = TypeVar("T")


class _Series(Generic[T]):
    """Values in order of time; what comes late is put where it belongs."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.values: list[T] = []

    def add(self, stamp: int, value: T) -> None:
        at = bisect_left(self.stamps, stamp)
        if at < len(self.stamps) and self.stamps[at] == stamp:
            self.values[at] = value
            return
        self.stamps.insert(at, stamp)
        self.values.insert(at, value)
        if len(self.stamps) > 2 * _KEEP:
            del self.stamps[:_KEEP], self.values[:_KEEP]

    def around(self, stamp: int) -> tuple[T, T, float] | None:
        """(before, after, share of the way between them); None where no sample is near enough."""
        after = bisect_left(self.stamps, stamp)
        if 0 < after < len(self.stamps):
            first, last = self.stamps[after - 1], self.stamps[after]
            if last - first <= MAX_GAP:
                share = (stamp - first) / (last - first)
                return self.values[after - 1], self.values[after], share
        near = [at for at in (after - 1, after) if 0 <= at < len(self.stamps)]
        if not near:
            return None
        nearest = min(near, key=lambda at: abs(self.stamps[at] - stamp))
        if abs(self.stamps[nearest] - stamp) > MAX_DISTANCE:
            return None
        return self.values[nearest], self.values[nearest], 0.0


class OdometryTrack:
    """Samples of an odometry: base poses (4, 4), and speeds in m/s where the messages hold them.

    Either may be unknown in a sample: the samples around it serve. Time that goes back by more than
    ``max_delay`` ns (a loop of the recording, a clock that was set) starts the track anew.
    """

    def __init__(self, max_delay: int = MAX_DELAY) -> None:
        self._max_delay = max_delay
        self._start_anew()

    def _start_anew(self) -> None:
        self._poses: _Series[NDArray[np.float64]] = _Series()
        self._speeds: _Series[float] = _Series()
        self._newest: int | None = None
        self._has_moved = False

    def add(self, stamp: int, pose: NDArray[np.float64] | None, speed: float | None = None) -> None:
        """stamp: ns. pose, speed: None where the sample does not say it."""
        if self.goes_back(stamp):
            self._start_anew()
        self._newest = stamp if self._newest is None else max(self._newest, stamp)
        if pose is not None:
            self._poses.add(stamp, pose)
        if speed is not None:
            self._speeds.add(stamp, speed)
            self._has_moved |= speed != 0

    def goes_back(self, stamp: int) -> bool:
        """Whether a sample of that time would start the track anew."""
        return self._newest is not None and stamp < self._newest - self._max_delay

    def reaches(self, stamp: int) -> bool:
        """Whether the track is known up to ``stamp``."""
        return self._newest is not None and self._newest >= stamp

    def pose_at(self, stamp: int) -> NDArray[np.float64] | None:
        """(4, 4) at ``stamp``, interpolated; None where no sample is near enough."""
        found = self._poses.around(stamp)
        if found is None:
            return None
        first, last, share = found
        if share in (0.0, 1.0):
            return last if share else first
        pose = np.eye(4)
        turns = Rotation.from_matrix(np.stack([first[:3, :3], last[:3, :3]]))
        pose[:3, :3] = Slerp([0.0, 1.0], turns)(share).as_matrix()
        pose[:3, 3] = (1 - share) * first[:3, 3] + share * last[:3, 3]
        return pose

    def speed_at(self, stamp: int) -> float | None:
        """m/s at ``stamp``, interpolated; negative where the robot drives backwards.

        A speed of exactly zero may be one that was never filled in: then the poses tell whether the
        robot stood, and how fast it went if not. None where nobody knows.
        """
        stated = self._stated_speed(stamp)
        if stated:
            return stated
        moved = self._speed_of_poses(stamp)
        if moved is None:
            return stated if self._has_moved else None
        if abs(moved) < _STANDSTILL_SPEED and stated is not None:
            return stated
        return moved

    def _stated_speed(self, stamp: int) -> float | None:
        found = self._speeds.around(stamp)
        if found is None:
            return None
        first, last, share = found
        return (1 - share) * first + share * last

    def _speed_of_poses(self, stamp: int) -> float | None:
        stamps = self._poses.stamps
        at = bisect_left(stamps, stamp)
        first = max(0, at - 1)
        last = min(at + (at < len(stamps) and stamps[at] == stamp), len(stamps) - 1)
        while stamps and stamps[last] - stamps[first] < _SPEED_BASE:
            wider = max(0, first - 1), min(last + 1, len(stamps) - 1)
            if wider == (first, last):
                break
            first, last = wider
        if first >= last or np.diff(stamps[first : last + 1]).max() > MAX_GAP:
            return None
        if not stamps[first] - MAX_DISTANCE <= stamp <= stamps[last] + MAX_DISTANCE:
            return None
        start, end = self._poses.values[first], self._poses.values[last]
        way = start[:3, :3].T @ (end[:3, 3] - start[:3, 3])
        seconds = (stamps[last] - stamps[first]) / SECOND
        return float(np.copysign(np.linalg.norm(way), way[0])) / seconds
