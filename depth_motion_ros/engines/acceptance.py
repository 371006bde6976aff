"""Whether a runtime's answer is close enough to PyTorch's to be used."""

from __future__ import annotations

import numpy as np

from depth_motion_ros.engines.engine import EngineError, RawPrediction
from depth_motion_ros.engines.parity import compare

# Median over the pixels of |depth - PyTorch's| / PyTorch's.
DEPTH_LIMIT = {"fp32": 1e-3, "fp16": 1e-2}
# Largest difference of rotation, translation or K over the largest value. An order above what
# rounding does, far below what a lost or stale tensor does.
GEOMETRY_LIMIT = {"fp32": 5e-3, "fp16": 5e-2}
_GEOMETRY = ("rotation", "translation", "K")


def check_acceptable(
    reference: RawPrediction, other: RawPrediction, precision: str, runtime: str
) -> str:
    """The figures of the comparison as text. Both are answers to one pair of images.

    Raises EngineError with the figures where depth or geometry differ by more than the limits.
    """
    difference = np.abs(other.depth.astype(np.float64) - reference.depth) / reference.depth
    depth = float(np.median(difference))
    errors = compare(reference, other).errors
    geometry = {name: errors[name] for name in _GEOMETRY if name in errors}
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
