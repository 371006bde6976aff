"""The inlier ratio of the tracked corners, compared with the usual one of this camera."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.pair import FrameView, PairMotion
from depth_motion_ros.geometry.camera import Camera

# Time constant with which the usual ratio falls, and the share of a rise that it follows at once:
# what hides corners passes, what shows more of them stays.
_FALL_TIME_S, _RISE_SHARE_PER_PAIR = 5.0, 0.3
# Error of all corners together at inlier ratio 0, and the exponent of the missing share. Of 1,516
# pairs of nine simulated scenes, errors were as large as claimed without it from 90 % of the usual
# ratio on, larger by 2 at 70 to 80 %, by 10 to 20 at 50 to 60 %.
_MOTION_ERROR_PX, _MOTION_ERROR_EXPONENT = 4.0, 2

# Share of the usual ratio below which another odometry is compared, the largest difference of
# direction, and the shortest translation that has a direction.
_ASK_OTHER_RATIO, _MAX_DIRECTION_DIFFERENCE_RAD, _MIN_STEP_M = 0.85, math.radians(15.0), 0.02


class InlierRatio:
    """Detects frames in which something large moves, or the image is spoilt.

    Two images alone cannot show whether the robot or the bus beside it has moved: once the bus
    fills half of the view, more corners follow it than the street. But then the inlier ratio of
    either motion is lower than before.
    """

    def __init__(self) -> None:
        self._usual: float | None = None
        self._stamp = 0

    @property
    def usual(self) -> float:
        """The usual inlier ratio; 0 while it is unknown."""
        return self._usual or 0.0

    def checked(
        self,
        pair: PairMotion,
        stamp: int,
        view: FrameView,
        camera: Camera,
        least: float,
        other: NDArray[np.float64] | None = None,
    ) -> PairMotion:
        """The motion, with a larger covariance at a lower inlier ratio; lost below ``least`` times
        the usual ratio, or if the ratio is low and another odometry shows another direction.

        stamp: ns, of the pair's second frame. view: of that frame. camera: of its image. other:
        (4, 4) the camera's motion by another odometry, metres; None = unknown.
        """
        share = pair.inlier_ratio
        if share is None or pair.quality.tracking == "lost":
            return pair
        usual, part = self.usual, self._compared(stamp, share)
        if pair.quality.tracking == "static":
            return pair
        if part < least:
            return pair.lost(
                f"inlier ratio {share:.0%}, usually {usual:.0%}: something large moves in front of "
                "the camera, or the image is spoilt"
            )
        aside = _angle_between(pair.translation, other)
        if least > 0 and part < _ASK_OTHER_RATIO and aside > _MAX_DIRECTION_DIFFERENCE_RAD:
            return pair.lost(
                f"inlier ratio {share:.0%}, usually {usual:.0%}, and the translation differs from "
                f"the odometry by {math.degrees(aside):.0f} degrees: something large moves in "
                "front of the camera"
            )
        # Every fourth row and column is enough for the median.
        depth = view.depth[::4, ::4]
        known = depth[np.isfinite(depth)]
        focal = 0.5 * (camera.fx + camera.fy) * view.detail.shape[1] / camera.width
        angle = _MOTION_ERROR_PX * (1 - part) ** _MOTION_ERROR_EXPONENT / focal
        return pair.less_certain(angle, float(np.median(known)) if known.size else 1.0)

    def _compared(self, stamp: int, share: float) -> float:
        """The ratio relative to the usual one, at most 1."""
        usual = share if self._usual is None else self._usual
        elapsed = max(0, stamp - self._stamp) * 1e-9
        follow = _RISE_SHARE_PER_PAIR if share > usual else 1 - math.exp(-elapsed / _FALL_TIME_S)
        self._usual, self._stamp = usual + follow * (share - usual), stamp
        return min(1.0, share / usual) if usual > 0 else 1.0


def _angle_between(translation: NDArray[np.float64], other: NDArray[np.float64] | None) -> float:
    """Radians between two translations; 0 where one is too short to have a direction."""
    if other is None:
        return 0.0
    lengths = float(np.linalg.norm(translation)), float(np.linalg.norm(other[:3, 3]))
    if lengths[0] == 0 or lengths[1] < _MIN_STEP_M:
        return 0.0
    cosine = float(translation @ other[:3, 3]) / (lengths[0] * lengths[1])
    return math.acos(min(1.0, max(-1.0, cosine)))
