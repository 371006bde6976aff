"""Nearest hit and shadow of every pixel, on tiles of 16x16 pixels.

A primitive is tested against the tiles that its projected bounds touch, and against no others.
All pairs (tile, primitive) of a batch form one long list, so that the same few tensor operations
serve one frame on a CPU and hundreds on a GPU.

Pixels are kept in tile order, (B, tiles, 256), from the cast to the end of shading.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.simulator.rendering.shapes import Shape, intersect

TILE = 16
NEAR = 1e-3
FAR = 600.0
SHADOW_RANGE = 90.0
_CLIP = 0.02
_ID_BITS = 20
_NOTHING = (1 << _ID_BITS) - 1


@dataclass(frozen=True, eq=False)
class Tiling:
    """How a (height, width) image is cut into tiles; the last ones may overhang."""

    width: int
    height: int

    @property
    def columns(self) -> int:
        return -(-self.width // TILE)

    @property
    def rows(self) -> int:
        return -(-self.height // TILE)

    @property
    def tiles(self) -> int:
        return self.columns * self.rows

    def to_image(self, values: Tensor) -> Tensor:
        """(B, C, tiles * 256) in tile order -> (B, C, height, width)."""
        batch, channels = values.shape[:2]
        grid = values.reshape(batch, channels, self.rows, self.columns, TILE, TILE)
        grid = grid.permute(0, 1, 2, 4, 3, 5)
        image = grid.reshape(batch, channels, self.rows * TILE, self.columns * TILE)
        return image[:, :, : self.height, : self.width].contiguous()


@dataclass(frozen=True, eq=False)
class Rays:
    """Ray directions in the camera's optical axes, z = 1.

    x: (B, columns * 16). y: (B, rows * 16): the camera has no skew, so they are separable.
    """

    tiling: Tiling
    x: Tensor
    y: Tensor

    @classmethod
    def of_camera(cls, K: Tensor, width: int, height: int) -> Rays:
        """Rays of every pixel for (B, 3, 3) intrinsics without skew."""
        tiling = Tiling(width, height)
        u = torch.arange(tiling.columns * TILE, device=K.device, dtype=torch.float32)
        v = torch.arange(tiling.rows * TILE, device=K.device, dtype=torch.float32)
        K = K.to(torch.float32)
        x = (u - K[:, 0, 2, None]) / K[:, 0, 0, None]
        y = (v - K[:, 1, 2, None]) / K[:, 1, 1, None]
        return cls(tiling, x, y)

    def directions(self) -> Tensor:
        """(B, 3, tiles * 256) in tile order."""
        batch, tiling = len(self.x), self.tiling
        shape = (batch, tiling.rows, tiling.columns, TILE, TILE)
        x = self.x.reshape(batch, 1, tiling.columns, 1, TILE).expand(shape)
        y = self.y.reshape(batch, tiling.rows, 1, TILE, 1).expand(shape)
        return torch.stack((x, y, torch.ones_like(x)), dim=1).reshape(batch, 3, -1)


def _tile_pairs(
    rays: Rays, K: Tensor, frame_from_unit: Tensor, exists: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pairs (frame, tile row, tile column, primitive) whose projected bounds touch the tile.

    The twelve edges of a primitive's box are clipped at the near plane and projected; the bounds
    of the result enclose everything visible of it.
    frame_from_unit: (B, P, 4, 4) unit shape to camera.
    """
    device = K.device
    bits = torch.arange(8, device=device)
    corner = torch.stack((bits & 1, bits >> 1 & 1, bits >> 2 & 1), dim=-1) * 2.0 - 1.0
    start = torch.tensor((0, 2, 4, 6, 0, 1, 4, 5, 0, 1, 2, 3), device=device)
    end = torch.tensor((1, 3, 5, 7, 2, 3, 6, 7, 4, 5, 6, 7), device=device)
    points = corner @ frame_from_unit[..., :3, :3].transpose(-1, -2)
    points = points + frame_from_unit[..., None, :3, 3]
    a, b = points[..., start, :], points[..., end, :]
    depth_a, depth_b = a[..., 2:], b[..., 2:]
    span = depth_b - depth_a
    cut = (_CLIP - depth_a) / torch.where(span.abs() < 1e-9, 1e-9, span)
    crossing = a + cut.clamp(0.0, 1.0) * (b - a)
    clipped = torch.cat(
        (torch.where(depth_a < _CLIP, crossing, a), torch.where(depth_b < _CLIP, crossing, b)),
        dim=-2,
    )
    ahead = (torch.maximum(depth_a, depth_b) > _CLIP)[..., 0].repeat(1, 1, 2)
    z = clipped[..., 2].clamp(min=_CLIP)
    touches = []
    for axis, count in ((0, rays.tiling.columns), (1, rays.tiling.rows)):
        pixel = clipped[..., axis] / z * K[:, axis, axis, None, None] + K[:, axis, 2, None, None]
        low = torch.where(ahead, pixel, torch.inf).amin(-1) - 0.5
        high = torch.where(ahead, pixel, -torch.inf).amax(-1) + 0.5
        first = torch.arange(count, device=device) * TILE
        touches.append(
            (high[:, None] >= first[:, None])
            & (low[:, None] <= first[:, None] + TILE - 1)
            & exists[:, None]
        )
    both = touches[1][:, :, None] & touches[0][:, None]
    frame, row, column, primitive = both.nonzero(as_tuple=True)
    return frame, row, column, primitive


def _nearest(keys: list[Tensor], slots: list[Tensor], count: int, empty: int) -> Tensor:
    """Smallest key of every pixel: (n, 256) keys into (count, 256), by the slot of each row."""
    key, slot = torch.cat(keys), torch.cat(slots)
    result = torch.full((count, TILE * TILE), empty, dtype=key.dtype, device=key.device)
    return result.scatter_reduce_(0, slot[:, None].expand_as(key), key, "amin")


def cast(
    rays: Rays,
    K: Tensor,
    kind: Tensor,
    unit_from_frame: Tensor,
    frame_from_unit: Tensor,
    exists: Tensor,
    ground: Tensor,
) -> tuple[Tensor, Tensor]:
    """Nearest primitive in front of the ground for every pixel.

    A primitive that holds the camera is not seen. kind: (B, P). unit_from_frame,
    frame_from_unit: (B, P, 4, 4) float32, camera to unit shape and back. exists: (B, P) bool.
    ground: (B, tiles * 256) depth of the ground, inf where none.
    Returns depth (B, tiles * 256), inf where nothing is hit, and primitive, of the same shape,
    -1 where the ground or nothing is hit.
    """
    tiling = rays.tiling
    frame, row, column, primitive = _tile_pairs(rays, K, frame_from_unit, exists)
    x = rays.x.reshape(-1, tiling.columns, TILE)
    y = rays.y.reshape(-1, tiling.rows, TILE)
    kinds = kind[frame, primitive]
    count = len(rays.x) * tiling.tiles
    slot = (frame * tiling.rows + row) * tiling.columns + column
    behind = torch.where(ground < FAR, ground, FAR).contiguous()
    keys = [(_sortable(behind) | _NOTHING).reshape(count, TILE * TILE)]
    slots = [torch.arange(count, device=K.device)]
    for shape in Shape:
        chosen = (kinds == shape).nonzero()[:, 0]
        if not len(chosen):
            continue
        f, p = frame[chosen], primitive[chosen]
        affine = unit_from_frame[f, p]
        xs = x[f, column[chosen]][:, None, :]
        ys = y[f, row[chosen]][:, :, None]
        a, o = affine[:, :3, :3, None, None], affine[:, :3, 3, None, None]
        dx, dy, dz = (a[:, i, 0] * xs + (a[:, i, 1] * ys + a[:, i, 2]) for i in range(3))
        near, _ = intersect(shape, (o[:, 0], o[:, 1], o[:, 2]), (dx, dy, dz))
        near = torch.where(near > NEAR, near, FAR).reshape(-1, TILE * TILE)
        keys.append(_sortable(near) | p[:, None])
        slots.append(slot[chosen])
    best = _nearest(keys, slots, count, torch.iinfo(torch.int64).max)
    identity = best & _NOTHING
    depth = (best >> _ID_BITS).to(torch.int32).view(torch.float32)
    depth = torch.where(depth < FAR, depth, torch.inf)
    size = (len(rays.x), tiling.tiles * TILE * TILE)
    return depth.reshape(size), torch.where(identity == _NOTHING, -1, identity).reshape(size)


def _sortable(depth: Tensor) -> Tensor:
    """Positive floats as integers of the same order, with room for an id below."""
    return depth.view(torch.int32).to(torch.int64) << _ID_BITS


def lit(
    points: Tensor,
    receives: Tensor,
    kind: Tensor,
    unit_from_light: Tensor,
    light_from_unit: Tensor,
    casts: Tensor,
) -> Tensor:
    """Which points see the sun.

    Everything is in light axes: the sun lies in +z. points: (B, 3, tiles * 256).
    receives: (B, tiles * 256) bool, the points worth asking for. unit_from_light,
    light_from_unit: (B, P, 4, 4) and (B, P, 3, 4). casts: (B, P) bool.
    Returns (B, tiles * 256) bool.
    """
    batch, total = receives.shape
    size = TILE * TILE
    tiles = points.reshape(batch, 3, -1, size)
    asks = receives.reshape(batch, 1, -1, size)
    low = torch.where(asks, tiles, torch.inf).amin(3)
    high = torch.where(asks, tiles, -torch.inf).amax(3)
    count = low.shape[2]
    center = light_from_unit[..., :3, 3]
    reach = light_from_unit[..., :3, :3].abs().sum(-1)
    below, above = center - reach, center + reach
    touch = casts[:, None].expand(-1, count, -1)
    for axis in range(2):
        touch = touch & (low[:, axis, :, None] <= above[:, None, :, axis])
        touch = touch & (high[:, axis, :, None] >= below[:, None, :, axis])
    touch = touch & (low[:, 2, :, None] <= above[:, None, :, 2])
    frame, tile, primitive = touch.nonzero(as_tuple=True)
    kinds = kind[frame, primitive]
    slot = frame * count + tile
    flat = tiles.transpose(1, 2).reshape(-1, 3, size)
    dark = torch.zeros(batch * count, size, dtype=torch.uint8, device=points.device)
    for shape in Shape:
        chosen = (kinds == shape).nonzero()[:, 0]
        if not len(chosen):
            continue
        affine = unit_from_light[frame[chosen], primitive[chosen]]
        origin = torch.baddbmm(affine[:, :3, 3, None], affine[:, :3, :3], flat[slot[chosen]])
        o = (origin[:, 0], origin[:, 1], origin[:, 2])
        d = (affine[:, 0, 2, None], affine[:, 1, 2, None], affine[:, 2, 2, None])
        near, _ = intersect(shape, o, d)
        # The surface that asks starts inside or on its own shape: near <= 0 there.
        blocked = ((near > 2e-3) & (near < torch.inf)).to(torch.uint8)
        dark.scatter_reduce_(0, slot[chosen][:, None].expand_as(blocked), blocked, "amax")
    return (dark == 0).reshape(batch, total)
