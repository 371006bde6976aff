"""Whether a runtime's answer is close enough to PyTorch's to be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import EngineError, RawPrediction

# Median over the pixels of |depth - PyTorch's| / PyTorch's.
DEPTH_LIMIT = {"fp32": 1e-3, "fp16": 1e-2}
# Largest difference of rotation, translation or K over the largest value. An order above what
# rounding does, far below what a lost or stale tensor does.
GEOMETRY_LIMIT = {"fp32": 5e-3, "fp16": 5e-2}
# A camera that stands still has no motion to compare errors with: below these it counts as moving
# by this much (radians; a share of the median depth).
STILL_ROTATION = 0.01
STILL_TRANSLATION = 0.01


def check_acceptable(
    reference: RawPrediction, other: RawPrediction, precision: str, runtime: str
) -> str:
    """The figures of the comparison as text. Both are answers to one pair of images.

    Raises EngineError with the figures where depth or geometry differ by more than the limits.
    """
    difference = np.abs(other.depth.astype(np.float64) - reference.depth) / reference.depth
    depth = float(np.median(difference))
    geometry = _geometry_errors(reference, other)
    figures = f"depth {depth:.2%} (median)" + "".join(
        f", {name} {error:.2%}" for name, error in geometry.items()
    )
    # NaN is not below any limit.
    good = depth <= DEPTH_LIMIT[precision] and all(
        error <= GEOMETRY_LIMIT[precision] for error in geometry.values()
    )
    if not good:
        raise EngineError(
            f"{runtime} in {precision} differs from PyTorch: {figures}; allowed are "
            f"{DEPTH_LIMIT[precision]:.1%} and {GEOMETRY_LIMIT[precision]:.1%}"
        )
    return figures


def _geometry_errors(reference: RawPrediction, other: RawPrediction) -> dict[str, float]:
    expected, got = reference.motion, other.motion
    if expected is None or got is None:
        raise ValueError("a prediction has no motion; run both on a pair of images")
    still = STILL_TRANSLATION * float(np.median(reference.depth))
    return {
        "rotation": _error(expected.rotation, got.rotation, STILL_ROTATION),
        "translation": _error(expected.translation, got.translation, still),
        "K": _error(expected.K, got.K, 0.0),
    }


def _error(a: NDArray[np.float32], b: NDArray[np.float32], least: float) -> float:
    difference = float(np.abs(a.astype(np.float64) - b).max())
    return difference / max(float(np.abs(a).max()), least)
