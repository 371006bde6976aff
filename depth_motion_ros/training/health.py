"""The health metrics of a run: a few numbers in which each of the known traps shows."""

from __future__ import annotations

import torch
from torch import Tensor

from depth_motion_ros.losses.warped_pair import mean_where, warp_pair
from depth_motion_ros.models.network import PairPrediction


@torch.no_grad()
def health_metrics(image_1: Tensor, image_2: Tensor, pair: PairPrediction, K: Tensor) -> Tensor:
    """(len(HEALTH_METRICS),) float32, in the order of ``HEALTH_METRICS``; fetched by one copy."""
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
            mean_where(valid, (image_2 - image_1).abs()),
            mean_where(valid, (warped.image - image_1).abs()),
            warped.valid.float().mean(),
        )
    )


HEALTH_METRICS = (
    "depth_variance",
    "depth_row_share",
    "active_residual",
    "translation_over_depth",
    "focal_over_width",
    "identity_error",
    "warp_error",
    "valid",
)
"""What ``health_metrics`` returns.

depth_variance: spatial variance of depth over its per-image mean. depth_row_share: share of it
that one row profile, the same for the whole batch, explains. active_residual: fraction of pixels.
translation_over_depth: camera translation over the image's mean depth. focal_over_width: fx / W.
identity_error, warp_error: mean abs difference to frame 1 of frame 2 as it is, and warped, over
the pixels that land inside. valid: fraction of pixels that do.
"""
