"""A bank of tileable procedural textures with mipmaps, and trilinear look-ups into it.

A texel has two numbers in [0, 1]: brightness, and the share of the material's second colour.
Levels are stored one after the other as complex numbers, because one gather of a complex number
costs half of two gathers of real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from depth_motion_ros.sources.simulator.patterns import PATTERNS, draw

SIZE = 256
LEVELS = 9
VARIANTS = 4


@dataclass(frozen=True, eq=False)
class TextureBank:
    """``count`` textures. texels: flat complex64; offset: (LEVELS,) where each level starts."""

    texels: Tensor
    offset: Tensor
    count: int

    @classmethod
    @lru_cache(maxsize=4)
    def from_seed(cls, seed: int = 0) -> TextureBank:
        """Draw VARIANTS of every pattern. The same seed gives the same bank."""
        rng = np.random.default_rng(seed)
        images = np.stack([draw(name, rng, SIZE) for name in PATTERNS for _ in range(VARIANTS)])
        levels, offset = [], [0]
        level = images.astype(np.float32)
        for _ in range(LEVELS):
            levels.append(level.reshape(-1, 2))
            offset.append(offset[-1] + len(levels[-1]))
            n, size = level.shape[:2]
            if size > 1:
                level = level.reshape(n, size // 2, 2, size // 2, 2, 2).mean((2, 4))
        texels = torch.view_as_complex(torch.from_numpy(np.concatenate(levels)))
        return cls(texels, torch.tensor(offset[:-1]), len(images))

    def to(self, device: torch.device | str) -> TextureBank:
        """The same bank on another device."""
        return TextureBank(self.texels.to(device), self.offset.to(device), self.count)

    def sample(self, layer: Tensor, u: Tensor, v: Tensor, lod: Tensor) -> Tensor:
        """Trilinear look-up.

        layer: (n,) long. u, v: (n,) in tiles, wrapped. lod: (n,), 0 = full size; levels blend.
        Returns (n,) complex: brightness + 1j * share of the second colour.
        """
        lod = lod.clamp(0.0, LEVELS - 1.001)
        fine = lod.floor()
        blend = lod - fine
        u, v = u - u.floor(), v - v.floor()
        fine = fine.long()
        near = self._bilinear(layer, u, v, fine)
        far = self._bilinear(layer, u, v, fine + 1)
        return near + blend * (far - near)

    def _bilinear(self, layer: Tensor, u: Tensor, v: Tensor, level: Tensor) -> Tensor:
        size = SIZE >> level
        x, y = u * size - 0.5, v * size - 0.5
        left, top = x.floor(), y.floor()
        fx, fy = x - left, y - top
        mask = size - 1
        x0, y0 = left.long(), top.long()
        x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
        x0, y0 = x0 & mask, y0 & mask
        base = self.offset[level] + layer * (size * size)
        upper, lower = base + y0 * size, base + y1 * size
        texels = self.texels
        a, b = texels.index_select(0, upper + x0), texels.index_select(0, upper + x1)
        c, d = texels.index_select(0, lower + x0), texels.index_select(0, lower + x1)
        top_row = a + fx * (b - a)
        return top_row + fy * (c + fx * (d - c) - top_row)


def layer_of(pattern: str, variant: int) -> int:
    """Layer of a pattern's variant in every bank."""
    return PATTERNS.index(pattern) * VARIANTS + variant % VARIANTS
