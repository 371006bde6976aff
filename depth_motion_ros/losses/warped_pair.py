"""The second frame of a pair as the prediction sees it from the first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.geometry.warp import sample, transform_depth
from depth_motion_ros.models.network import PairPrediction

# A residual counts as active where it alone would shift its pixel by this part of the width:
# one pixel at 416, less than which no warp can be told from noise.
ACTIVE_SHIFT = 1 / 416
_LEAST_DEPTH = 1e-6


@dataclass(frozen=True, eq=False)
class WarpedPair:
    """Frame 2 as seen from frame 1 by the prediction, float32.

    image: (B, 3, H, W). valid: (B, 1, H, W) bool, what lands inside frame 2. active: (B, 1, H, W)
    bool, where the residual motion would shift its pixel visibly.
    """

    image: Tensor
    valid: Tensor
    active: Tensor


@torch.no_grad()
def warp_pair(image_2: Tensor, pair: PairPrediction, K: Tensor) -> WarpedPair:
    """image_2: (B, 3, H, W) in [0, 1]; K: (B, 3, 3) that the losses used."""
    motion, K = pair.motion_12, K.float()
    translation = motion.translation.float()[:, :, None, None] + motion.residual.float()
    rotation = euler_to_matrix(motion.rotation.float())
    warp = transform_depth(pair.depth_1.float(), rotation, translation, K)
    return WarpedPair(sample(image_2.float(), warp.pixel_xy), warp.valid, active_pixels(pair, K))


def active_pixels(pair: PairPrediction, K: Tensor) -> Tensor:
    """(B, 1, H, W) bool, where the residual motion would shift its pixel visibly."""
    residual, depth = pair.motion_12.residual.float(), pair.depth_1.float()
    shift = residual.norm(dim=1, keepdim=True) * K[:, 0, 0, None, None, None].float()
    return shift / depth.clamp(min=_LEAST_DEPTH) > ACTIVE_SHIFT * depth.shape[3]


def mean_where(mask: Tensor, values: Tensor) -> Tensor:
    """() mean of values, 0 where the mask is empty."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
