"""Constant-velocity model of the camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.geometry import se3


class ConstantVelocity:
    """The camera's velocity at the last frame, in network units and rad/s.

    While tracking is lost, the last velocity stays.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._velocity: NDArray[np.float64] | None = None
        self._stamp = self._seen = 0

    def expected(self, since: int, until: int) -> NDArray[np.float64] | None:
        """(4, 4) predicted motion between two stamps (ns), the first of them the last frame's.

        None = unknown.
        """
        if self._velocity is None or self._stamp != since:
            return None
        return se3.exp(self._velocity * (until - since) * 1e-9)

    def note(self, since: int, until: int, pair: PairMotion, patience: float) -> None:
        """Record the motion between two frames, which may be lost.

        patience: s, for which the last velocity stays while tracking is lost.
        """
        if pair.quality.tracking != "lost":
            step = se3.transform(pair.rotation, pair.translation)
            self._velocity = se3.log(step) / ((until - since) * 1e-9)
            self._seen = until
        elif self._stamp != since or (until - self._seen) * 1e-9 > patience:
            self._velocity = None
        self._stamp = until
