"""The prior, corrected where certain geometry is near: a regression in windows of the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.epipolar_field import Floats
from depth_motion_ros.estimation.depth.state import GeometryState

# Widths of the image that the windows measure, from coarse to fine.
_WINDOWS = (1 / 2, 1 / 5, 1 / 12)
# Rows and columns that make one of the small maps on which the windows are summed.
_BLOCK = 4
# Every so many rows and columns are summed: windows have thousands of pixels.
_SKIP = 2
# Geometry is certain that is off by less, relative; and none counts as more exact than that.
_CERTAIN, _EXACT = np.float32(0.3), np.float32(0.1)
# ln(depth) by which the prior is off at random, per window: that much evidence moves it halfway.
_RIDGE = np.float32(0.1)
# ln(depth) of spread within a window below which no slope is sought; and its limits.
_SLOPE_RIDGE, _MAX_SLOPE = np.float32(0.03), np.float32(1.0)
# What the correction may be, ln(depth).
_MAX_LOG = np.float32(1.4)
# Beyond so much, ln(depth), geometry and the correction so far disagree.
_ROBUST = np.float32(0.25)
# Variance of ln(depth) of the prior that is common to a window.
_PRIOR = np.float32(0.15**2)
_TINY = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class CorrectedPrior:
    """inverse_depth: (H, W). std: (H, W) relative, of what geometry leaves of it in the window."""

    inverse_depth: Floats
    std: Floats


def corrected_prior(prior: Floats, state: GeometryState, prior_std: float) -> CorrectedPrior:
    """ln(geometry / prior) regressed on ln(prior), in windows that become smaller.

    The slope lets a window tell a prior that is too flat from one that is too near; the image's
    edges stay where the prior has them, as in a guided filter (He, Sun, Tang, 2010), with the
    certainty of geometry as weight.

    prior: (H, W) inverse depth > 0. prior_std: relative, of the prior where no geometry is near.
    """
    height, width = prior.shape
    inverse_depth, variance = (
        np.ascontiguousarray(part[::_SKIP, ::_SKIP])
        for part in (state.inverse_depth, state.variance)
    )
    # The lines of the windows add up, and are evaluated on all pixels once.
    whole = np.log(prior)
    guide = np.ascontiguousarray(whole[::_SKIP, ::_SKIP])
    certain = (inverse_depth > 0) & (variance < (_CERTAIN * inverse_depth) ** 2)
    left = np.log(np.where(certain, inverse_depth, 1)) - guide
    certain &= np.abs(left) < _MAX_LOG
    left[~certain] = 0
    relative = np.where(certain, variance, 0) / np.where(certain, inverse_depth, 1) ** 2
    weight = certain * (_EXACT**2 / (relative + _EXACT**2))
    small = max(1, width // _BLOCK), max(1, height // _BLOCK)
    offset, slope = np.zeros(small[::-1], np.float32), np.zeros(small[::-1], np.float32)
    spread = np.full(small[::-1], prior_std**2, np.float32)
    for share in _WINDOWS:
        robust = weight / (1 + (left * (1 / _ROBUST)) ** 2)
        more, steeper, spread = _window(guide, left, robust, relative, share, small, spread)
        left -= _grown(more, guide.shape) + _grown(steeper, guide.shape) * guide
        offset += more
        slope += steeper
    correction = _grown(offset, prior.shape) + _grown(slope, prior.shape) * whole
    np.clip(correction, -_MAX_LOG, _MAX_LOG, out=correction)
    std = np.sqrt(_grown(spread, prior.shape))
    return CorrectedPrior(np.exp(whole + correction), std)


def _window(
    guide: Floats,
    left: Floats,
    weight: Floats,
    relative: Floats,
    share: float,
    small: tuple[int, int],
    spread: Floats,
) -> tuple[Floats, Floats, Floats]:
    """(h, w) each: offset and slope of what is left, and variance of what they leave, which is
    ``spread`` where no weight is."""
    size = max(3, round(share * small[0]) | 1)
    weighted = weight * left
    layers = cv2.merge((weight, weight * guide, weighted, weight * guide * guide))
    sums = _boxed(cv2.resize(layers, small, interpolation=cv2.INTER_AREA), size)
    more = cv2.merge((weighted * guide, weighted * left, weight * relative))
    rest = _boxed(cv2.resize(more, small, interpolation=cv2.INTER_AREA), size)
    w, wx, wy, wxx = cv2.split(sums)
    wxy, wyy, wv = cv2.split(rest)
    over = 1 / np.maximum(w, _TINY)
    x, y = wx * over, wy * over
    xx, xy, yy = wxx * over - x * x, wxy * over - x * y, wyy * over - y * y
    common = wv * over
    believed = w / (w + _RIDGE) * _PRIOR / (_PRIOR + common)
    slope = np.clip(believed * xy / (xx + _SLOPE_RIDGE), -_MAX_SLOPE, _MAX_SLOPE)
    offset = believed * y - slope * x
    rest_variance = np.maximum(yy - 2 * slope * xy + slope * slope * xx, 0)
    return offset, slope, believed * (rest_variance + common) + (1 - believed) * spread


def _boxed(values: NDArray, size: int) -> Floats:
    """Twice over a box: smooth like a triangle."""
    half = max(3, (size // 2) | 1)
    for _ in range(2):
        values = np.asarray(cv2.blur(values, (half, half), borderType=cv2.BORDER_REFLECT))
    return np.asarray(values, np.float32)


def _grown(values: Floats, shape: tuple[int, ...]) -> Floats:
    return np.asarray(cv2.resize(values, shape[::-1], interpolation=cv2.INTER_LINEAR))
