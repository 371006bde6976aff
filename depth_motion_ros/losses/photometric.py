"""How well one image explains another: absolute difference and weighted SSIM, per pixel."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional

# The authors' choice for warped images: no luminance term, and a constant small enough that the
# faint texture of a road still counts.
WARPED_C1 = math.inf
WARPED_C2 = 9e-6


class PhotometricMaps(NamedTuple):
    """Errors of a warped image, already weighted by how far each pixel can be trusted.

    rgb: (B, 1, H, W), the mean over channels of abs differences, 0 where the pixel is hidden.
    ssim: (B, 1, H-2, W-2), the mean over channels of the weighted SSIM loss; the outermost pixels
    have no full window. valid: (B, 1, H, W) bool, what lands inside the other image.
    """

    rgb: torch.Tensor
    ssim: torch.Tensor
    valid: torch.Tensor


def weighted_ssim(
    x: torch.Tensor,
    y: torch.Tensor,
    weight: torch.Tensor,
    c1: float = 0.01**2,
    c2: float = 0.03**2,
    weight_epsilon: float = 0.01,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Structural dissimilarity, (1 - SSIM) / 2, with moments that trust some pixels more.

    x, y: (B, C, H, W) images; weight: (B, 1, H, W) >= 0. The moments over each 3x3 window are
    E[z] = pool(z·(weight + e)) / (pool(weight) + e) with e = weight_epsilon. c1 = inf leaves the
    luminance term out (the means are not compared), c2 = inf the contrast-structure term.

    Returns the loss map (B, C, H-2, W-2) in [0, 1], which is *not* multiplied by the weight, and
    the pooled weight (B, 1, H-2, W-2). Source: "Depth from Videos in the Wild", section 3.4.

    Raises ValueError where both constants are infinite or the image is smaller than the window.
    """
    if math.isinf(c1) and math.isinf(c2):
        raise ValueError("c1 and c2 are both infinite: nothing is left to compare")
    if min(x.shape[-2:]) < 3:
        raise ValueError(f"SSIM needs images of at least 3x3 pixels, got {tuple(x.shape[-2:])}")
    pooled_weight = _pool3x3(weight)
    raised_weight, normaliser = weight + weight_epsilon, 1 / (pooled_weight + weight_epsilon)

    def expectation(z: torch.Tensor) -> torch.Tensor:
        return _pool3x3(z * raised_weight) * normaliser

    mean_x, mean_y = expectation(x), expectation(y)
    numerator: torch.Tensor | float = 1.0
    denominator: torch.Tensor | float = 1.0
    if not math.isinf(c1):
        numerator = 2 * mean_x * mean_y + c1
        denominator = mean_x.square() + mean_y.square() + c1
    if not math.isinf(c2):
        # In float32 these differences are rounded to 1e-7, which c2 = 9e-6 does not swallow: single
        # pixels move by 1e-3 with the order of operations. It is the authors' order.
        variance_x = expectation(x.square()) - mean_x.square()
        variance_y = expectation(y.square()) - mean_y.square()
        covariance = expectation(x * y) - mean_x * mean_y
        numerator = numerator * (2 * covariance + c2)
        denominator = denominator * (variance_x + variance_y + c2)
    loss = (0.5 - 0.5 * numerator / denominator).clamp(0, 1)  # type: ignore[union-attr]
    return loss, pooled_weight


def improved_by_warp(
    rgb: torch.Tensor,
    ssim: torch.Tensor,
    unwarped: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    shares: tuple[float, float],
) -> torch.Tensor:
    """Where warping beats doing nothing: the pixels that tell something about motion.

    What does not change from frame to frame (a standing camera, a car driving at the camera's
    speed, the sky) would be explained best by infinite depth; those pixels are left out. Source:
    Monodepth2 (arXiv 1806.01260), section 3.2.

    rgb: (B, 1, H, W) abs difference and ssim: (B, 1, H-2, W-2) SSIM loss of the warped image, means
    over channels; unwarped: (B, 3, H, W) the other frame as it is; target: this frame; weight:
    (B, 1, H, W) as in ``weighted_ssim``; shares: factors of both errors in the comparison.
    Returns (B, 1, H, W) bool, no gradient.
    """
    rgb_share, ssim_share = shares
    with torch.no_grad():
        gain = rgb_share * (mean_difference(unwarped, target) - rgb)
        if ssim_share > 0:
            still, _ = weighted_ssim(unwarped, target, weight, WARPED_C1, WARPED_C2)
            gain_ssim = still.mean(dim=1, keepdim=True) - ssim
            gain = gain + ssim_share * functional.pad(gain_ssim, (1, 1, 1, 1), mode="replicate")
        return gain > 0


def mean_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W): abs difference of two images (B, C, H, W), mean over channels."""
    return (a - b).abs().mean(dim=1, keepdim=True)


def _pool3x3(z: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(z, kernel_size=3, stride=1)
