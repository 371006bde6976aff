"""From 'this primitive at this depth' to a place on a surface, its normal and its material."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from depth_motion_ros.simulator.rendering import caster
from depth_motion_ros.simulator.rendering.shading import (
    Surface,
    Vector,
    cloud_place,
    dot,
    per_frame,
    road_layout,
)
from depth_motion_ros.simulator.rendering.shapes import unit_surface
from depth_motion_ros.simulator.scene import ROAD, SKY, SceneBatch

# Two equal boxes should not show the same patch: each is shifted by this more, m.
_SHIFT = 0.618
# Pixels that a texel covers where it is seen straight on; below 1 textures would shimmer.
_SOFTNESS = 1.15


@dataclass(frozen=True, eq=False)
class Hits:
    """What the rays of B frames hit; (B, n) each.

    ray: camera axes, z = 1. world_ray: the same in world axes. depth: m, finite also for the sky.
    primitive: -1 = ground or sky. sky, is_ground: bool.
    """

    ray: Vector
    world_ray: Vector
    depth: Tensor
    primitive: Tensor
    sky: Tensor
    is_ground: Tensor


@dataclass(frozen=True, eq=False)
class CameraBatch:
    """Axes of B cameras. turn: (B, 3, 3) camera to world. origin: (B, 3) m. pixel: (B, 1) rad.

    unit_from_camera, camera_from_unit: (B, P, 4, 4).
    """

    turn: Tensor
    origin: Tensor
    pixel: Tensor
    unit_from_camera: Tensor
    camera_from_unit: Tensor


def surface_of(scene: SceneBatch, frames: CameraBatch, hits: Hits) -> Surface:
    """Place, normal, footprint and material of every pixel, all of it lit."""
    batch, count = scene.kind.shape
    row = torch.arange(batch, device=scene.device)[:, None]
    known = hits.primitive.clamp(min=0)
    table = torch.cat(
        (
            frames.unit_from_camera[..., :3, :].reshape(batch, count, 12),
            scene.half,
            scene.kind[..., None].float(),
        ),
        dim=-1,
    )
    picked = table.reshape(-1, 16).t().contiguous().index_select(1, (row * count + known).flatten())
    columns = picked.reshape(16, *known.shape).unbind(0)
    affine = columns[:4], columns[4:8], columns[8:12]
    depth = hits.depth
    x, y = hits.ray[0] * depth, hits.ray[1] * depth
    unit = _vector(a[0] * x + a[1] * y + a[2] * depth + a[3] for a in affine)
    unit_normal, axis, round_side = unit_surface(columns[15], unit)
    normal = _vector(
        affine[0][j] * unit_normal[0]
        + affine[1][j] * unit_normal[1]
        + affine[2][j] * unit_normal[2]
        for j in range(3)
    )
    local = _vector(unit[i] * columns[12 + i] for i in range(3))
    u = torch.where(axis == 0, local[1], local[0])
    v = torch.where(axis == 2, local[1], -local[2])
    u = torch.where(round_side, torch.atan2(unit[1], unit[0]) * columns[12], u)
    u = u + _SHIFT * known

    origin = per_frame(frames.origin)
    world_x = origin[0] + hits.world_ray[0] * depth
    world_y = origin[1] + hits.world_ray[1] * depth
    gx, gy = scene.ground.gradient(world_x, world_y)
    turn = frames.turn
    ground_normal = (
        turn[:, 2, j, None] - gx * turn[:, 0, j, None] - gy * turn[:, 1, j, None] for j in range(3)
    )
    normal = _vector(
        torch.where(hits.is_ground, g, n) for g, n in zip(ground_normal, normal, strict=True)
    )
    length = torch.sqrt(dot(hits.ray, hits.ray))
    scale = torch.rsqrt(dot(normal, normal).clamp(min=1e-20))
    slant = dot(normal, hits.ray) * scale / length
    scale = torch.where(slant > 0, -scale, scale)
    normal = _vector(n * scale for n in normal)
    # Between the long and the short axis of the footprint: sharper than the one, little aliasing.
    footprint = _SOFTNESS * depth * frames.pixel * slant.abs().clamp(min=0.03) ** -0.85

    offset, layout, paint = road_layout(scene.road, world_x, world_y, footprint)
    up = hits.world_ray[2] / length
    cloud_u, cloud_v, stretch = cloud_place(hits.world_ray, up, length)
    across = torch.where(layout == ROAD, offset, world_y)
    u = torch.where(hits.is_ground, world_x, torch.where(hits.sky, cloud_u, u))
    v = torch.where(hits.is_ground, across, torch.where(hits.sky, cloud_v, v))
    around = torch.where(hits.sky, count + SKY, count + layout)
    entry = torch.where(hits.primitive < 0, around, known)
    rows, fields = scene.material.shape[1:]
    materials = scene.material.reshape(-1, fields).t().contiguous()
    material = materials.index_select(1, (row * rows + entry).flatten())
    return Surface(
        entry=entry,
        u=u,
        v=v,
        footprint=torch.where(hits.sky, frames.pixel * stretch, footprint),
        normal=normal,
        ray=hits.ray,
        length=length,
        depth=depth,
        material=material.reshape(fields, *entry.shape).unbind(0),
        lit=torch.ones_like(depth),
        paint=torch.where(hits.is_ground, paint, 0.0),
        sky=hits.sky,
        up=up,
    )


def with_shadows(scene: SceneBatch, frames: CameraBatch, surface: Surface, sun: Tensor) -> Surface:
    """The same surface with ``lit`` set to 0 in shadow. sun: (B, 3) in camera axes."""
    light_from_camera = _light_axes(sun)
    points = torch.stack(
        (surface.ray[0] * surface.depth, surface.ray[1] * surface.depth, surface.depth), dim=1
    )
    facing = dot(surface.normal, per_frame(sun)) > 0
    receives = facing & ~surface.sky & (surface.depth < caster.SHADOW_RANGE)
    unit_from_light = frames.unit_from_camera.clone()
    back = light_from_camera.transpose(1, 2)[:, None]
    unit_from_light[..., :3, :3] = frames.unit_from_camera[..., :3, :3] @ back
    light_from_unit = light_from_camera[:, None] @ frames.camera_from_unit[..., :3, :]
    lit = caster.lit(
        light_from_camera @ points,
        receives,
        scene.kind,
        unit_from_light,
        light_from_unit,
        scene.casts,
    )
    return replace(surface, lit=(lit & facing).float())


def _vector(components) -> Vector:  # type: ignore[no-untyped-def]
    x, y, z = components
    return x, y, z


def _light_axes(sun: Tensor) -> Tensor:
    """(B, 3, 3) rotations into axes whose z points at the sun. sun: (B, 3) unit."""
    helper = torch.zeros_like(sun)
    helper.scatter_(1, sun.abs().argmin(dim=1, keepdim=True), 1.0)
    x = torch.nn.functional.normalize(torch.linalg.cross(helper, sun), dim=1)
    return torch.stack((x, torch.linalg.cross(sun, x), sun), dim=1)
