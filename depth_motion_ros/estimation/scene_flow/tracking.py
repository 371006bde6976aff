"""Moving pixels grouped into objects, and followed from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from depth_motion_ros.estimation.estimate import Estimate, Motion
from depth_motion_ros.estimation.scene_flow.patches import MovingPatch, moving_patches

Doubles = NDArray[np.float64]

# Frames in a row that an object must be seen before it is told, and may then be missed.
_APPEAR, _VANISH = 3, 3
# Filtered speed in standard deviations: more to be told for the first time than to go on.
_SURE, _DOUBTFUL = 3.0, 1.0
# Standard deviation of the acceleration of people and cars, m/s².
_ACCELERATION = 2.0
# Squared distance of a patch from a track, in variances of both (chi-square, 3 degrees, 99.9 %).
_GATE = 16.3
_FAR = 1e6


@dataclass(frozen=True, eq=False)
class MovingObject:
    """id: stays with the object. position (3,) m and velocity (3,) m/s: in the camera's optical
    axes. size (3,): m, extent along those axes. covariance (6, 6): position before velocity.
    box: x, y, width, height in pixels. age: frames since it was first seen."""

    id: int
    position: Doubles
    size: Doubles
    velocity: Doubles
    covariance: Doubles
    box: tuple[int, int, int, int]
    age: int


@dataclass
class _Track:
    id: int
    state: Doubles
    covariance: Doubles
    patch: MovingPatch
    hits: int = 1
    misses: int = 0
    age: int = 1
    told: bool = False


class ObjectTracker:
    """Turns the object flow of every frame into objects that do not flicker.

    A patch of moving pixels is told once it has been seen in three frames in a row at places that
    agree with its velocity, and that velocity is significant; it is forgotten after three misses.
    Each track is a Kalman filter of constant velocity that turns and moves with the camera.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, estimate: Estimate) -> list[MovingObject]:
        """The objects of this frame. Without motion (lost, first) everything is forgotten."""
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
        return [_object(track) for track in self._tracks if _is_told(track)]

    def _associate(self, patches: list[MovingPatch]) -> set[int]:
        """Give each track its patch; which patches found one."""
        used: set[int] = set()
        cost = np.full((len(self._tracks), len(patches)), _FAR)
        for row, track in enumerate(self._tracks):
            for column, patch in enumerate(patches):
                apart = patch.position - track.state[:3]
                # Half the object may be hidden: its middle then jumps by a quarter of its size.
                shape = np.diag((0.25 * patch.size) ** 2)
                spread = track.covariance[:3, :3] + patch.covariance[:3, :3] + shape
                distance = float(apart @ np.linalg.solve(spread, apart))
                if distance < _GATE:
                    cost[row, column] = distance
        found = dict(zip(*linear_sum_assignment(cost), strict=True)) if cost.size else {}
        for row, track in enumerate(self._tracks):
            track.age += 1
            wanted = found.get(row)
            if wanted is None or cost[row, wanted] >= _FAR:
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
    """What was never told may go at once."""
    return _VANISH if track.told else 1


def _predict(track: _Track, motion: Motion) -> None:
    """Constant velocity in the world; then into the axes of the new camera."""
    back = motion.rotation.T
    step = np.eye(6)
    step[:3, 3:] = motion.dt * np.eye(3)
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = back
    track.state = turn @ step @ track.state
    track.state[:3] -= back @ motion.translation
    dt, variance = motion.dt, _ACCELERATION**2
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


def _is_told(track: _Track) -> bool:
    velocity = track.state[3:]
    sigmas = float(np.sqrt(velocity @ np.linalg.solve(track.covariance[3:, 3:], velocity)))
    if track.told:
        track.told = sigmas > _DOUBTFUL
    else:
        track.told = track.hits >= _APPEAR and sigmas > _SURE
    return track.told


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
