"""Intersections of rays with unit shapes and with the ground, in closed form where one exists.

Every primitive is a unit shape (box [-1, 1]^3, cylinder of radius 1 around z with caps at z = +-1,
unit ball) seen through an affine map that is applied to the ray, so the ray parameter t keeps
its meaning: with a direction whose camera z is 1, t is the depth along the optical axis.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

MISS = float("inf")
_TINY = 1e-20


class Shape(IntEnum):
    """Kind of a primitive, as stored in ``SceneBatch.kind``."""

    BOX = 0
    CYLINDER = 1
    BALL = 2


def _slab(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit of the slab |x| <= 1. A direction of exactly 0 must not make a NaN."""
    inverse = 1.0 / (direction + _TINY)
    middle = -origin * inverse
    half = inverse.abs()
    return middle - half, middle + half


def _disc(
    origin: tuple[Tensor, ...], direction: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Entry, exit and hit mask for the set |x| <= 1 in as many dimensions as are given.

    Measured from the point of closest approach: the textbook discriminant cancels in float32
    for a thin pole far away.
    """
    squared = sum((d * d for d in direction[1:]), direction[0] * direction[0]) + _TINY
    dot = sum(
        (o * d for o, d in zip(origin[1:], direction[1:], strict=True)), origin[0] * direction[0]
    )
    closest = -dot / squared
    distance = torch.zeros_like(closest)
    for o, d in zip(origin, direction, strict=True):
        point = o + closest * d
        distance = distance + point * point
    room = 1.0 - distance
    half = torch.sqrt(torch.clamp(room, min=0.0) / squared)
    return closest - half, closest + half, room > 0


def intersect(
    kind: Shape, origin: tuple[Tensor, Tensor, Tensor], direction: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Entry and exit parameter of rays through a unit shape; (inf, -inf) where they miss.

    origin, direction: components that broadcast against each other. The entry may be negative:
    the ray then starts inside or beyond the shape.
    """
    if kind is Shape.BOX:
        near, far = _slab(origin[0], direction[0])
        for o, d in zip(origin[1:], direction[1:], strict=True):
            enter, leave = _slab(o, d)
            near, far = torch.maximum(near, enter), torch.minimum(far, leave)
        hit = near < far
    elif kind is Shape.CYLINDER:
        near, far, inside = _disc(origin[:2], direction[:2])
        enter, leave = _slab(origin[2], direction[2])
        near, far = torch.maximum(near, enter), torch.minimum(far, leave)
        hit = inside & (near < far)
    else:
        near, far, hit = _disc(origin, direction)
    return torch.where(hit, near, MISS), torch.where(hit, far, -MISS)


def unit_surface(
    kind: Tensor, point: tuple[Tensor, Tensor, Tensor]
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
    """Normal and texture axis of a surface point.

    kind: (...) of ``Shape``, as float. point: components (...) on the unit shape.
    Returns the normal's components in unit-shape coordinates, not of unit length (it still has
    to pass the affine map); the axis (...) along which a texture is projected: the box's face, 2
    for a cylinder's cap, the nearest axis for a ball; and whether the place is on a cylinder's
    side, where a texture is wound around instead.
    """
    x, y, z = point
    ax, ay, az = x.abs(), y.abs(), z.abs()
    along_z = (az >= ax) & (az >= ay)
    axis = torch.where(along_z, 2, torch.where(ax >= ay, 0, 1))
    is_box, is_cylinder = kind == Shape.BOX, kind == Shape.CYLINDER
    is_cap = is_cylinder & (az * az > x * x + y * y)
    axis = torch.where(is_cap, 2, axis)
    flat = is_box | is_cap
    round_side = is_cylinder & ~is_cap
    normal = (
        torch.where(flat & (axis != 0), 0.0, x),
        torch.where(flat & (axis != 1), 0.0, y),
        torch.where((flat & (axis != 2)) | round_side, 0.0, z),
    )
    return normal, axis, round_side
