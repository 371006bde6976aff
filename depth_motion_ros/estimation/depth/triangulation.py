"""Inverse depth of every pixel by one other frame, in closed form, with its variance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.epipolar_field import Doubles, EpipolarField, Floats

UNKNOWN = np.float32(1e6)
"""Variance of an inverse depth of which nothing is known."""
# Standard deviation of flow: pixels, and a share of the parallax, where surfaces are cut and
# foreshortened.
_FLOW_ERROR, _FLOW_SHARE = np.float32(0.12), np.float32(0.04)
# Standard deviations off the epipolar line, beyond which a match is wrong.
_OUTLIER = np.float32(3.0)
# A measurement may say so many times more or less than is expected of the pixel.
_FACTOR = np.float32(4.0)
# Relative standard deviation of the unit of length of the network's depth in one image.
_UNIT = 0.1
# Of the certain pixels every so many tell the ratio of two depths; fewer do not.
_SKIP, _FEWEST = 5, 50


class Measurement(NamedTuple):
    """What one other frame says.

    inverse_depth, variance: (H, W); the variance is UNKNOWN where nothing is measured.
    common: (H, W), part of the variance that does not average out over frames and neighbours.
    known: (H, W), whether there is a measurement.
    off_line: share of the good matches that miss their epipolar lines.
    ratio: median of measured to the network's inverse depth, of the certain pixels.
    unit: factor by which inverse depth was drawn to the network's unit of length.
    """

    inverse_depth: Floats
    variance: Floats
    common: Floats
    known: NDArray[np.bool_]
    off_line: float
    ratio: float
    unit: float


def triangulated(
    field: EpipolarField,
    covariance: Doubles,
    target: tuple[Floats, Floats],
    good: NDArray[np.bool_],
    expected: Floats,
    common_std: float,
    prior: Floats,
) -> Measurement:
    """Least squares of the reprojection, along the epipolar lines.

    covariance: (6, 6) of the motion. target: (H, W) each, pixels in the other frame; good: where
    that is to be believed. expected: (H, W) inverse depth, for the noise and the gate. common_std:
    relative error of depth that all pixels share. prior: (H, W) inverse depth by the network, whose
    unit of length counts the more the larger that error is.
    """
    ax, ay, az = field.a
    bx, by, bz = field.b
    u, v = target
    # u (az + r bz) = ax + r bx, and the same of v.
    dx, dy = bx - u * bz, by - v * bz
    ex, ey = u * az - ax, v * az - ay
    squared = np.maximum(dx * dx + dy * dy, np.float32(1e-12))
    r = (dx * ex + dy * ey) / squared
    w = az + bz * expected
    over = 1 / np.maximum(w, np.float32(1e-3))
    across = (dx * ey - dy * ex) / np.sqrt(squared) * over
    parallax = np.sqrt(squared) * over
    along_pose, across_pose = field.pose_variance(covariance, expected)
    share = (_FLOW_SHARE * expected * parallax) ** 2
    noise = _FLOW_ERROR**2 + share
    on_line = across * across < _OUTLIER**2 * (noise + across_pose)
    over = 1 / (parallax * parallax)
    common = along_pose * over + (np.float32(common_std) * expected) ** 2
    own = (noise + across * across) * over
    certain = good & on_line & (own < (0.25 * prior) ** 2) & (r > 0)
    middle = _median_ratio(r, prior, certain)
    unit = middle ** -(common_std**2 / (common_std**2 + _UNIT**2))
    r = r * np.float32(unit)
    variance = own * np.float32(unit**2) + common
    sigma = np.sqrt(variance)
    front = (r + 2 * sigma > 0) & (az + bz * r > 0)
    gate = (r + sigma > expected / _FACTOR) & (r - sigma < _FACTOR * expected)
    known = good & on_line & front & gate
    count = max(1, int(np.count_nonzero(good)))
    off_line = 1 - int(np.count_nonzero(good & on_line)) / count
    return Measurement(r, np.where(known, variance, UNKNOWN), common, known, off_line, middle, unit)


def _median_ratio(r: Floats, prior: Floats, where: NDArray[np.bool_]) -> float:
    picked = np.flatnonzero(where)[::_SKIP]
    if picked.size <= _FEWEST:
        return 1.0
    return float(np.median(r.ravel()[picked] / prior.ravel()[picked]))
