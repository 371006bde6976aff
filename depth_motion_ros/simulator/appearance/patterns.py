"""The drawings that textures are made of: tileable, with detail at every scale.

Each function returns (brightness, share of the second colour), both (size, size) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Rng = np.random.Generator


def noise(rng: Rng, size: int, slope: float = 1.0, stretch: float = 1.0, low: int = 1) -> Array:
    """Tileable noise of spectrum 1/f^slope, stretched along x, without waves below ``low``."""
    fy = np.fft.fftfreq(size)[:, None] * size
    fx = np.fft.rfftfreq(size)[None] * size
    radius = np.hypot(fx * stretch, fy / stretch)
    gain = np.where(radius >= low, np.maximum(radius, 1e-9) ** -slope, 0.0)
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * gain
    field = np.fft.irfft2(spectrum, s=(size, size))
    field = (field - field.mean()) / (field.std() + 1e-9)
    return np.asarray(np.clip(0.5 + field / 5.0, 0.0, 1.0))


def _soft(values: Array, edge: float, width: float) -> Array:
    """A step at ``edge`` that rises over ``width``."""
    x = np.clip((values - edge) / width + 0.5, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))


def _grid(size: int) -> tuple[Array, Array]:
    y, x = np.mgrid[0:size, 0:size] / size
    return x, y


def _cells(rng: Rng, size: int, columns: int, rows: int, shift: float, gap: float):  # type: ignore[no-untyped-def]
    """A wall of cells: value of each cell in [0, 1], distance to its border, in tiles."""
    x, y = _grid(size)
    row = np.floor(y * rows).astype(int)
    across = x * columns + shift * (row % 2)
    column = np.floor(across).astype(int) % columns
    values = rng.random((rows, columns))[row, column]
    fx, fy = across - np.floor(across), y * rows - row
    border = np.minimum(np.minimum(fx, 1 - fx) / columns, np.minimum(fy, 1 - fy) / rows)
    return values, _soft(border, gap, 0.006)


def fractal(rng: Rng, size: int) -> tuple[Array, Array]:
    return noise(rng, size, 1.1), _soft(noise(rng, size, 1.6), 0.5, 0.35)


def speckle(rng: Rng, size: int) -> tuple[Array, Array]:
    grain = 0.65 * noise(rng, size, 0.35) + 0.35 * noise(rng, size, 1.3)
    return grain, _soft(noise(rng, size, 0.6), 0.68, 0.1)


def grass(rng: Rng, size: int) -> tuple[Array, Array]:
    blades = np.maximum(noise(rng, size, 0.7, 0.45), noise(rng, size, 0.7, 0.6).T)
    return 0.7 * blades + 0.3 * noise(rng, size, 1.2), _soft(noise(rng, size, 1.2), 0.52, 0.25)


def foliage(rng: Rng, size: int) -> tuple[Array, Array]:
    image = np.full((size, size), 0.18, np.float32)
    share = np.zeros((size, size), np.float32)
    for _ in range(1400):
        center, angle = rng.integers(0, size, 2), rng.uniform(0, 180)
        axes = (int(rng.integers(4, 11)), int(rng.integers(2, 5)))
        bright, tone = rng.uniform(0.15, 0.95), rng.random()
        for shift_x in (-size, 0, size):
            for shift_y in (-size, 0, size):
                at = (int(center[0] + shift_x), int(center[1] + shift_y))
                if not (-12 < at[0] < size + 12 and -12 < at[1] < size + 12):
                    continue
                cv2.ellipse(image, at, axes, angle, 0, 360, bright, -1)
                cv2.ellipse(share, at, axes, angle, 0, 360, tone, -1)
    light = 0.75 * image + 0.25 * noise(rng, size, 1.0)
    return np.asarray(light), np.asarray(share, dtype=np.float64)


def bricks(rng: Rng, size: int) -> tuple[Array, Array]:
    values, inside = _cells(rng, size, 4, int(rng.choice((8, 10, 12))), 0.5, 0.006)
    light = 0.35 + 0.35 * values + 0.3 * (noise(rng, size, 0.8) - 0.5)
    return np.asarray(light * (0.65 + 0.35 * inside)), 1.0 - inside


def tiles(rng: Rng, size: int) -> tuple[Array, Array]:
    count = int(rng.choice((2, 4, 6)))
    values, inside = _cells(rng, size, count, count, 0.0, 0.008)
    light = 0.45 + 0.2 * values + 0.3 * (noise(rng, size, 1.0) - 0.5)
    return np.asarray(light * (0.55 + 0.45 * inside)), np.asarray(np.round(values) * inside)


def planks(rng: Rng, size: int) -> tuple[Array, Array]:
    values, inside = _cells(rng, size, 2, int(rng.choice((6, 8))), 0.5, 0.003)
    grain = noise(rng, size, 0.9, 8.0)
    light = (0.25 + 0.35 * values + 0.45 * grain) * (0.35 + 0.65 * inside)
    return light, _soft(noise(rng, size, 1.1, 7.0), 0.55, 0.3)


def concrete(rng: Rng, size: int) -> tuple[Array, Array]:
    crack = np.abs(noise(rng, size, 1.5) - 0.5)
    light = 0.55 * noise(rng, size, 0.5) + 0.45 * noise(rng, size, 1.5)
    light = light * (0.55 + 0.45 * _soft(crack, 0.008, 0.012))
    return light, _soft(noise(rng, size, 1.4), 0.6, 0.2)


def stones(rng: Rng, size: int) -> tuple[Array, Array]:
    count = int(rng.choice((60, 120)))
    seeds = rng.random((count, 2))
    x, y = _grid(size)
    warp = 0.03 * (noise(rng, size, 1.2) - 0.5)
    points = np.stack(((x + warp) % 1.0, (y + warp.T) % 1.0), axis=-1).reshape(-1, 2)
    distance, index = cKDTree(seeds, boxsize=1.0).query(points, k=2)
    border = (distance[:, 1] - distance[:, 0]).reshape(size, size)
    inside = _soft(border, 0.012, 0.012)
    tone = rng.random(count)[index[:, 0]].reshape(size, size)
    light = (0.35 + 0.35 * tone + 0.4 * (noise(rng, size, 0.7) - 0.5)) * (0.35 + 0.65 * inside)
    return light, 1.0 - inside


def windows(rng: Rng, size: int) -> tuple[Array, Array]:
    """A facade: panes in frames on a plastered or bricked wall."""
    columns, rows = int(rng.choice((3, 4, 5))), int(rng.choice((3, 4)))
    x, y = _grid(size)
    fx, fy = (x * columns) % 1.0, (y * rows) % 1.0
    wide, tall = rng.uniform(0.24, 0.38), rng.uniform(0.26, 0.38)
    dx, dy = wide - np.abs(fx - 0.5), tall - np.abs(fy - 0.5)
    pane = _soft(np.minimum(dx, dy), 0.02, 0.02)
    frame = _soft(np.minimum(dx, dy), -0.03, 0.02) - pane
    bar = pane * (1 - _soft(np.minimum(np.abs(fx - 0.5), np.abs(fy - 0.42)), 0.02, 0.015))
    lit_by = rng.random((rows, columns))[
        (y * rows).astype(int) % rows, (x * columns).astype(int) % columns
    ]
    wall = 0.6 + 0.5 * (noise(rng, size, 0.8) - 0.5)
    glass = 0.12 + 0.5 * lit_by**3 + 0.35 * (1 - fy) * noise(rng, size, 1.6)
    light = wall * (1 - pane - frame) + pane * glass + 0.95 * frame + bar * 0.6
    return np.clip(light, 0, 1), np.clip(pane - bar, 0, 1)


def stripes(rng: Rng, size: int) -> tuple[Array, Array]:
    count = int(rng.choice((4, 6, 8, 12)))
    x, _ = _grid(size)
    phase = (x * count) % 1.0
    share = _soft(np.minimum(phase, 1 - phase), rng.uniform(0.12, 0.3), 0.05)
    return 0.35 + 0.5 * noise(rng, size, 0.9, 1.6), share


def weave(rng: Rng, size: int) -> tuple[Array, Array]:
    x, y = _grid(size)
    threads = 0.5 + 0.25 * (np.sin(x * 2 * np.pi * 48) + np.sin(y * 2 * np.pi * 48))
    return 0.45 * threads + 0.55 * noise(rng, size, 1.0), _soft(noise(rng, size, 1.5), 0.5, 0.3)


def signs(rng: Rng, size: int) -> tuple[Array, Array]:
    """Posters: blocks, rings and lines of something like writing."""
    light = np.full((size, size), 0.65, np.float32)
    share = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(5, 9))):
        x, y = rng.integers(0, size - 40, 2)
        w, h = rng.integers(24, 110, 2)
        corner = (int(min(x + w, size - 6)), int(min(y + h, size - 6)))
        cv2.rectangle(share, (int(x), int(y)), corner, float(rng.random()), -1)
        cv2.rectangle(light, (int(x), int(y)), corner, float(rng.uniform(0.2, 0.95)), 3)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.integers(50, size - 50, 2)
        cv2.circle(share, (int(x), int(y)), int(rng.integers(15, 45)), float(rng.random()), 8)
    for y in range(int(rng.integers(8, 40)), size - 12, int(rng.integers(14, 24))):
        x = 12
        while x < size - 20:
            w = int(rng.integers(3, 14))
            cv2.rectangle(light, (x, y), (x + w, y + 6), float(rng.uniform(0.05, 0.4)), -1)
            x += w + int(rng.integers(3, 8))
    shade = 0.75 * light + 0.25 * noise(rng, size, 1.0)
    return np.asarray(shade), np.asarray(share, dtype=np.float64)


def carpet(rng: Rng, size: int) -> tuple[Array, Array]:
    quarter = noise(rng, size // 2, 1.3)
    ornament = np.block([[quarter, quarter[:, ::-1]], [quarter[::-1], quarter[::-1, ::-1]]])
    share = _soft(ornament, 0.5, 0.06)
    return 0.25 + 0.5 * noise(rng, size, 0.2) + 0.25 * (ornament > 0.62), share


def panels(rng: Rng, size: int) -> tuple[Array, Array]:
    values, inside = _cells(rng, size, 2, 3, 0.0, 0.006)
    rivet_x, rivet_y = _grid(size)
    rivets = np.hypot((rivet_x * 16) % 1 - 0.5, (rivet_y * 16) % 1 - 0.5) < 0.14
    light = 0.5 + 0.15 * values + 0.4 * (noise(rng, size, 0.9) - 0.5) + 0.15 * rivets
    return light * (0.5 + 0.5 * inside), _soft(noise(rng, size, 1.1), 0.66, 0.1)


def cloud(rng: Rng, size: int) -> tuple[Array, Array]:
    field = noise(rng, size, 1.7)
    return noise(rng, size, 1.4), _soft(field, rng.uniform(0.48, 0.62), rng.uniform(0.2, 0.4))


_DRAWINGS: dict[str, Callable[[Rng, int], tuple[Array, Array]]] = {
    "fractal": fractal,
    "speckle": speckle,
    "grass": grass,
    "foliage": foliage,
    "bricks": bricks,
    "tiles": tiles,
    "planks": planks,
    "concrete": concrete,
    "stones": stones,
    "windows": windows,
    "stripes": stripes,
    "weave": weave,
    "signs": signs,
    "carpet": carpet,
    "panels": panels,
    "cloud": cloud,
}
PATTERNS = tuple(_DRAWINGS)


def draw(name: str, rng: Rng, size: int) -> Array:
    """One texture, (size, size, 2): brightness with mean 0.5, share of the second colour."""
    light, share = _DRAWINGS[name](rng, size)
    light = np.clip(light + (0.5 - light.mean()), 0.0, 1.0)
    return np.stack((light, np.clip(share, 0.0, 1.0)), axis=-1)
