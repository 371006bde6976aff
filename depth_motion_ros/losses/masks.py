"""Masks of what may move: residual motion is allowed there and nowhere else."""

from __future__ import annotations

import torch
from torch.nn import functional

# "Depth from Videos in the Wild" (arXiv 1904.04998), section 3.3: detections are a little tight.
DILATION = 8


def dilate(mask: torch.Tensor, pixels: int = DILATION) -> torch.Tensor:
    """Grow a mask by so many pixels to every side (a square of 2·pixels + 1).

    mask: (B, 1, H, W), bool or 0/1 of any type. Returns (B, 1, H, W) bool.

    Raises ValueError for another shape or pixels < 0.
    """
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise ValueError(f"a mask must be (B, 1, H, W), got {tuple(mask.shape)}")
    if pixels < 0:
        raise ValueError(f"pixels must be at least 0, got {pixels}")
    grown = mask.to(torch.float32)
    # A square is the product of a row and a column: 2·17 comparisons a pixel, not 17².
    grown = functional.max_pool2d(grown, (1, 2 * pixels + 1), 1, (0, pixels))
    grown = functional.max_pool2d(grown, (2 * pixels + 1, 1), 1, (pixels, 0))
    return grown > 0


def gate_residual(
    residual: torch.Tensor, mask: torch.Tensor | None, pixels: int = DILATION
) -> torch.Tensor:
    """The residual motion field, zero outside the dilated mask; unchanged without a mask.

    residual: (B, 3, H, W); mask: (B, 1, H, W) of possibly moving objects on the same pixels.

    Raises ValueError where their sizes differ.
    """
    if mask is None:
        return residual
    if mask.shape[0] != residual.shape[0] or mask.shape[2:] != residual.shape[2:]:
        raise ValueError(
            f"mask {tuple(mask.shape)} does not fit residual field {tuple(residual.shape)}"
        )
    return residual * dilate(mask, pixels)
