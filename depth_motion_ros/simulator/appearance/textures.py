"""A bank of tileable procedural textures with mipmaps, and trilinear look-ups into it.

A texel has two numbers in [0, 1]: brightness, and the share of the material's second colour.
Each entry of the table holds the 2x2 texels that a bilinear look-up needs, as eight half-precision
numbers seen as one complex number, so that a look-up is a single gather.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from depth_motion_ros.simulator.appearance.patterns import PATTERNS, draw

SIZE = 256
LEVELS = 9
VARIANTS = 4


@dataclass(frozen=True, eq=False)
class TextureBank:
    """``count`` textures. quads: (n,) complex128, see above. start: (LEVELS,) int32."""

    quads: Tensor
    start: Tensor
    count: int

    @classmethod
    @lru_cache(maxsize=2)
    def from_seed(cls, seed: int = 0) -> TextureBank:
        """Draw VARIANTS of every pattern. The same seed gives the same bank."""
        rng = np.random.default_rng(seed)
        images = np.stack([draw(name, rng, SIZE) for name in PATTERNS for _ in range(VARIANTS)])
        level = images.astype(np.float32)
        quads, start = [], [0]
        for _ in range(LEVELS):
            right, below = np.roll(level, -1, axis=2), np.roll(level, -1, axis=1)
            corner = np.roll(below, -1, axis=2)
            quad = np.concatenate((level, right, below, corner), axis=3).astype(np.float16)
            quads.append(quad.reshape(-1, 8))
            start.append(start[-1] + len(quads[-1]))
            count, size = level.shape[:2]
            if size > 1:
                level = level.reshape(count, size // 2, 2, size // 2, 2, 2).mean((2, 4))
        table = torch.from_numpy(np.concatenate(quads)).view(torch.complex128)[:, 0]
        return cls(table, torch.tensor(start[:-1], dtype=torch.int32), len(images))

    def to(self, device: torch.device | str) -> TextureBank:
        """The same bank on another device."""
        return TextureBank(self.quads.to(device), self.start.to(device), self.count)

    def sample(self, layer: Tensor, u: Tensor, v: Tensor, lod: Tensor) -> Tensor:
        """Trilinear look-up.

        layer: (n,) int32. u, v: (n,) in tiles, wrapped. lod: (n,), 0 = full size; levels blend.
        Returns (2, n): brightness, share of the second colour.
        """
        lod = lod.clamp(0.0, LEVELS - 1.001)
        fine = lod.to(torch.int32)
        near = self._bilinear(layer, u, v, fine)
        return torch.lerp(near, self._bilinear(layer, u, v, fine + 1), lod - fine)

    def _bilinear(self, layer: Tensor, u: Tensor, v: Tensor, level: Tensor) -> Tensor:
        size = torch.bitwise_right_shift(SIZE, level)
        x, y = u * size - 0.5, v * size - 0.5
        left, top = x.floor(), y.floor()
        column = left.to(torch.int32) & (size - 1)
        row = top.to(torch.int32) & (size - 1)
        entry = self.start.index_select(0, level) + (layer * size + row) * size + column
        quad = torch.view_as_real(self.quads.index_select(0, entry)).view(torch.float16)
        texels = torch.empty(8, len(u), device=u.device)
        texels.copy_(quad.t())
        rows = torch.lerp(texels[:4], texels[4:], y - top)
        return torch.lerp(rows[:2], rows[2:], x - left)


def layer_of(pattern: str, variant: int) -> int:
    """Layer of a pattern's variant in every bank."""
    return PATTERNS.index(pattern) * VARIANTS + variant % VARIANTS
