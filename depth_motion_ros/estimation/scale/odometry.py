"""Metric scale from wheel odometry, or any other odometry in metres."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.estimation.scale.source import UNKNOWN_SCALE, ScaleObservation
from depth_motion_ros.geometry import se3
from depth_motion_ros.sources.bag.odometry import OdometryTrack

# Pairs in the sum, and the fewest that give a scale.
_WINDOW_PAIRS, _MIN_PAIRS = 100, 5
# Time in motion after which a pair counts half: the unit of length drifts with the scene, by a
# percent in a second.
_HALF_LIFE_S = 1.0
# Translations of a slower camera are noise.
_MIN_SPEED_MPS = 0.05
# Ratios farther from the median are slip or a wrong pair.
_OUTLIER_STDS = 3.0
# Number of successive pairs with correlated errors.
_CORRELATED_PAIRS = 5.0
# Standard deviation of the change of the unit at which a pair counts half.
_SAME_UNIT_RELATIVE_STD = 0.03
# The least spread of ratios, and the systematic error that no number of them removes (wheel radius,
# a network that is better in some places than in others).
_MIN_RATIO_STD, _REMAINING_RELATIVE_STD = 0.02, 0.03
_S_PER_NS = 1e-9


class OdometryScale:
    """s = Σ w‖t_odo‖‖t_pred‖ / Σ w‖t_pred‖² over the last moving pairs, without outliers; newer
    pairs have more weight.

    Odometry may come late or early: a pair waits until the odometry reaches its second frame.
    Without new odometry the last scale stays, since a network's unit does not change by itself.
    """

    def __init__(self, base_from_camera: NDArray[np.float64]) -> None:
        """base_from_camera: (4, 4); a camera off the axis of a rotating robot moves although the
        base does not."""
        self.mount(base_from_camera)
        self._track = OdometryTrack()
        self._waiting: deque[tuple[int, int, float, float]] = deque(maxlen=_WINDOW_PAIRS)
        self._steps: deque[tuple[float, float, float, float]] = deque(maxlen=_WINDOW_PAIRS)
        self._scale = UNKNOWN_SCALE
        # Known change of the unit of length since the beginning: steps are kept in the first unit.
        self._unit_change = 1.0
        # Relative variance of its further, unknown change.
        self._unit_variance = 0.0

    def mount(self, base_from_camera: NDArray[np.float64]) -> None:
        """Set another pose of the camera on the base."""
        self._base_from_camera = base_from_camera
        self._camera_from_base = se3.inverse(base_from_camera)

    def add(self, stamp: int, pose: NDArray[np.float64]) -> None:
        """Add an odometry message. stamp: ns, by the clock of the images. pose: (4, 4), m."""
        self._track.add(stamp, pose)

    def update(self, seen: ScaleObservation) -> Scale:
        self._unit_change *= seen.unit_change
        self._unit_variance += seen.unit_variance
        if seen.motion is not None and seen.previous_stamp is not None:
            step = float(np.linalg.norm(seen.motion[:3, 3])) / self._unit_change
            self._waiting.append((seen.previous_stamp, seen.stamp, step, self._unit_variance))
        learned = False
        while self._waiting and self._track.reaches(self._waiting[0][1]):
            learned |= self._measure(*self._waiting.popleft())
        if learned and len(self._steps) >= _MIN_PAIRS:
            self._scale = _scale_of(np.array(self._steps))
        if not self._scale.is_metric:
            return self._scale
        return replace(self._scale, value=self._scale.value / self._unit_change)

    def motion(self, first: int, last: int) -> NDArray[np.float64] | None:
        """(4, 4) of the camera between two stamps (ns), metres: points of the later camera to the
        earlier one's axes; None where there is no odometry, or not yet."""
        if not self._track.reaches(last):
            return None
        before, after = self._track.pose_at(first), self._track.pose_at(last)
        if before is None or after is None:
            return None
        return self._of_camera(before, after)

    def _of_camera(
        self, before: NDArray[np.float64], after: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        base = se3.inverse(before) @ after
        return np.asarray(self._camera_from_base @ base @ self._base_from_camera)

    def _measure(self, first: int, last: int, predicted: float, unit_variance: float) -> bool:
        before, after = self._track.pose_at(first), self._track.pose_at(last)
        if before is None or after is None:
            return False
        camera = self._of_camera(before, after)
        step = float(np.linalg.norm(camera[:3, 3]))
        seconds = (last - first) * _S_PER_NS
        if predicted <= 0 or step < _MIN_SPEED_MPS * seconds:
            return False
        self._steps.append((step, predicted, seconds, unit_variance))
        return True


def _scale_of(steps: NDArray[np.float64]) -> Scale:
    """steps: (N, 4), each a translation in metres and in network units, its seconds, and the
    relative variance of the unit's change until then; the newest last."""
    seconds = steps[:, 2]
    recent = 0.5 ** ((seconds.sum() - np.cumsum(seconds)) / _HALF_LIFE_S)
    recent *= _SAME_UNIT_RELATIVE_STD**2 / (_SAME_UNIT_RELATIVE_STD**2 + steps[-1, 3] - steps[:, 3])
    logs = np.log(steps[:, 0] / steps[:, 1])
    # Older ones count less here, too: otherwise, after a jump of the unit (as something large that
    # moves may cause), the new ratios would be outliers for half of the window.
    middle = _weighted_median(logs, recent)
    spread = max(_MIN_RATIO_STD, 1.4826 * _weighted_median(np.abs(logs - middle), recent))
    inlier = np.abs(logs - middle) <= _OUTLIER_STDS * spread
    true, predicted = steps[inlier, :2].T
    weight = recent[inlier]
    value = float(true @ (weight * predicted) / (predicted @ (weight * predicted)))
    count = float(weight.sum() ** 2 / (weight @ weight)) / _CORRELATED_PAIRS
    return Scale(value, "odometry", spread**2 / max(1.0, count) + _REMAINING_RELATIVE_STD**2)


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The smallest value up to which half of all weight lies."""
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])
