"""Changing the unit of length of a MotionNet without changing what it says."""

from __future__ import annotations

import torch

from depth_motion_ros.models.motion_net import MotionNet

# Channels of the two depths among (image_1, depth_1, image_2, depth_2).
_DEPTHS = (3, 7)


@torch.no_grad()
def scale_lengths(motion_net: MotionNet, factor: float) -> None:
    """Make it speak of lengths that are ``factor`` times as large, in place.

    Given depths times the factor it then returns translations and residuals times the factor, and
    the same rotations and intrinsics. Raises ValueError for a factor that is not above 0.
    """
    if not 0 < factor < float("inf"):
        raise ValueError(f"a unit of length cannot change by a factor of {factor}")
    motion_net.translation_scale.mul_(factor)
    weights = motion_net.state_dict()
    last = f"refinements.{len(motion_net.refinements) - 1}"
    # The last refinement sees the inputs behind the three channels of its field.
    first_input = {"encoder.0": 0, f"{last}.short": 3, f"{last}.long1": 3}
    for layer, offset in first_input.items():
        for channel in _DEPTHS:
            weights[f"{layer}.weight"][:, offset + channel] /= factor
