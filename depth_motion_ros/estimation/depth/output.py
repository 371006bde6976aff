"""Geometry and corrected prior become one depth, with a standard deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_motion_ros.estimation.depth.epipolar_field import Floats
from depth_motion_ros.estimation.depth.fill import CorrectedPrior
from depth_motion_ros.estimation.depth.state import GeometryState

# Relative standard deviation of the corrected prior, at best.
_LEAST_STD = np.float32(0.05)
# Standard deviations by which geometry may be off the corrected prior before it counts less.
_APART = np.float32(1.0)
# Errors that neighbours and frames share are not in the variances: so many times the standard
# deviation, and so much more, is what errors truly are. Fitted on redkitchen_dev, icsl_corridor and
# five simulated scenes (research/measured-depth.md).
_INFLATION, _SHARED = np.float32(1.5), np.float32(0.02)


@dataclass(frozen=True, eq=False)
class FusedDepth:
    """inverse_depth: (H, W) > 0. std: (H, W), relative."""

    inverse_depth: Floats
    std: Floats


def fused(state: GeometryState, prior: CorrectedPrior) -> FusedDepth:
    """The decision against geometry falls here, by the corrected prior: a large area that agrees
    with itself has moved that, a compact one, which moves by itself, has not."""
    c = prior.inverse_depth
    doubt = (np.maximum(prior.std, _LEAST_STD) * c) ** 2
    off = state.inverse_depth - c
    apart = off * off / ((state.variance + doubt) * _APART**2)
    variance = state.variance * (1 + apart * apart)
    gain = doubt / (doubt + variance)
    r = np.maximum(c + gain * off, np.float32(0.2) * c)
    return FusedDepth(r, calibrated(np.sqrt(gain * variance) / r))


def prior_alone(prior: Floats, std: float) -> FusedDepth:
    """Without geometry. prior: (H, W) inverse depth, off by ``std``, relative."""
    return FusedDepth(prior, calibrated(np.full_like(prior, std)))


def calibrated(std: Floats) -> Floats:
    """(H, W) what errors truly are where the filter claims ``std``."""
    return _INFLATION * std + _SHARED
