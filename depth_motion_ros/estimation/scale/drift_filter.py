"""Filters the scale drift of a network's depth from frame to frame."""

from __future__ import annotations

import math

from depth_motion_ros.estimation.alignment.search import MEAN_DEPTH_ERROR_SHARE
from depth_motion_ros.estimation.alignment.triangulated_points import TriangulatedPoints
from depth_motion_ros.estimation.pair import PairMotion

# Number of successive frames whose mean depth has correlated errors.
_CORRELATED_FRAMES = 10.0
# Standard deviation of ln(unit) from one frame to the next, as a share of its total.
_STEP_DRIFT_SHARE = 0.5
_MIN_LOG_UNIT_STD = 1e-3
# Standard deviation of the unit after a restart: what spoilt a frame, or filled the view, also
# changes the network's lengths.
_RESTART_RELATIVE_STD = 0.2


class ScaleDriftFilter:
    """A Kalman filter of the ln of the factor by which a frame's depth has to be multiplied.

    Each depth map of a network is right up to a factor that drifts by some 10 % in a second. Points
    that two successive pairs of frames have triangulated give the ratio of both units to 1 % or
    better. Chained ratios drift; the network, whose mean unit is constant, corrects that.
    """

    def __init__(self, depth_relative_std: float) -> None:
        """depth_relative_std: relative standard deviation of the error of the network's depth."""
        self.set_depth_relative_std(depth_relative_std)
        self.reset()

    def set_depth_relative_std(self, depth_relative_std: float) -> None:
        """Set another ``depth_relative_std``."""
        self._wander = max(MEAN_DEPTH_ERROR_SHARE * depth_relative_std, _MIN_LOG_UNIT_STD) ** 2

    def reset(self) -> None:
        """Start again: the next frame's unit is the network's."""
        self._log, self._variance, self._pull = 0.0, self._wander, 0.0
        self._change, self._restart_variance = self._wander, _RESTART_RELATIVE_STD**2
        self._before: TriangulatedPoints | None = None
        self._variance_since = 0.0

    @property
    def factor(self) -> float:
        return math.exp(self._log)

    @property
    def change(self) -> float:
        """Factor by which the same length has grown since the frame before, since the network
        corrected the unit: known, so the scale need not be measured again."""
        return math.exp(self._pull)

    @property
    def variance(self) -> float:
        """Relative, of the factor."""
        return min(self._variance, self._wander)

    @property
    def change_variance(self) -> float:
        """Relative, of the factor since the frame before: enough where the scale is measured in
        every frame's own unit."""
        return min(self._change, self.variance)

    @property
    def variance_since(self) -> float:
        """Relative variance of the unit's change since the frame before, without ``change``; for
        lengths kept from earlier frames."""
        return self._variance_since

    def filtered(self, pair: PairMotion | None) -> PairMotion | None:
        """The motion in the filtered unit; a lost one stays as it is. None = there is no pair."""
        if pair is None or pair.quality.tracking == "lost":
            self.reset()
            self._variance_since, self._restart_variance = self._restart_variance, 0.0
            return pair
        self._pull = self._change = 0.0
        if pair.quality.tracking != "static":
            # At rest the points stay where they are.
            self._update(pair.triangulated)
        self._variance_since, self._restart_variance = self._change + self._restart_variance, 0.0
        more_along = self.variance - self._wander if pair.triangulated is not None else 0.0
        return pair.in_unit(self.factor, more_along)

    def _update(self, triangulated: TriangulatedPoints | None) -> None:
        """Next frame. triangulated: of it and the one before; None = none."""
        compared = None
        if triangulated is not None and self._before is not None:
            compared = triangulated.unit_after(self._before)
        self._before = triangulated
        if compared is None:
            self._change = _STEP_DRIFT_SHARE**2 * self._wander
        else:
            self._log += compared[0]
            self._change = compared[1]
        self._variance += self._change
        # The network measures 0 in every frame.
        gain = self._variance / (self._variance + _CORRELATED_FRAMES * self._wander)
        if compared is not None:
            self._pull = -gain * self._log
        self._log *= 1 - gain
        self._variance *= 1 - gain
