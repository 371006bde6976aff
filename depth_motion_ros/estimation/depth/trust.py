"""Whether geometry is to be believed as a whole, by how it compares with the raw prior."""

from __future__ import annotations

import numpy as np

from depth_motion_ros.estimation.depth.epipolar_field import Floats
from depth_motion_ros.estimation.depth.state import GeometryState

# Relative standard deviation of what is well measured; the factor by which it is off the prior.
_WELL, _FAR = np.float32(0.15), np.float32(np.log(2.0))
# Share of the image that must be well measured before its share says anything.
_ENOUGH = 0.05
# Of what is well measured, the share off the prior above which geometry is not believed. And how
# much of what was before counts.
_MOST_OFF, _MEMORY = 0.27, 0.7


class Trust:
    """How much of the well measured is off the prior by more than twice, smoothed over frames."""

    def __init__(self) -> None:
        self.share: float | None = None

    def clear(self) -> None:
        self.share = None

    def hear(self, state: GeometryState, prior: Floats) -> bool:
        """Whether the state is to be believed. prior: (H, W) inverse depth by the network."""
        r = state.inverse_depth
        well = (r > 0) & (state.variance < (_WELL * r) ** 2)
        count = int(np.count_nonzero(well))
        if count > _ENOUGH * r.size:
            off = np.abs(np.log(r[well] / prior[well])) > _FAR
            share = int(np.count_nonzero(off)) / count
            before = share if self.share is None else self.share
            self.share = _MEMORY * before + (1 - _MEMORY) * share
        return self.share is None or self.share < _MOST_OFF
