"""Pairs of frames as adaptation keeps them: small, immutable, and without a graph behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PairRecord:
    """Two frames at the network's size.

    image_1, image_2: (3, H, W) uint8, the earlier one first. K: (3, 3) float32, pixels of these
    images; None where unknown. depth_1, depth_2: (1, H, W) float32 truth, NaN = unknown; None
    where there is none. displacement: m, by odometry or truth; NaN where unknown. stamp: s, of the
    second frame.
    """

    image_1: Tensor
    image_2: Tensor
    K: Tensor | None = None
    depth_1: Tensor | None = None
    depth_2: Tensor | None = None
    displacement: float = float("nan")
    stamp: float = 0.0


@dataclass(frozen=True, eq=False)
class PairTensors:
    """A batch: images (B, 3, H, W) float32 in [0, 1], K (B, 3, 3), known (B,) bool."""

    image_1: Tensor
    image_2: Tensor
    K: Tensor
    known: Tensor


def batch_of(records: Sequence[PairRecord]) -> PairTensors:
    """Records of one size as a batch."""
    nothing = torch.eye(3)
    return PairTensors(
        torch.stack([record.image_1 for record in records]).float() / 255,
        torch.stack([record.image_2 for record in records]).float() / 255,
        torch.stack([nothing if record.K is None else record.K for record in records]),
        torch.tensor([record.K is not None for record in records]),
    )
