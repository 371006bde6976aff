"""Small helpers of iterative motion estimation, faster than the general ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def moved(motion: Doubles, step: Doubles) -> Doubles:
    """motion · exp(step) to second order in the rotation, at a fifth of the cost; the next step
    corrects the small error."""
    x, y, z = step[3:]
    W = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    moved = motion.copy()
    moved[:3, 3] += motion[:3, :3] @ step[:3]
    moved[:3, :3] += motion[:3, :3] @ (W + 0.5 * W @ W)
    return moved


def rotation_of(motion: Doubles) -> Doubles:
    """(3, 3) the rotation nearest to that of a (4, 4) motion whose steps were approximate."""
    U, _, Vt = np.linalg.svd(motion[:3, :3])
    return np.asarray(U @ Vt)


def angle_of(motion: Doubles) -> float:
    """Angle of the rotation of a (4, 4) motion, radians."""
    return float(np.arccos(np.clip(0.5 * (np.trace(motion[:3, :3]) - 1), -1, 1)))


def median(values: NDArray[np.float32]) -> float:
    """np.median costs four times as much."""
    middle = values.size // 2
    return float(np.partition(values, middle)[middle])
