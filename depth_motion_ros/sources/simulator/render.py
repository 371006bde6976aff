"""Images with exact truth: one call draws B frames of B scenes, at B times, from B cameras."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.sources.simulator import caster, shading
from depth_motion_ros.sources.simulator.caster import FAR, Rays, Tiling
from depth_motion_ros.sources.simulator.scene import ROAD, SKY, SceneBatch
from depth_motion_ros.sources.simulator.shapes import unit_normal_face
from depth_motion_ros.sources.simulator.textures import TextureBank
from depth_motion_ros.sources.simulator.tracks import rigid_inverse, to_matrix

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
    edges: (B, 1, H, W) bool: pixels beside another surface.
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


def _frames(scene: SceneBatch, pose: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
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


def _light_axes(sun: Tensor) -> Tensor:
    """(B, 3, 3) rotations into axes whose z points at the sun. sun: (B, 3) unit."""
    helper = torch.zeros_like(sun)
    helper.scatter_(1, sun.abs().argmin(dim=1, keepdim=True), 1.0)
    x = torch.nn.functional.normalize(torch.linalg.cross(helper, sun), dim=1)
    return torch.stack((x, torch.linalg.cross(sun, x), sun), dim=1)


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
    device, batch = scene.device, len(scene)
    rays = Rays.of_camera(K, width, height)
    states, next_states = scene.body_states(time), scene.body_states(next_time)
    unit_from_camera, camera_from_unit = _frames(scene, pose, states)
    exists = scene.half.amax(-1) > 0
    directions = rays.directions()
    turn = pose[:, :3, :3].float()
    world_rays = directions @ turn.transpose(1, 2)
    origin = pose[:, :3, 3].float()
    ground_depth, exact = scene.ground.intersect(origin, world_rays, FAR)
    depth, primitive = caster.cast(
        rays, K, scene.kind, unit_from_camera, camera_from_unit, exists, ground_depth
    )

    count = directions.shape[1]
    frame = torch.arange(batch, device=device)[:, None].expand(-1, count)
    flat = _Flat(frame.reshape(-1), directions.reshape(-1, 3), depth.reshape(-1))
    sky = torch.isinf(flat.depth)
    is_ground = (primitive.reshape(-1) < 0) & ~sky
    solid = torch.where(sky, SKY_DEPTH, flat.depth)
    surface = _surface(
        scene, rays, K, origin, flat, solid, sky, is_ground, primitive.reshape(-1),
        unit_from_camera, world_rays.reshape(-1, 3), turn,
    )  # fmt: skip
    sun = (scene.light.sun[:, None] @ turn)[:, 0]
    if shadows:
        surface = _with_shadows(scene, surface, sun, unit_from_camera, camera_from_unit, batch)
    up = turn[:, 2]
    lamp = ((scene.light.lamp - origin)[:, None] @ turn)[:, 0]
    color = shading.shade(surface, scene.light, shading.View(sun, up, lamp), scene.road.paint, bank)

    ego, mover = _object_motion(scene, states, next_states, pose, next_pose)
    body = torch.where(primitive >= 0, scene.body.gather(1, primitive.clamp(min=0)), 0)
    point = directions * torch.where(torch.isinf(depth), 0.0, depth)[..., None]
    motion = _moved(mover, body, point)
    instance = scene.instance.gather(1, body)
    unsettled = (primitive < 0) & ~exact
    identity = torch.where(is_ground.reshape(batch, -1), -1, primitive)
    identity = torch.where(torch.isinf(depth), -2, identity)

    tiling = rays.tiling
    image = tiling.to_image(color.reshape(3, batch, count).permute(1, 2, 0))
    edges = _beside_another(tiling.to_image(identity[..., None].float()))
    motion_image = tiling.to_image(motion)
    return RenderOutput(
        image=_smooth(image, edges),
        depth=tiling.to_image(solid.reshape(batch, count, 1)),
        motion=motion_image,
        instance=tiling.to_image(instance[..., None]),
        moving=motion_image.norm(dim=1, keepdim=True) > MOVING,
        valid=tiling.to_image((~(torch.isinf(depth) | unsettled))[..., None]),
        edges=edges,
        pose=pose,
        ego=ego,
        K=K,
    )


@dataclass(frozen=True, eq=False)
class _Flat:
    """n pixels of the batch in one row: frame (n,), ray (n, 3), depth (n,) with inf for sky."""

    frame: Tensor
    ray: Tensor
    depth: Tensor


def _surface(
    scene: SceneBatch,
    rays: Rays,
    K: Tensor,
    origin: Tensor,
    flat: _Flat,
    solid: Tensor,
    sky: Tensor,
    is_ground: Tensor,
    primitive: Tensor,
    unit_from_camera: Tensor,
    world_rays: Tensor,
    turn: Tensor,
) -> shading.Surface:
    """Place, normal, footprint and material of every pixel."""
    frame = flat.frame
    count = scene.kind.shape[1]
    rows = scene.material.shape[1]
    known = primitive.clamp(min=0)
    table = torch.cat(
        (unit_from_camera[..., :3, :].reshape(*scene.kind.shape, 12), scene.half,
         scene.kind[..., None].float()), dim=-1,
    ).reshape(-1, 16)  # fmt: skip
    picked = table.t().contiguous().index_select(1, frame * count + known)
    points = flat.ray * solid[:, None]
    px, py, pz = points.unbind(1)
    affine = picked[:12].reshape(3, 4, -1)
    unit = torch.stack([a[0] * px + a[1] * py + a[2] * pz + a[3] for a in affine], dim=1)
    kind = picked[15].long()
    unit_normal, face = unit_normal_face(kind, unit)
    normal = torch.stack(
        [sum(affine[i, j] * unit_normal[:, i] for i in range(3)) for j in range(3)], dim=1
    )
    size = picked[12:15].t()
    local = unit * size
    round_side = (kind == 1) & (face == 3)
    # A ball is textured like a box, along the axis its normal is nearest to.
    axis = torch.where(face == 3, unit_normal.abs().argmax(1), face)
    u = torch.where(axis == 0, local[:, 1], local[:, 0])
    v = torch.where(axis == 2, local[:, 1], -local[:, 2])
    around = torch.atan2(unit[:, 1], unit[:, 0]) * size[:, 0]
    u, v = torch.where(round_side, around, u), torch.where(round_side, -local[:, 2], v)
    # Two equal boxes should not show the same patch.
    u = u + 0.618 * known

    world = origin[frame] + world_rays * solid[:, None]
    x, y = world[:, 0], world[:, 1]
    grid = (scene.road.half_width.shape[0], -1)
    gx, gy = scene.ground.gradient(x.reshape(grid), y.reshape(grid))
    ground_world = torch.stack((-gx.reshape(-1), -gy.reshape(-1), torch.ones_like(x)), dim=1)
    ground_normal = (ground_world.reshape(*grid, 3) @ turn).reshape(-1, 3)
    normal = torch.where(is_ground[:, None], ground_normal, normal)
    normal = torch.nn.functional.normalize(normal, dim=1, eps=1e-12)
    length = flat.ray.norm(dim=1)
    slant = (normal * flat.ray).sum(1) / length
    normal = torch.where((slant > 0)[:, None], -normal, normal)
    pixel = (1.0 / torch.minimum(K[:, 0, 0], K[:, 1, 1])).float()[frame]
    # Between the long and the short axis of the footprint: sharper than the one, little aliasing.
    footprint = solid * pixel / slant.abs().clamp(min=0.03) ** 0.75

    offset, layout, paint = shading.road_layout(scene.road, frame, x, y, footprint)
    cloud_u, cloud_v, stretch = shading.cloud_place(world_rays)
    u = torch.where(is_ground, x, torch.where(sky, cloud_u, u))
    v = torch.where(is_ground, torch.where(layout == ROAD, offset, y),
                    torch.where(sky, cloud_v, v))  # fmt: skip
    footprint = torch.where(sky, pixel * stretch, footprint)
    entry = torch.where(sky, count + SKY, torch.where(is_ground, count + layout, known))
    material = scene.material.reshape(-1, scene.material.shape[2]).t().contiguous()
    columns = material.index_select(1, frame * rows + entry)
    return shading.Surface(
        frame=frame, u=u, v=v, footprint=footprint, normal=normal, ray=flat.ray, depth=solid,
        material=tuple(columns), lit=torch.ones_like(solid),
        paint=torch.where(is_ground, paint, 0.0), sky=sky, up=world_rays[:, 2] / length,
    )  # fmt: skip


def _with_shadows(
    scene: SceneBatch,
    surface: shading.Surface,
    sun: Tensor,
    unit_from_camera: Tensor,
    camera_from_unit: Tensor,
    batch: int,
) -> shading.Surface:
    """The same surface with ``lit`` set to 0 in shadow."""
    light_from_camera = _light_axes(sun)
    points = (surface.ray * surface.depth[:, None]).reshape(batch, -1, 3)
    points = points @ light_from_camera.transpose(1, 2)
    facing = (surface.normal * sun[surface.frame]).sum(1) > 0
    receives = facing & ~surface.sky & (surface.depth < caster.SHADOW_RANGE)
    unit_from_light = unit_from_camera.clone()
    back = light_from_camera.transpose(1, 2)[:, None]
    unit_from_light[..., :3, :3] = unit_from_camera[..., :3, :3] @ back
    light_from_unit = camera_from_unit.clone()
    light_from_unit[..., :3, :] = light_from_camera[:, None] @ camera_from_unit[..., :3, :]
    lit = caster.lit(
        points, receives.reshape(batch, -1), scene.kind, unit_from_light, light_from_unit,
        scene.casts,
    )  # fmt: skip
    changed = dict(vars(surface))
    changed["lit"] = (lit.reshape(-1) & facing).float()
    return shading.Surface(**changed)


def _moved(mover: Tensor, body: Tensor, point: Tensor) -> Tensor:
    """Own motion of (B, n, 3) points on (B, n) bodies, float32."""
    rows = torch.arange(len(body), device=body.device)[:, None]
    carried = body.nonzero(as_tuple=True)
    motion = torch.zeros_like(point)
    chosen = mover.float()[rows.expand_as(body)[carried], body[carried]]
    at = point[carried]
    motion[carried] = (chosen[:, :, :3] @ at[..., None])[..., 0] + chosen[:, :, 3]
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


__all__ = ["MOVING", "SKY_DEPTH", "RenderOutput", "Tiling", "render"]
