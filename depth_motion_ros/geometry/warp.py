"""Where the pixels of one frame land in another, and sampling there (PyTorch, differentiable)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

# A point this close to the plane z = 0 (in units of depth) has no usable projection: it lands far
# outside the image either way, and dividing by less would overflow float32.
_MIN_DIVISOR = 1e-8


class Warp(NamedTuple):
    """Frame 1's points seen from frame 2.

    pixel_xy: (B, 2, H, W) coordinates in frame 2, clamped to [0, W-1] × [0, H-1].
    depth: (B, 1, H, W) z in the camera axes of frame 2.
    valid: (B, 1, H, W) bool: in front of the camera and inside the image before clamping.
    """

    pixel_xy: torch.Tensor
    depth: torch.Tensor
    valid: torch.Tensor


def transform_depth(
    depth: torch.Tensor, rotation: torch.Tensor, translation: torch.Tensor, K: torch.Tensor
) -> Warp:
    """Move every point of a depth map and project it: p' ~ K(R·K^-1·p·D(p)) + K·T(p).

    depth: (B, 1, H, W) of frame 1. rotation: (B, 3, 3); translation: (B, 3, H, W) or
    (B, 3, 1, 1); both map points of frame 1 into the camera axes of frame 2. K: (B, 3, 3),
    upper triangular with last row (0, 0, 1), pixels, for both frames.

    valid is z' > 0, 0 <= x' < W-1 and 0 <= y' < H-1; whatever is NaN is not valid and gets the
    coordinates 0. Source: Li et al., arXiv 2010.16404.

    Raises ValueError for shapes that do not fit.
    """
    _check_shapes(depth, rotation, translation, K)
    batch, _, height, width = depth.shape
    pixels = _homogeneous_pixels(height, width, depth)
    # One 3x3 matrix per image carries pixels to pixels: no map of 3D points is ever stored.
    homography = K @ rotation @ inverse_intrinsics(K)
    direction = (homography @ pixels).view(batch, 3, height, width)
    shift = (K @ translation.flatten(2)).view(batch, 3, *translation.shape[2:])
    x, y, z = (direction * depth + shift).split(1, dim=1)
    divisor = torch.where(z.abs() < _MIN_DIVISOR, _MIN_DIVISOR, z)
    x, y = x / divisor, y / divisor
    valid = (z > 0) & (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
    xy = torch.cat((x.clamp(0, width - 1), y.clamp(0, height - 1)), dim=1)
    return Warp(torch.nan_to_num(xy, nan=0.0), z, valid)


def sample(image: torch.Tensor, pixel_xy: torch.Tensor) -> torch.Tensor:
    """Bilinear samples of an image at pixel coordinates; outside, the border is repeated.

    image: (B, C, H, W); pixel_xy: (B, 2, h, w), x right and y down, (0, 0) the centre of the top
    left pixel. Returns (B, C, h, w), differentiable in both.
    """
    if pixel_xy.ndim != 4 or pixel_xy.shape[1] != 2:
        raise ValueError(f"pixel_xy must be (B, 2, h, w), got {tuple(pixel_xy.shape)}")
    height, width = image.shape[-2:]
    # grid_sample wants [-1, 1] between the centres of the outermost pixels.
    scale = pixel_xy.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])
    grid = pixel_xy.permute(0, 2, 3, 1) * scale - 1
    return functional.grid_sample(
        image, grid, mode="bilinear", padding_mode="border", align_corners=True
    )


def inverse_intrinsics(K: torch.Tensor) -> torch.Tensor:
    """K^-1 of (B, 3, 3) intrinsics [[fx, s, cx], [0, fy, cy], [0, 0, 1]], in closed form.

    A general inverse would cost a launch of a solver and, on a GPU, a synchronisation.
    """
    fx, s, cx = K[:, 0].unbind(1)
    fy, cy = K[:, 1, 1], K[:, 1, 2]
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    entries = (
        *(1 / fx, -s / (fx * fy), (s * cy / fy - cx) / fx),
        *(zero, 1 / fy, -cy / fy),
        *(zero, zero, one),
    )
    return torch.stack(entries, dim=1).view(-1, 3, 3)


def _homogeneous_pixels(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """(3, H·W) of (u, v, 1), row by row."""
    v, u = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack((u, v, torch.ones_like(u))).view(3, -1)


def _check_shapes(
    depth: torch.Tensor, rotation: torch.Tensor, translation: torch.Tensor, K: torch.Tensor
) -> None:
    if depth.ndim != 4 or depth.shape[1] != 1:
        raise ValueError(f"depth must be (B, 1, H, W), got {tuple(depth.shape)}")
    batch, _, height, width = depth.shape
    if rotation.shape != (batch, 3, 3) or K.shape != (batch, 3, 3):
        raise ValueError(
            f"rotation and K must be ({batch}, 3, 3), "
            f"got {tuple(rotation.shape)} and {tuple(K.shape)}"
        )
    if translation.shape not in ((batch, 3, height, width), (batch, 3, 1, 1)):
        raise ValueError(
            f"translation must be ({batch}, 3, {height}, {width}) or ({batch}, 3, 1, 1), "
            f"got {tuple(translation.shape)}"
        )
