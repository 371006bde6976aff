"""Scenes whose losses are known without the package: textured planes seen by two cameras."""

from __future__ import annotations

import torch

from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction

HEIGHT, WIDTH, FOCAL = 24, 40, 32.0
K = torch.tensor([[[FOCAL, 0, 19.5], [0, FOCAL, 11.5], [0, 0, 1]]], dtype=torch.float64)


def plane(depth: float) -> torch.Tensor:
    """(1, 1, H, W) of one depth."""
    return torch.full((1, 1, HEIGHT, WIDTH), depth, dtype=torch.float64)


def texture(shift_x: float = 0.0) -> torch.Tensor:
    """(1, 3, H, W) smooth image, its content moved right by so many pixels.

    Waves of 25 pixels and more: bilinear interpolation between pixels is right to
    0.2·(2π/25)²/8 = 1.6e-3 at worst.
    """
    v, u = torch.meshgrid(
        torch.arange(HEIGHT, dtype=torch.float64),
        torch.arange(WIDTH, dtype=torch.float64),
        indexing="ij",
    )
    x = 2 * torch.pi * (u - shift_x) / 25
    y = 2 * torch.pi * v / 30
    channels = (torch.sin(x + y), torch.cos(x - 0.5 * y), torch.sin(0.7 * x + 0.8 * y + 1))
    return 0.5 + 0.2 * torch.stack(channels)[None]


def motion(
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    residual: torch.Tensor | None = None,
) -> MotionPrediction:
    if residual is None:
        residual = torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    return MotionPrediction(
        torch.tensor([angles], dtype=torch.float64),
        torch.tensor([translation], dtype=torch.float64),
        residual,
        K,
    )


def pair(
    depth_1: torch.Tensor,
    depth_2: torch.Tensor,
    motion_12: MotionPrediction | None = None,
    motion_21: MotionPrediction | None = None,
) -> PairPrediction:
    return PairPrediction(depth_1, depth_2, motion_12 or motion(), motion_21 or motion(), K)
