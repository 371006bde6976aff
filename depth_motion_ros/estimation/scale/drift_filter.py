"""Keeps the unit of length of a network's depth from frame to frame."""

from __future__ import annotations

import math

from depth_motion_ros.estimation.alignment.search import MEAN_DEPTH_ERROR_SHARE
from depth_motion_ros.estimation.alignment.triangulated_points import TriangulatedPoints
from depth_motion_ros.estimation.pair import PairMotion

# The mean of a network's depth is off by much the same for so many frames: together they say as
# much about the unit as one.
_CORRELATED_FRAMES = 10.0
# Standard deviation of ln(unit) from one frame to the next, as a share of what it wanders in all.
_STEP_DRIFT_SHARE = 0.5
_MIN_LOG_UNIT_STD = 1e-3
# Relative standard deviation of the unit where it begins anew: what spoilt a frame, or filled the
# view, also changes what the network makes of its lengths.
_RESTART_RELATIVE_STD = 0.2


class ScaleDriftFilter:
    """A Kalman filter of the ln of the factor by which a frame's depth has to be multiplied.

    The depth maps of a network are each right up to a factor that wanders by some 10 % in a
    second. Points that two successive pairs of frames have triangulated have one size, and so tell
    the ratio of the units of both to 1 % or better. Chained, that would drift; the network, whose
    mean unit stays, pulls it back.
    """

    def __init__(self, depth_relative_std: float) -> None:
        """depth_relative_std: relative standard deviation of the error of the network's depth."""
        self.doubt(depth_relative_std)
        self.reset()

    def doubt(self, depth_relative_std: float) -> None:
        """Another ``depth_relative_std`` from now on."""
        self._wander = max(MEAN_DEPTH_ERROR_SHARE * depth_relative_std, _MIN_LOG_UNIT_STD) ** 2

    def reset(self) -> None:
        """The next frame's unit is the network's."""
        self._log, self._variance, self._pull = 0.0, self._wander, 0.0
        self._change, self._anew = self._wander, _RESTART_RELATIVE_STD**2
        self._before: TriangulatedPoints | None = None
        self._doubt = 0.0

    @property
    def factor(self) -> float:
        return math.exp(self._log)

    @property
    def change(self) -> float:
        """Factor by which the same length is now told longer than a frame ago, as the network
        pulled the unit back: known, and not to be learnt again from what is metric."""
        return math.exp(self._pull)

    @property
    def variance(self) -> float:
        """Relative, of the factor."""
        return min(self._variance, self._wander)

    @property
    def change_variance(self) -> float:
        """Relative, of the factor since the frame before: all that matters to lengths whose scale
        is measured again and again in this very unit."""
        return min(self._change, self.variance)

    @property
    def doubt_since(self) -> float:
        """Relative variance by which the unit may have changed since the frame before, ``change``
        aside: for whoever remembers lengths of earlier frames."""
        return self._doubt

    def steadied(self, pair: PairMotion | None) -> PairMotion | None:
        """The motion to the next frame, in the steady unit; a lost one stays as it is. None = there
        is no pair."""
        if pair is None or pair.quality.tracking == "lost":
            self.reset()
            self._doubt, self._anew = self._anew, 0.0
            return pair
        self._pull = self._change = 0.0
        if pair.quality.tracking != "static":
            # While the camera stands still, the points stay where they are.
            self._update(pair.structure)
        self._doubt, self._anew = self._change + self._anew, 0.0
        more_along = self.variance - self._wander if pair.structure is not None else 0.0
        return pair.in_unit(self.factor, more_along)

    def _update(self, structure: TriangulatedPoints | None) -> None:
        """A frame follows. structure: of it and the one before; None = none was found."""
        compared = None
        if structure is not None and self._before is not None:
            compared = structure.unit_after(self._before)
        self._before = structure
        if compared is None:
            self._change = _STEP_DRIFT_SHARE**2 * self._wander
        else:
            self._log += compared[0]
            self._change = compared[1]
        self._variance += self._change
        # The network says 0 of every frame.
        gain = self._variance / (self._variance + _CORRELATED_FRAMES * self._wander)
        if compared is not None:
            self._pull = -gain * self._log
        self._log *= 1 - gain
        self._variance *= 1 - gain
