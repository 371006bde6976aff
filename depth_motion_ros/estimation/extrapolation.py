"""The last known motion, continued for a moment while tracking is lost."""

from __future__ import annotations

import numpy as np

from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry import se3

_SECONDS_PER_NS = 1e-9


class LastMotion:
    """Keeps the last motion that was tracked."""

    def __init__(self) -> None:
        self._last: tuple[int, Motion] | None = None

    def note(self, stamp: int, motion: Motion) -> None:
        """A tracked motion that ended at ``stamp``, ns."""
        self._last = stamp, motion

    def extrapolated(self, stamp: int, dt: float, settings: EstimatorSettings) -> Motion | None:
        """The last motion at constant velocity over ``dt`` s, ending at ``stamp`` (ns).

        Its covariance is that of unobserved motion by the settings. None where the last motion is
        older than ``max_gap``.
        """
        if self._last is None:
            return None
        noted, last = self._last
        if not 0 < (stamp - noted) * _SECONDS_PER_NS <= settings.max_gap:
            return None
        twist = se3.log(se3.transform(last.rotation, last.translation)) / last.dt
        step = se3.exp(twist * dt)
        unseen = [(settings.lost_speed * dt) ** 2] * 3
        unseen += [(settings.lost_turn_rate * dt) ** 2] * 3
        return Motion(step[:3, :3], step[:3, 3], np.diag(unseen), dt)
