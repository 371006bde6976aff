"""What is likely about depth and motion before any image is looked at.

Source of the formulas: Li et al., "Unsupervised Monocular Depth Learning in Dynamic Scenes",
arXiv 2010.16404, as the authors' implementation computes them. The authors' 1e-24 under roots and
quotients underflows in half precision and makes gradients of 1e12: here it is 1e-12 or more.
"""

from __future__ import annotations

import torch

_EPSILON = 1e-12
# Depths below this part of a unit count as this much: 1/D and its gradient stay finite in float32.
_NEAREST = 1e-8
# A relative spread of depth of 1e-3 counts as none; without a bound a constant map would weigh
# more than all else together.
_FLAT = 1e-6


def depth_smoothness(depth: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Scalar: gradients of the normalised inverse depth, forgiven where the image has edges.

    depth: (B, 1, H, W) > 0; image: (B, 3, H, W). With d = 1/D over its per-image mean:
    mean(abs ∂x d · exp(-mean_c abs ∂x I)) + the same in y.
    """
    inverse = 1 / (depth + _NEAREST)
    inverse = inverse / inverse.mean(dim=(2, 3), keepdim=True)
    total = torch.zeros((), dtype=depth.dtype, device=depth.device)
    for axis in (2, 3):
        forgiveness = torch.exp(-image.diff(dim=axis).abs().mean(dim=1, keepdim=True))
        total = total + (inverse.diff(dim=axis).abs() * forgiveness).mean()
    return total


def inverse_depth_variance(depth: torch.Tensor) -> torch.Tensor:
    """Scalar that grows large as every depth map becomes constant.

    depth: (B, 1, H, W). 1 / mean((D / mean D - 1)²), the inner mean over each image, so that
    images that are constant but differ from each other do not pass for structure.
    """
    relative = depth / depth.mean(dim=(2, 3), keepdim=True) - 1
    return 1 / (relative.square().mean() + _FLAT)


def normalised_motion(residual: torch.Tensor, translation: torch.Tensor) -> torch.Tensor:
    """Residual motion in units of the whole motion: T_res / sqrt(3·mean(T²)), per image.

    residual, translation: (B, 3, H, W), the latter camera and residual together.
    """
    scale = 3 * translation.square().mean(dim=(1, 2, 3), keepdim=True)
    return residual / torch.sqrt(scale + _EPSILON)


def motion_smoothness(motion: torch.Tensor, wrap: bool) -> torch.Tensor:
    """Scalar: mean over pixels and channels of sqrt((∂x M)² + (∂y M)²).

    motion: (B, 3, H, W). wrap: the image's last row and column border on its first, which makes
    the measure blind to a shift; without it they have no successor.
    """
    if wrap:
        d_y = motion - motion.roll(1, dims=2)
        d_x = motion - motion.roll(1, dims=3)
    else:
        inner = motion[:, :, 1:, 1:]
        d_y = inner - motion[:, :, :-1, 1:]
        d_x = inner - motion[:, :, 1:, :-1]
    return torch.sqrt(d_x.square() + d_y.square() + _EPSILON).mean()


def motion_sparsity(motion: torch.Tensor) -> torch.Tensor:
    """Scalar that likes few large motions better than many small ones.

    motion: (B, 3, H, W). mean[2⟨abs M⟩·sqrt(1 + abs M/⟨abs M⟩)], ⟨·⟩ the spatial mean per channel,
    taken as given: L1 near zero, L½ far out.
    """
    size = motion.abs()
    mean = size.detach().mean(dim=(2, 3), keepdim=True)
    return (2 * mean * torch.sqrt(size / (mean + _EPSILON) + 1)).mean()
