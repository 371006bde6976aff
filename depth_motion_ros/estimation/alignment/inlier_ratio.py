"""How many corners obey the camera's motion, against how many usually do."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.pair import FrameView, PairMotion
from depth_motion_ros.geometry.camera import Camera

# Seconds in which fewer corners become usual, and how fast more do: what hides them passes, what
# shows more of them stays.
_FORGETS, _LEARNS = 5.0, 0.3
# Pixels by which all corners may be off together where none agree, and the power of the share that
# is missing. Of 1,516 pairs of nine simulated scenes, errors were as large as claimed without it
# where at least 90 % as many agreed as usually, larger by 2 where 70 to 80 % did, by 10 to 20
# where 50 to 60 %.
_OFF, _POWER = 4.0, 2

# Part of the usual below which another odometry is asked, radians by which its direction may
# differ, and its shortest step, in metres, that has one.
_FEWER, _ASIDE, _SHORTEST = 0.85, math.radians(15.0), 0.02


class InlierRatio:
    """Tells a frame in which something large moves, or much is spoilt, from those before.

    Two images alone cannot say whether a robot that drives beside a bus, or the bus, has moved:
    once it fills half of the view, more corners speak for the wrong one. But then fewer obey
    either than did before.
    """

    def __init__(self) -> None:
        self._usual: float | None = None
        self._stamp = 0

    @property
    def usual(self) -> float:
        """Share of the corners that usually agree; 0 while nothing is known of it."""
        return self._usual or 0.0

    def judged(
        self,
        pair: PairMotion,
        stamp: int,
        view: FrameView,
        camera: Camera,
        least: float,
        other: NDArray[np.float64] | None = None,
    ) -> PairMotion:
        """The motion, less certain the fewer agree; lost below the part ``least`` of the usual, or
        where fewer agree and another odometry says that the camera went elsewhere.

        stamp: ns, of the pair's second frame. view: of it. camera: of its image. other: (4, 4) the
        camera's motion by another odometry, metres; None = it says nothing.
        """
        share = pair.agreement
        if share is None or pair.quality.tracking == "lost":
            return pair
        usual, part = self.usual, self._compared(stamp, share)
        if pair.quality.tracking == "static":
            return pair
        if part < least:
            return pair.lost(
                f"only {share:.0%} of the corners agree on a motion, where usually {usual:.0%} do: "
                "something large moves before the camera, or the image is spoilt"
            )
        aside = _angle_between(pair.translation, other)
        if least > 0 and part < _FEWER and aside > _ASIDE:
            return pair.lost(
                f"{share:.0%} of the corners agree on a motion, where usually {usual:.0%} do, and "
                f"it goes {math.degrees(aside):.0f} degrees aside of what the odometry says: "
                "something large moves before the camera"
            )
        # Every fourth row and column: the median does not need more.
        depth = view.depth[::4, ::4]
        known = depth[np.isfinite(depth)]
        focal = 0.5 * (camera.fx + camera.fy) * view.detail.shape[1] / camera.width
        turn = _OFF * (1 - part) ** _POWER / focal
        return pair.doubted(turn, float(np.median(known)) if known.size else 1.0)

    def _compared(self, stamp: int, share: float) -> float:
        """As a part of what is usual, at most 1."""
        usual = share if self._usual is None else self._usual
        elapsed = max(0, stamp - self._stamp) * 1e-9
        follow = _LEARNS if share > usual else 1 - math.exp(-elapsed / _FORGETS)
        self._usual, self._stamp = usual + follow * (share - usual), stamp
        return min(1.0, share / usual) if usual > 0 else 1.0


def _angle_between(translation: NDArray[np.float64], other: NDArray[np.float64] | None) -> float:
    """Radians between two steps of the camera; 0 where one is too short to have a direction."""
    if other is None:
        return 0.0
    lengths = float(np.linalg.norm(translation)), float(np.linalg.norm(other[:3, 3]))
    if lengths[0] == 0 or lengths[1] < _SHORTEST:
        return 0.0
    cosine = float(translation @ other[:3, 3]) / (lengths[0] * lengths[1])
    return math.acos(min(1.0, max(-1.0, cosine)))
