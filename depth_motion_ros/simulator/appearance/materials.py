"""Materials: a texture, two colours and how they are mixed, as a row of numbers.

A row has ``MATERIAL_FIELDS`` entries: layer, turn_u, turn_v (tiles per metre times cosine and sine
of the texture's angle), lod (log2 of texels per metre), colour a (3), colour b (3), both linear
RGB, contrast of the brightness, strength of the fine detail, strength of the broad variation, and
specular strength.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.simulator.appearance.textures import SIZE, VARIANTS, layer_of

Material = NDArray[np.float32]
Color = tuple[float, float, float]


def material(
    pattern: str,
    variant: int,
    color_a: Color,
    color_b: Color,
    tile: float,
    angle: float = 0.0,
    contrast: float = 0.8,
    detail: float = 0.35,
    broad: float = 0.3,
    specular: float = 0.0,
) -> Material:
    """One row. tile: metres that one tile of the texture covers. angle: rad."""
    turn = np.array((np.cos(angle), np.sin(angle))) / tile
    lod = np.log2(SIZE / tile)
    values = (layer_of(pattern, variant), *turn, lod, *color_a, *color_b)
    return np.array((*values, contrast, detail, broad, specular), dtype=np.float32)


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Linear RGB of a colour named by hue, saturation and value as they look on a screen."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, float(np.clip(saturation, 0, 1)), value)
    return (r**2.2, g**2.2, b**2.2)


def scaled(color: Color, gain: float) -> Color:
    """A lighter or darker colour."""
    return (gain * color[0], gain * color[1], gain * color[2])


class MaterialKit:
    """Draws materials of a kind, each time another."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def _draw(
        self,
        pattern: str,
        a: Color,
        b: Color,
        tile: tuple[float, float],
        *,
        turned: bool = False,
        **look: float,
    ) -> Material:
        rng = self.rng
        angle = rng.uniform(0, 2 * np.pi) if turned else 0.0
        size = float(np.exp(rng.uniform(*np.log(tile))))
        return material(pattern, int(rng.integers(VARIANTS)), a, b, size, angle, **look)

    def _color(
        self, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
    ) -> Color:
        u = self.rng.uniform
        return hsv(u(*hue), u(*saturation), u(*value))

    def asphalt(self) -> Material:
        tone = self._color((0.55, 0.7), (0.0, 0.1), (0.36, 0.52))
        light = scaled(tone, 1.35)
        return self._draw("speckle", tone, light, (1.2, 2.2), turned=True, broad=0.45)

    def pavement(self) -> Material:
        a = self._color((0.05, 0.15), (0.02, 0.18), (0.55, 0.75))
        b = self._color((0.05, 0.15), (0.02, 0.18), (0.4, 0.6))
        pattern = str(self.rng.choice(("tiles", "stones", "concrete", "bricks")))
        return self._draw(pattern, a, b, (1.2, 2.4), contrast=0.6)

    def grass(self) -> Material:
        a = self._color((0.2, 0.28), (0.45, 0.65), (0.34, 0.5))
        b = self._color((0.14, 0.24), (0.4, 0.6), (0.38, 0.58))
        return self._draw("grass", a, b, (1.5, 3.0), turned=True, contrast=0.9, broad=0.5)

    def soil(self) -> Material:
        a = self._color((0.05, 0.11), (0.25, 0.5), (0.4, 0.6))
        b = self._color((0.05, 0.12), (0.15, 0.4), (0.5, 0.7))
        pattern = str(self.rng.choice(("speckle", "concrete", "fractal")))
        return self._draw(pattern, a, b, (1.5, 3.0), turned=True, broad=0.5)

    def facade(self) -> Material:
        wall = self._color((0.02, 0.16), (0.05, 0.45), (0.5, 0.88))
        glass = self._color((0.5, 0.65), (0.1, 0.4), (0.3, 0.6))
        return self._draw("windows", wall, glass, (8.0, 11.0), contrast=0.95, specular=0.25)

    def wall(self) -> Material:
        pattern = str(self.rng.choice(("bricks", "concrete", "stones", "panels")))
        a = self._color((0.0, 0.13), (0.1, 0.55), (0.45, 0.75))
        b = self._color((0.05, 0.15), (0.03, 0.2), (0.55, 0.8))
        return self._draw(pattern, a, b, (1.6, 2.6))

    def plaster(self) -> Material:
        a = self._color((0.0, 1.0), (0.03, 0.3), (0.6, 0.9))
        b = scaled(a, self.rng.uniform(0.7, 0.95))
        pattern = str(self.rng.choice(("concrete", "fractal", "stripes", "tiles", "bricks")))
        return self._draw(pattern, a, b, (1.2, 3.0), contrast=0.4, detail=0.25)

    def wood(self) -> Material:
        a = self._color((0.05, 0.1), (0.35, 0.65), (0.4, 0.75))
        b = self._color((0.04, 0.09), (0.4, 0.7), (0.3, 0.6))
        return self._draw("planks", a, b, (1.0, 2.0), specular=0.12, contrast=0.7)

    def floor(self) -> Material:
        pattern = str(self.rng.choice(("planks", "tiles", "carpet", "weave")))
        a = self._color((0.0, 0.7), (0.05, 0.45), (0.4, 0.75))
        b = self._color((0.0, 0.2), (0.05, 0.5), (0.3, 0.65))
        return self._draw(pattern, a, b, (1.2, 2.6), specular=0.1, contrast=0.7)

    def foliage(self) -> Material:
        a = self._color((0.2, 0.32), (0.5, 0.8), (0.3, 0.48))
        b = self._color((0.13, 0.28), (0.5, 0.8), (0.42, 0.62))
        return self._draw("foliage", a, b, (1.2, 2.2), contrast=1.0, broad=0.4)

    def bark(self) -> Material:
        a = self._color((0.05, 0.1), (0.2, 0.45), (0.3, 0.5))
        return self._draw("planks", a, a, (0.6, 1.2), contrast=1.0)

    def paint(self) -> Material:
        """A car's or a machine's body."""
        value = self.rng.uniform(0.3, 0.95)
        saturation = self.rng.choice((0.05, 0.8))
        a = self._color((0.0, 1.0), (0.0, float(saturation)), (value, value))
        b = scaled(a, 0.6)
        return self._draw(
            "panels", a, b, (1.6, 3.0), contrast=0.35, detail=0.12, broad=0.2, specular=0.6
        )

    def glass(self) -> Material:
        a = self._color((0.5, 0.65), (0.1, 0.3), (0.18, 0.32))
        b = self._color((0.5, 0.65), (0.1, 0.3), (0.35, 0.5))
        return self._draw("cloud", a, b, (1.5, 3.0), detail=0.1, specular=0.9)

    def rubber(self) -> Material:
        return self._draw("speckle", hsv(0, 0, 0.2), hsv(0, 0, 0.34), (0.4, 0.6))

    def cloth(self) -> Material:
        pattern = str(self.rng.choice(("weave", "stripes", "fractal", "carpet", "weave")))
        a = self._color((0.0, 1.0), (0.1, 0.8), (0.25, 0.85))
        b = self._color((0.0, 1.0), (0.1, 0.7), (0.25, 0.85))
        if self.rng.random() < 0.6:
            b = scaled(a, 0.75)
        return self._draw(pattern, a, b, (0.5, 1.2), turned=True, contrast=0.6)

    def skin(self) -> Material:
        a = self._color((0.03, 0.07), (0.35, 0.6), (0.4, 0.9))
        b = scaled(a, 0.7)
        return self._draw("fractal", a, b, (0.3, 0.5), contrast=0.35, detail=0.2)

    def metal(self) -> Material:
        a = self._color((0.5, 0.7), (0.0, 0.15), (0.45, 0.75))
        b = self._color((0.03, 0.1), (0.2, 0.6), (0.35, 0.55))
        pattern = str(self.rng.choice(("panels", "speckle", "stripes")))
        return self._draw(pattern, a, b, (0.6, 1.4), specular=0.4, contrast=0.6)

    def sign(self) -> Material:
        a = self._color((0.0, 1.0), (0.1, 0.8), (0.6, 0.95))
        b = self._color((0.0, 1.0), (0.3, 0.9), (0.3, 0.9))
        return self._draw("signs", a, b, (0.9, 1.6), contrast=1.0, detail=0.15, broad=0.1)

    def clutter(self) -> Material:
        """Anything: boxes, books, toys."""
        choices = (self.cloth, self.wood, self.sign, self.metal, self.wall, self.plaster)
        return choices[int(self.rng.integers(len(choices)))]()

    def sky(self) -> Material:
        white = hsv(0.6, self.rng.uniform(0, 0.1), self.rng.uniform(0.8, 1.0))
        return self._draw("cloud", white, white, (1.0, 2.5), turned=True)
