"""The colour of what each pixel hits: texture, sun and shadow, ambient light, lamp, haze, sky.

Values per pixel are (B, n), values per frame (B, 1): they broadcast. Vectors are tuples of x, y, z.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.simulator.appearance.textures import VARIANTS, TextureBank, layer_of
from depth_motion_ros.simulator.scene import FIELD, ROAD, VERGE, Light, Road

FINE = 7.3
BROAD = 0.137
_FINE_LOD, _BROAD_LOD = 2.868, -2.868
_CLOUD_HEIGHT = 0.14

Vector = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Surface:
    """What each pixel shows; everything is (B, n) or a tuple of such.

    entry: row of the scene's materials. u, v: m, place on the surface. footprint: m on the
    surface that a pixel covers. normal: unit, camera axes, towards the camera. ray: camera axes,
    z = 1; length: of the ray. depth: m.
    material: the 14 columns of ``materials.py``. lit: 1 where the sun is seen. paint: share of
    road paint. sky: bool. up: height of the viewing direction, in [-1, 1].
    """

    entry: Tensor
    u: Tensor
    v: Tensor
    footprint: Tensor
    normal: Vector
    ray: Vector
    length: Tensor
    depth: Tensor
    material: tuple[Tensor, ...]
    lit: Tensor
    paint: Tensor
    sky: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class LightDirections:
    """Directions and places of the light in the camera axes of each frame, all (B, 3)."""

    sun: Tensor
    up: Tensor
    lamp: Tensor


def dot(a: Vector, b: Vector) -> Tensor:
    """Scalar product of vectors in components."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def per_frame(vectors: Tensor) -> Vector:
    """(B, 3) as components (B, 1)."""
    return vectors[:, 0:1], vectors[:, 1:2], vectors[:, 2:3]


def road_layout(road: Road, x: Tensor, y: Tensor, footprint: Tensor) -> tuple[Tensor, ...]:
    """Which ground lies at a place: its offset from the centre line, material row and paint.

    x, y, footprint: (B, n) m. Returns offset (B, n) m, kind (B, n) in ROAD, VERGE, FIELD, and
    paint (B, n) in [0, 1], filtered to the footprint.
    """
    half, verge = road.half_width[:, None], road.verge_width[:, None]
    if not (road.half_width > 0).any():
        return y, torch.full_like(x, FIELD, dtype=torch.int64), torch.zeros_like(x)
    center, slope = torch.zeros_like(x), torch.zeros_like(x)
    for i in range(road.curve.shape[1]):
        amplitude, k, phase = per_frame(road.curve[:, i])
        angle = k * x + phase
        center = center + amplitude * torch.sin(angle)
        slope = slope + amplitude * k * torch.cos(angle)
    offset = (y - center) * torch.rsqrt(1 + slope * slope)
    across = offset.abs()
    kind = torch.where(across < half, ROAD, torch.where(across < half + verge, VERGE, FIELD))
    width = footprint.clamp(min=0.01)

    def line(distance: Tensor, half_line: Tensor | float) -> Tensor:
        """Share of the footprint that a line of this half width covers."""
        right = ((half_line - distance) / width).clamp(-0.5, 0.5)
        left = ((-half_line - distance) / width).clamp(-0.5, 0.5)
        return right - left

    paint = line(across - (half - 0.25), road.edge[:, None])
    period, length = road.dash[:, 0:1], road.dash[:, 1:2]
    along = torch.remainder(x, period.clamp(min=0.1)) - 0.5 * length
    paint = torch.maximum(paint, line(along, 0.5 * length) * line(offset, 0.07))
    fade = (half * 2.0 / width).clamp(0.0, 1.0)
    return offset, kind, torch.where(kind == ROAD, paint * fade, 0.0)


def _pattern(surface: Surface, bank: TextureBank) -> tuple[Tensor, Tensor]:
    """Brightness factor and share of the second colour, (B, n)."""
    layer_value, turn_u, turn_v, lod_scale, *_, contrast, detail, broad, _ = surface.material
    u = turn_u * surface.u - turn_v * surface.v
    v = turn_v * surface.u + turn_u * surface.v
    lod = lod_scale + torch.log2(surface.footprint.clamp(min=1e-7))
    layer = layer_value.to(torch.int32)
    variant = layer & (VARIANTS - 1)
    layers = (layer, variant + layer_of("speckle", 0), variant + layer_of("fractal", 0))
    places_u = (u, FINE * u + 0.31 * v, BROAD * u + 0.05 * v)
    places_v = (v, FINE * v - 0.31 * u, BROAD * v - 0.05 * u)
    lods = (lod, lod + _FINE_LOD, lod + _BROAD_LOD)
    main, fine, wide = (
        bank.sample(*(part.reshape(-1) for part in parts)).reshape(2, *u.shape)
        for parts in zip(layers, places_u, places_v, lods, strict=True)
    )
    bright = (1 - contrast) + 2 * contrast * main[0]
    bright = bright * ((1 - detail) + 2 * detail * fine[0])
    bright = bright * ((1 - broad) + 2 * broad * wide[0])
    return bright.clamp(min=0.03), main[1]


def shade(
    surface: Surface, light: Light, view: LightDirections, paint: Tensor, bank: TextureBank
) -> Tensor:
    """Linear RGB, (B, 3, n). paint: (B, 3) colour of the roads' markings."""
    color_a, color_b = surface.material[4:7], surface.material[7:10]
    bright, share = _pattern(surface, bank)
    normal, ray, length = surface.normal, surface.ray, surface.length
    sun, up, lamp = per_frame(view.sun), per_frame(view.up), per_frame(view.lamp)
    diffuse = dot(normal, sun).clamp(min=0.0) * surface.lit
    inverse = 1 / length
    half_way = (sun[0] - ray[0] * inverse, sun[1] - ray[1] * inverse, sun[2] - inverse)
    gloss = dot(normal, half_way) * torch.rsqrt(dot(half_way, half_way) + 1e-9)
    gloss = gloss.clamp(min=0.0)
    for _ in range(5):
        gloss = gloss * gloss
    gloss = gloss * surface.material[13] * surface.lit
    skyward = 0.72 + 0.28 * dot(normal, up)
    depth = surface.depth
    haze = torch.exp(-depth * length / light.haze_length[:, None])
    lamp_gain = None
    if (light.lamp_color > 0).any():
        to_lamp = (lamp[0] - ray[0] * depth, lamp[1] - ray[1] * depth, lamp[2] - depth)
        square = dot(to_lamp, to_lamp) + 0.05
        toward = (dot(normal, to_lamp) * torch.rsqrt(square)).clamp(min=0.0)
        lamp_gain = (0.25 + 0.75 * toward) / (1 + 0.15 * square)

    below = 1 - surface.up.clamp(min=0.0)
    below4 = below**4
    rise = 1 - below4
    clouds = share * (1 - below4 * below4)
    channels = []
    for c in range(3):
        sun_color, ambient = light.sun_color[:, c : c + 1], light.ambient[:, c : c + 1]
        hazy, zenith = light.haze[:, c : c + 1], light.zenith[:, c : c + 1]
        base = torch.lerp(color_a[c], color_b[c], share)
        base = base + surface.paint * (paint[:, c : c + 1] - base)
        glow = sun_color * diffuse + ambient * skyward
        if lamp_gain is not None:
            glow = glow + light.lamp_color[:, c : c + 1] * lamp_gain
        color = base * bright * glow + gloss * sun_color
        color = hazy + haze * (color - hazy)
        blue = hazy + rise * (zenith - hazy)
        heaven = blue + clouds * (color_a[c] * bright - blue)
        channels.append(torch.where(surface.sky, heaven, color))
    return torch.stack(channels, dim=1).clamp(min=0.0)


def cloud_place(direction: Vector, up: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Texture place of the sky in a world direction, and how much a rad stretches there.

    direction: of ``length``; up: its height after normalisation.
    """
    lift = 1 / (up.clamp(min=0.0) + _CLOUD_HEIGHT)
    scale = lift / length
    return direction[0] * scale, direction[1] * scale, lift * lift
