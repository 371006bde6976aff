"""Images with exact truth: one call draws B frames of B scenes, at B times, from B cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from depth_motion_ros.simulator.appearance.textures import TextureBank
from depth_motion_ros.simulator.rendering import caster, shading
from depth_motion_ros.simulator.rendering.caster import FAR, Rays
from depth_motion_ros.simulator.rendering.surface import CameraBatch, Hits, surface_of, with_shadows
from depth_motion_ros.simulator.scene import SceneBatch
from depth_motion_ros.simulator.tracks import rigid_inverse, to_matrix

SKY_DEPTH = 1000.0
MOVING = 1e-4


@dataclass(frozen=True, eq=False)
class RenderOutput:
    """B frames.

    image: (B, 3, H, W) linear RGB (``sensor.py`` makes a photograph of it).
    depth: (B, 1, H, W) m along the optical axis; SKY_DEPTH where the sky is seen.
    motion: (B, 3, H, W) m that the surface point moves by itself until the next frame, in the
        next frame's camera axes: X_next = R X + t + motion with R, t of ``ego``.
    instance: (B, 1, H, W) long, 0 = static. moving: (B, 1, H, W) bool.
    valid: (B, 1, H, W) bool: False for the sky and where the ground's march did not settle.
    edges: (B, 1, H, W) bool: pixels beside another surface, kind of ground, or a shadow's rim.
    pose: (B, 4, 4) float64 camera (optical axes) to world. ego: (B, 4, 4) float64, this frame's
    camera axes to the next frame's. K: (B, 3, 3).
    """

    image: Tensor
    depth: Tensor
    motion: Tensor
    instance: Tensor
    moving: Tensor
    valid: Tensor
    edges: Tensor
    pose: Tensor
    ego: Tensor
    K: Tensor


def joined(parts: Sequence[RenderOutput]) -> RenderOutput:
    """The frames of several outputs as one."""
    if len(parts) == 1:
        return parts[0]
    names = [field.name for field in fields(RenderOutput)]
    return RenderOutput(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _affine_maps(scene: SceneBatch, pose: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
    """Affine maps camera -> unit shape and back of every primitive, (B, P, 4, 4) float32."""
    rows = torch.arange(len(scene), device=scene.device)[:, None]
    body_pose = to_matrix(states)
    camera_from_body = rigid_inverse(pose)[:, None] @ body_pose
    rigid = camera_from_body[rows, scene.body] @ scene.place
    half = scene.half.clamp(min=1e-6).to(rigid.dtype)
    forward = rigid.clone()
    forward[..., :3, :3] = rigid[..., :3, :3] * half[..., None, :]
    backward = rigid_inverse(rigid)
    backward[..., :3, :] = backward[..., :3, :] / half[..., None]
    return backward.float(), forward.float()


def _object_motion(
    scene: SceneBatch, states: Tensor, next_states: Tensor, pose: Tensor, next_pose: Tensor
) -> tuple[Tensor, Tensor]:
    """Ego-motion (B, 4, 4) and, per body, the affine map (B, N, 3, 4) from a point of this frame
    (camera axes) to its own motion in the next frame's camera axes, in float64."""
    next_camera = rigid_inverse(next_pose)
    ego = next_camera @ pose
    carried = to_matrix(next_states) @ rigid_inverse(to_matrix(states))
    whole = next_camera[:, None] @ carried @ pose[:, None]
    still = (states == next_states).all(-1)[..., None, None]
    return ego, torch.where(still, 0.0, (whole - ego[:, None])[..., :3, :])


def render(
    scene: SceneBatch,
    K: Tensor,
    pose: Tensor,
    time: Tensor,
    *,
    width: int,
    height: int,
    bank: TextureBank,
    next_pose: Tensor | None = None,
    next_time: Tensor | None = None,
    shadows: bool = True,
) -> RenderOutput:
    """Draw B frames.

    scene: B scenes. K: (B, 3, 3) without skew. pose: (B, 4, 4) float64 camera to world.
    time: (B,) s. next_pose, next_time: of the frame that motion leads to (default: the same).
    """
    next_pose = pose if next_pose is None else next_pose
    next_time = time if next_time is None else next_time
    rays = Rays.of_camera(K, width, height)
    states, next_states = scene.body_states(time), scene.body_states(next_time)
    unit_from_camera, camera_from_unit = _affine_maps(scene, pose, states)
    directions = rays.directions()
    turn, origin = pose[:, :3, :3].float(), pose[:, :3, 3].float()
    world_rays = turn @ directions
    ground_depth, exact = scene.ground.intersect(origin, world_rays, FAR)
    depth, primitive = caster.cast(
        rays,
        K,
        scene.kind,
        unit_from_camera,
        camera_from_unit,
        scene.half.amax(-1) > 0,
        ground_depth,
    )
    sky = torch.isinf(depth)
    solid = torch.where(sky, SKY_DEPTH, depth)
    is_ground = (primitive < 0) & ~sky
    ray, world_ray = directions.unbind(1), world_rays.unbind(1)
    pixel = 1.0 / torch.minimum(K[:, 0, 0], K[:, 1, 1]).float()[:, None]
    hits = Hits(
        (ray[0], ray[1], ray[2]),
        (world_ray[0], world_ray[1], world_ray[2]),
        solid,
        primitive,
        sky,
        is_ground,
    )
    frames = CameraBatch(turn, origin, pixel, unit_from_camera, camera_from_unit)
    surface = surface_of(scene, frames, hits)
    sun = (scene.light.sun[:, None] @ turn)[:, 0]
    if shadows:
        surface = with_shadows(scene, frames, surface, sun)
    lamp = ((scene.light.lamp - origin)[:, None] @ turn)[:, 0]
    view = shading.LightDirections(sun, turn[:, 2], lamp)
    color = shading.shade(surface, scene.light, view, scene.road.paint, bank)

    ego, mover = _object_motion(scene, states, next_states, pose, next_pose)
    body = torch.where(primitive >= 0, scene.body.gather(1, primitive.clamp(min=0)), 0)
    tiling = rays.tiling
    motion = tiling.to_image(_moved(mover, body, directions * solid[:, None]))
    # Ids below 2^24 are exact in float32. Kinds of ground and shadow count as surfaces.
    identity = torch.where(sky | is_ground, -surface.entry, primitive) * 2.0 + surface.lit
    edges = _beside_another(tiling.to_image(identity[:, None]))
    valid = ~sky & (exact | (primitive >= 0))
    return RenderOutput(
        image=_smooth(tiling.to_image(color), edges),
        depth=tiling.to_image(solid[:, None]),
        motion=motion,
        instance=tiling.to_image(scene.instance.gather(1, body)[:, None]),
        moving=(motion * motion).sum(1, keepdim=True) > MOVING**2,
        valid=tiling.to_image(valid[:, None]),
        edges=edges,
        pose=pose,
        ego=ego,
        K=K,
    )


def _moved(mover: Tensor, body: Tensor, point: Tensor) -> Tensor:
    """Own motion of (B, 3, n) points on (B, n) bodies, float32."""
    frame, pixel = body.nonzero(as_tuple=True)
    motion = torch.zeros_like(point)
    chosen = mover.float()[frame, body[frame, pixel]]
    at = point[frame, :, pixel]
    motion[frame, :, pixel] = (chosen[:, :, :3] * at[:, None]).sum(2) + chosen[:, :, 3]
    return motion


def _beside_another(identity: Tensor) -> Tensor:
    """(B, 1, H, W) bool: a pixel whose right, left, upper or lower neighbour shows another id."""
    edges = torch.zeros_like(identity, dtype=torch.bool)
    across = identity[..., 1:] != identity[..., :-1]
    down = identity[..., 1:, :] != identity[..., :-1, :]
    edges[..., 1:] |= across
    edges[..., :-1] |= across
    edges[..., 1:, :] |= down
    edges[..., :-1, :] |= down
    return edges


def _smooth(image: Tensor, edges: Tensor) -> Tensor:
    """Soften the steps of silhouettes with a 3x3 binomial, only where surfaces meet."""
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
    across = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    soft = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 16
    return torch.where(edges, soft, image)
