"""Moving pixels grouped into objects, and tracked from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from depth_motion_ros.estimation.estimate import Estimate, Motion
from depth_motion_ros.estimation.scene_flow.patches import MovingPatch, moving_patches

Doubles = NDArray[np.float64]

# Consecutive frames with an object before it is published, and without it before it is dropped.
_FRAMES_TO_APPEAR, _FRAMES_TO_VANISH = 3, 3
# Least filtered speed for publishing an object first, and for continuing.
_APPEAR_SPEED_STDS, _KEEP_SPEED_STDS = 3.0, 1.0
# Of people and cars.
_ACCELERATION_STD_MPS2 = 2.0
# Largest squared Mahalanobis distance of a patch from a track (chi-square, 3 degrees, 99.9 %).
_GATE_SQUARED_STDS = 16.3
_NO_MATCH_COST = 1e6


@dataclass(frozen=True, eq=False)
class MovingObject:
    """A tracked object, in the camera's optical axes.

    id: stays with the object.
    position: (3,) m.
    size: (3,) m, extent along the axes.
    velocity: (3,) m/s.
    covariance: (6, 6), position before velocity.
    box: x, y, width, height in pixels.
    age: frames since it was first seen.
    """

    id: int
    position: Doubles
    size: Doubles
    velocity: Doubles
    covariance: Doubles
    box: tuple[int, int, int, int]
    age: int


@dataclass
class _Track:
    """State of an object's filter.

    id: stays with the object.
    state: (6,) position (m) and velocity (m/s).
    covariance: (6, 6) of ``state``.
    patch: the last one seen.
    hits: consecutive frames in which it was seen.
    misses: consecutive frames in which it was not.
    age: frames since it was first seen.
    is_published: whether it is published at present.
    """

    id: int
    state: Doubles
    covariance: Doubles
    patch: MovingPatch
    hits: int = 1
    misses: int = 0
    age: int = 1
    is_published: bool = False


class ObjectTracker:
    """Turns the object flow of every frame into objects that do not flicker.

    A patch of moving pixels is published after three consecutive frames at positions that fit its
    velocity, if that velocity is significant; it is dropped after three misses. Each track is a
    constant-velocity Kalman filter in the axes of the moving camera.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, estimate: Estimate) -> list[MovingObject]:
        """The objects of this frame. Without ego-motion (lost, first frame) all tracks end."""
        if estimate.motion is None or estimate.object_flow is None:
            self._tracks = []
            return []
        for track in self._tracks:
            _predict(track, estimate.motion)
        patches = moving_patches(estimate.depth, estimate.object_flow, estimate.camera)
        used = self._associate(patches)
        for index, patch in enumerate(patches):
            if index not in used:
                self._tracks.append(_new_track(self._next, patch))
                self._next += 1
        self._tracks = [track for track in self._tracks if track.misses < _lives(track)]
        return [_object(track) for track in self._tracks if _decide_published(track)]

    def _associate(self, patches: list[MovingPatch]) -> set[int]:
        """Assign patches to tracks; returns the indices of assigned patches."""
        used: set[int] = set()
        cost = np.full((len(self._tracks), len(patches)), _NO_MATCH_COST)
        for row, track in enumerate(self._tracks):
            for column, patch in enumerate(patches):
                apart = patch.position - track.state[:3]
                # If half the object is occluded, its centre jumps by a quarter of its size.
                shape = np.diag((0.25 * patch.size) ** 2)
                spread = track.covariance[:3, :3] + patch.covariance[:3, :3] + shape
                distance = float(apart @ np.linalg.solve(spread, apart))
                if distance < _GATE_SQUARED_STDS:
                    cost[row, column] = distance
        found = dict(zip(*linear_sum_assignment(cost), strict=True)) if cost.size else {}
        for row, track in enumerate(self._tracks):
            track.age += 1
            wanted = found.get(row)
            if wanted is None or cost[row, wanted] >= _NO_MATCH_COST:
                track.misses += 1
                track.hits = 0
                continue
            _correct(track, patches[wanted])
            used.add(int(wanted))
        return used


def _new_track(number: int, patch: MovingPatch) -> _Track:
    state = np.concatenate((patch.position, patch.velocity))
    return _Track(number, state, patch.covariance.copy(), patch)


def _lives(track: _Track) -> int:
    """Misses after which a track is dropped; one that was never published goes at once."""
    return _FRAMES_TO_VANISH if track.is_published else 1


def _predict(track: _Track, motion: Motion) -> None:
    """Constant velocity in the world; then into the axes of the new camera."""
    back = motion.rotation.T
    step = np.eye(6)
    step[:3, 3:] = motion.dt * np.eye(3)
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = back
    track.state = turn @ step @ track.state
    track.state[:3] -= back @ motion.translation
    dt, variance = motion.dt, _ACCELERATION_STD_MPS2**2
    noise = np.kron([[dt**4 / 4, dt**3 / 2], [dt**3 / 2, dt**2]], variance * np.eye(3))
    full = turn @ step
    track.covariance = full @ track.covariance @ full.T + noise


def _correct(track: _Track, patch: MovingPatch) -> None:
    seen = np.concatenate((patch.position, patch.velocity))
    gain = track.covariance @ np.linalg.inv(track.covariance + patch.covariance)
    track.state = track.state + gain @ (seen - track.state)
    covariance = (np.eye(6) - gain) @ track.covariance
    track.covariance = 0.5 * (covariance + covariance.T)
    track.patch = patch
    track.hits += 1
    track.misses = 0


def _decide_published(track: _Track) -> bool:
    velocity = track.state[3:]
    sigmas = float(np.sqrt(velocity @ np.linalg.solve(track.covariance[3:, 3:], velocity)))
    if track.is_published:
        track.is_published = sigmas > _KEEP_SPEED_STDS
    else:
        track.is_published = track.hits >= _FRAMES_TO_APPEAR and sigmas > _APPEAR_SPEED_STDS
    return track.is_published


def _object(track: _Track) -> MovingObject:
    return MovingObject(
        track.id,
        track.state[:3].copy(),
        track.patch.size,
        track.state[3:].copy(),
        track.covariance.copy(),
        track.patch.box,
        track.age,
    )
