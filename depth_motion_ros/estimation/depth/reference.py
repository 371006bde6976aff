"""What one other frame measures: its pose made exact, its errors that all pixels share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.epipolar_field import EpipolarField, Floats, median_turn
from depth_motion_ros.estimation.depth.fill import CorrectedPrior
from depth_motion_ros.estimation.depth.pose_correction import (
    RelativePose,
    corrected,
    left_by_a_turn,
)
from depth_motion_ros.estimation.depth.triangulation import Measurement, triangulated
from depth_motion_ros.geometry.camera import Camera

# What calibration and a rolling shutter leave, which passes for parallax: a share of what the turn
# moves the pixels by, and pixels. Over what a turn does not explain, it is an error of depth that
# all pixels share; above so much, relative, the frame measures nothing. Without it, hand-held video
# at 30 Hz had an AbsRel of 0.19, against 0.14 of the network and 0.13 with it.
_BY_TURN, _ALWAYS, _MOST_COMMON = 0.01, 0.15, 0.2
# Refused as a whole where more of the matches miss their epipolar lines, or where the median is
# farther off the prior.
_MOST_OFF_LINE, _FARTHEST = 0.5, 2.0


@dataclass(frozen=True, eq=False)
class Expected:
    """What is known of a frame before it is measured. prior: (H, W) inverse depth by the network.
    depth: the prior, corrected by the state so far."""

    prior: Floats
    depth: CorrectedPrior
    camera: Camera


@dataclass(frozen=True, eq=False)
class Observation:
    """pose: corrected. seen: None where the frame measures nothing, or is not to be believed."""

    pose: RelativePose
    seen: Measurement | None


def observe(
    pose: RelativePose,
    target: tuple[Floats, Floats],
    good: NDArray[np.bool_],
    expected: Expected,
) -> Observation:
    """pose: points of the frame into the reference's axes. target: (H, W) each, where the pixels
    lie in it; good: where that is to be believed."""
    r = expected.depth.inverse_depth
    std = float(np.median(expected.depth.std[::8, ::8]))
    field = EpipolarField.of(pose.motion, expected.camera)
    pose = corrected(pose, field, r, std, target, good)
    field = EpipolarField.of(pose.motion, expected.camera)
    left = left_by_a_turn(field, target, good)
    common = math.hypot(_BY_TURN * median_turn(pose.motion, expected.camera), _ALWAYS)
    if common >= _MOST_COMMON * left:
        return Observation(pose, None)
    seen = triangulated(field, pose.covariance, target, good, r, common / left, expected.prior)
    plausible = seen.off_line < _MOST_OFF_LINE and 1 / _FARTHEST < seen.ratio < _FARTHEST
    return Observation(pose, seen if plausible else None)
