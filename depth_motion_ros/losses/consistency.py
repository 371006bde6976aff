"""Consistency of two frames: photometric where nothing hides it, depth, and motion there and back.

Source of the formulas: Li et al., "Unsupervised Monocular Depth Learning in Dynamic Scenes",
arXiv 2010.16404, as the authors' implementation computes them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from depth_motion_ros.geometry.warp import Warp, sample
from depth_motion_ros.losses.photometric import (
    WARPED_C1,
    WARPED_C2,
    PhotometricMaps,
    improved_by_warp,
    mean_difference,
    weighted_ssim,
)

# Keeps the quotients of motions defined where nothing moves at all. Squared radians or squared
# units of depth: a motion of 1e-5 still counts.
_STILL = 1e-12


class RgbdConsistency(NamedTuple):
    """Frame 1 against frame 2 moved onto it; scalars are unweighted.

    rgb_error, ssim_error, depth_difference: scalars. maps: the per-pixel errors of which the first
    two are the means. difference: (B, 1, H, W) abs difference, whatever hides the pixel. warped:
    (B, 3, H, W) frame 2 sampled at p'. closer: (B, 1, H, W) bool, in view
    and not hidden by something in frame 2. proximity_weight: (B, 1, H, W) in [0, 1], near 1 where
    both depths agree; no gradient.
    """

    rgb_error: torch.Tensor
    ssim_error: torch.Tensor
    depth_difference: torch.Tensor
    maps: PhotometricMaps
    difference: torch.Tensor
    warped: torch.Tensor
    closer: torch.Tensor
    proximity_weight: torch.Tensor


def rgbd_consistency(
    image_1: torch.Tensor,
    image_2: torch.Tensor,
    warp: Warp,
    depth_2_at_warp: torch.Tensor,
    identity_shares: tuple[float, float] | None = None,
) -> RgbdConsistency:
    """Occlusion-aware comparison of frame 1 with frame 2 sampled where frame 1's points land.

    image_1, image_2: (B, 3, H, W) in [0, 1]; warp: frame 1's points seen from frame 2;
    depth_2_at_warp: (B, 1, H, W), frame 2's depth sampled at p', taken as given (no gradient).
    identity_shares: with (rgb, ssim) shares, pixels that the unwarped frame 2 explains as well
    are left out of both image errors (``improved_by_warp``); None compares all.
    """
    seen = depth_2_at_warp.detach()
    gap = seen - warp.depth
    closer = warp.valid & (gap > 0)
    visible = closer.to(gap.dtype)
    weight = _proximity_weight(gap.detach(), visible, warp.valid)
    warped = sample(image_2, warp.pixel_xy)
    difference = mean_difference(warped, image_1)
    dissimilarity, pooled_weight = weighted_ssim(warped, image_1, weight, WARPED_C1, WARPED_C2)
    dissimilarity = dissimilarity.mean(dim=1, keepdim=True)
    rgb, ssim = difference * visible, dissimilarity * pooled_weight
    if identity_shares is not None:
        moving = improved_by_warp(
            difference, dissimilarity, image_2, image_1, weight, identity_shares
        )
        rgb, ssim = rgb * moving, ssim * moving[..., 1:-1, 1:-1]
    return RgbdConsistency(
        rgb_error=rgb.mean(),
        ssim_error=ssim.mean(),
        depth_difference=(gap.abs() * visible).mean(),
        maps=PhotometricMaps(rgb, ssim, warp.valid),
        difference=difference,
        warped=warped,
        closer=closer,
        proximity_weight=weight,
    )


def rotation_cycle_error(rotation_12: torch.Tensor, rotation_21: torch.Tensor) -> torch.Tensor:
    """Scalar: how far turning there and back is from not turning, relative to the turns.

    rotation_12, rotation_21: (B, 3, 3). mean[ms(R1·R2 - 1) / (ms(R1 - 1) + ms(R2 - 1))] with ms the
    mean of squares of the 9 entries. The order of the product does not matter: the mean of squares
    depends on the trace alone.
    """
    eye = torch.eye(3, dtype=rotation_12.dtype, device=rotation_12.device)

    def mean_square(matrix: torch.Tensor) -> torch.Tensor:
        return (matrix - eye).square().mean(dim=(1, 2))

    turned = mean_square(rotation_12) + mean_square(rotation_21)
    return (mean_square(rotation_12 @ rotation_21) / (turned + _STILL)).mean()


def translation_cycle_error(
    rotation_12: torch.Tensor,
    translation_12: torch.Tensor,
    translation_21_at_warp: torch.Tensor,
    closer: torch.Tensor,
) -> torch.Tensor:
    """Scalar: how far a point moved there and back is from where it was, relative to the moves.

    rotation_12: (B, 3, 3); translation_12: (B, 3, H, W) camera and residual of frame 1;
    translation_21_at_warp: (B, 3, H, W) those of frame 2, sampled at p' (coordinates without
    gradient); closer: (B, 1, H, W) bool. mean[m·|R1·T2(p') + T1|² / (|T1|² + |T2(p')|²)].
    """
    back = (rotation_12 @ translation_21_at_warp.flatten(2)).view_as(translation_21_at_warp)
    left = (back + translation_12).square().sum(dim=1, keepdim=True)
    moved = (translation_12.square() + translation_21_at_warp.square()).sum(dim=1, keepdim=True)
    return (left / (moved + _STILL) * closer).mean()


def _proximity_weight(
    gap: torch.Tensor, visible: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """valid·v / (gap² + v), with v the mean square gap of visible pixels, per image."""
    squared = gap.square()
    total = (squared * visible).sum(dim=(1, 2, 3), keepdim=True)
    variance = total / (visible.sum(dim=(1, 2, 3), keepdim=True) + 1) + 1e-4
    return valid * variance / (squared + variance)
