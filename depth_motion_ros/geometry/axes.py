"""How the axes that robots use lie to those that cameras use (REP-103)."""

from __future__ import annotations

import numpy as np

# (4, 4): points in optical axes (x right, y down, z forward) to the axes of a body (x forward,
# y left, z up) at the same place. A camera mounted so looks ahead.
BODY_FROM_OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
BODY_FROM_OPTICAL.setflags(write=False)
