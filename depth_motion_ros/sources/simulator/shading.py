"""The colour of what each pixel hits: texture, sun and shadow, ambient light, lamp, haze, sky."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.sources.simulator.scene import FIELD, ROAD, VERGE, Light, Road
from depth_motion_ros.sources.simulator.textures import VARIANTS, TextureBank, layer_of

FINE = 7.3
BROAD = 0.137
_FINE_LOD, _BROAD_LOD = 2.868, -2.868
_CLOUD_HEIGHT = 0.14


@dataclass(frozen=True, eq=False)
class Surface:
    """What each of n pixels shows, flat over the batch.

    frame: (n,) row of the batch. u, v: (n,) m, place on the surface. footprint: (n,) m on the
    surface that a pixel covers. normal: (n, 3) unit, camera axes, towards the camera.
    ray: (n, 3) camera axes, z = 1. depth: (n,) m. material: 14 columns of (n,).
    lit: (n,) 1 where the sun is seen. paint: (n,) share of road paint. sky: (n,) bool.
    up: (n,) height of the viewing direction, in [-1, 1].
    """

    frame: Tensor
    u: Tensor
    v: Tensor
    footprint: Tensor
    normal: Tensor
    ray: Tensor
    depth: Tensor
    material: tuple[Tensor, ...]
    lit: Tensor
    paint: Tensor
    sky: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class View:
    """Directions and places of the light in the camera axes of each frame, all (B, 3)."""

    sun: Tensor
    up: Tensor
    lamp: Tensor


def road_layout(
    road: Road, frame: Tensor, x: Tensor, y: Tensor, footprint: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Which ground lies at a place: its offset from the centre line, material row and paint.

    x, y: (n,) m. footprint: (n,) m. Returns offset (n,) m, kind (n,) in ROAD, VERGE, FIELD, and
    paint (n,) in [0, 1], filtered to the footprint.
    """
    curve = road.curve[frame]
    center, slope = torch.zeros_like(x), torch.zeros_like(x)
    for i in range(curve.shape[1]):
        amplitude, k, phase = curve[:, i].unbind(-1)
        center = center + amplitude * torch.sin(k * x + phase)
        slope = slope + amplitude * k * torch.cos(k * x + phase)
    offset = (y - center) / torch.sqrt(1 + slope * slope)
    across = offset.abs()
    half, verge = road.half_width[frame], road.verge_width[frame]
    kind = torch.where(across < half, ROAD, torch.where(across < half + verge, VERGE, FIELD))
    width = footprint.clamp(min=0.01)

    def line(distance: Tensor, half_line: Tensor) -> Tensor:
        """Share of the footprint that a line of this half width covers."""
        right = ((half_line - distance) / width).clamp(-0.5, 0.5)
        left = ((-half_line - distance) / width).clamp(-0.5, 0.5)
        return right - left

    edge = road.edge[frame]
    paint = line(across - (half - 0.25), edge)
    period, length = road.dash[frame].unbind(-1)
    along = torch.remainder(x, period.clamp(min=0.1)) - 0.5 * length
    dashes = line(along, 0.5 * length) * line(offset, torch.full_like(x, 0.07))
    fade = (half * 2.0 / width).clamp(0.0, 1.0)
    paint = torch.where(kind == ROAD, torch.maximum(paint, dashes) * fade, 0.0)
    return offset, kind, paint


def shade(surface: Surface, light: Light, view: View, paint: Tensor, bank: TextureBank) -> Tensor:
    """Linear RGB of n pixels, three columns stacked to (3, n). paint: (B, 3) of the roads."""
    frame = surface.frame
    layer_value, turn_u, turn_v, lod_scale, *rest = surface.material
    color_a, color_b = rest[:3], rest[3:6]
    contrast, detail, broad, specular = rest[6:]
    layer = layer_value.long()
    u = turn_u * surface.u - turn_v * surface.v
    v = turn_v * surface.u + turn_u * surface.v
    lod = lod_scale + torch.log2(surface.footprint.clamp(min=1e-7))
    variant = layer % VARIANTS
    fine_layer = variant + layer_of("speckle", 0)
    broad_layer = variant + layer_of("fractal", 0)
    texel = bank.sample(
        torch.cat((layer, fine_layer, broad_layer)),
        torch.cat((u, FINE * u + 0.31 * v, BROAD * u + 0.05 * v)),
        torch.cat((v, FINE * v - 0.31 * u, BROAD * v - 0.05 * u)),
        torch.cat((lod, lod + _FINE_LOD, lod + _BROAD_LOD)),
    ).reshape(3, -1)
    share = texel[0].imag
    bright = 1 + contrast * (2 * texel[0].real - 1)
    bright = bright * (1 + detail * (2 * texel[1].real - 1))
    bright = (bright * (1 + broad * (2 * texel[2].real - 1))).clamp(min=0.03)

    normal = surface.normal.unbind(1)
    ray = surface.ray.unbind(1)
    length = torch.sqrt(ray[0] * ray[0] + ray[1] * ray[1] + 1.0)
    sun, up, lamp = (table[frame].unbind(1) for table in (view.sun, view.up, view.lamp))
    facing = sum(n * s for n, s in zip(normal, sun, strict=True))
    diffuse = facing.clamp(min=0.0) * surface.lit
    half_way = [s - r / length for s, r in zip(sun, ray, strict=True)]
    half_norm = torch.sqrt(sum(h * h for h in half_way) + 1e-9)
    gloss = sum(n * h for n, h in zip(normal, half_way, strict=True)) / half_norm
    gloss = gloss.clamp(min=0.0)
    for _ in range(5):
        gloss = gloss * gloss
    gloss = gloss * specular * surface.lit
    skyward = 0.72 + 0.28 * sum(n * w for n, w in zip(normal, up, strict=True))
    to_lamp = [p - r * surface.depth for p, r in zip(lamp, ray, strict=True)]
    lamp_square = sum(p * p for p in to_lamp) + 0.05
    toward = sum(n * p for n, p in zip(normal, to_lamp, strict=True)) / torch.sqrt(lamp_square)
    lamp_gain = (0.25 + 0.75 * toward.clamp(min=0.0)) / (1 + 0.15 * lamp_square)

    haze = torch.exp(-surface.depth * length / light.haze_length[frame])
    above = surface.up.clamp(min=0.0)
    rise = 1 - (1 - above) ** 4
    clouds = share * (1 - (1 - above) ** 8)
    channels = []
    for c in range(3):
        base = color_a[c] + share * (color_b[c] - color_a[c])
        base = base + surface.paint * (paint[frame, c] - base)
        glow = light.sun_color[frame, c] * diffuse + light.ambient[frame, c] * skyward
        glow = glow + light.lamp_color[frame, c] * lamp_gain
        color = base * bright * glow + gloss * light.sun_color[frame, c]
        hazy = light.haze[frame, c]
        color = hazy + haze * (color - hazy)
        blue = hazy + rise * (light.zenith[frame, c] - hazy)
        heaven = blue + clouds * (color_a[c] * bright - blue)
        channels.append(torch.where(surface.sky, heaven, color))
    return torch.stack(channels).clamp(min=0.0)


def cloud_place(direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Texture place of the sky in a world direction (n, 3), and how much a rad stretches there."""
    length = direction.norm(dim=1).clamp(min=1e-9)
    up = direction[:, 2] / length
    lift = up.clamp(min=0.0) + _CLOUD_HEIGHT
    u, v = direction[:, 0] / length / lift, direction[:, 1] / length / lift
    return u, v, 1 / (lift * lift)
