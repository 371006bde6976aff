"""The vital signs of a run: a few numbers in which each of the known traps shows."""

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
    motion, depth, K = pair.motion_12, pair.depth_1.float(), K.float()
    residual = motion.residual.float()
    translation = motion.translation.float()[:, :, None, None] + residual
    warp = transform_depth(depth, euler_to_matrix(motion.rotation.float()), translation, K)
    shift = residual.norm(dim=1, keepdim=True) * K[:, 0, 0, None, None, None] / depth
    active = shift > ACTIVE_SHIFT * image_2.shape[3]
    return WarpedPair(sample(image_2.float(), warp.pixel_xy), warp.valid, active)


@torch.no_grad()
def vital_signs(image_1: Tensor, image_2: Tensor, pair: PairPrediction, K: Tensor) -> Tensor:
    """(len(VITALS),) float32, in the order of ``VITALS``; one tensor, fetched by one copy."""
    warped = warp_pair(image_2, pair, K)
    depth, image_1, image_2 = pair.depth_1.float(), image_1.float(), image_2.float()
    relative = depth / depth.mean(dim=(2, 3), keepdim=True)
    spread = (relative - 1).square()
    rows = relative.mean(dim=(0, 3), keepdim=True) - 1
    translation = pair.motion_12.translation.float().norm(dim=1)
    valid = warped.valid.expand_as(image_1)
    return torch.stack(
        (
            spread.mean(),
            1 - (relative - 1 - rows).square().mean() / spread.mean().clamp(min=1e-12),
            warped.active.float().mean(),
            (translation / depth.mean(dim=(1, 2, 3))).mean(),
            (K[:, 0, 0].float() / image_1.shape[3]).mean(),
            _mean_where(valid, (image_2 - image_1).abs()),
            _mean_where(valid, (warped.image - image_1).abs()),
            warped.valid.float().mean(),
        )
    )


def _mean_where(mask: Tensor, values: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


VITALS = (
    "depth_variance",
    "depth_row_share",
    "active_residual",
    "translation_over_depth",
    "focal_over_width",
    "identity_error",
    "warp_error",
    "valid",
)
"""What ``vital_signs`` returns.

depth_variance: spatial variance of depth over its per-image mean. depth_row_share: share of it
that one row profile, the same for the whole batch, explains. active_residual: fraction of pixels.
translation_over_depth: camera translation over the image's mean depth. focal_over_width: fx / W.
identity_error, warp_error: mean abs difference to frame 1 of frame 2 as it is, and warped, over
the pixels that land inside. valid: fraction of pixels that do.
"""
