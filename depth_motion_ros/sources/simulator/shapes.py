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


def unit_normal_face(kind: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
    """Normal in unit-shape coordinates and the axis of the face that a surface point lies on.

    kind: (N,) of ``Shape``. point: (N, 3) on the unit shape.
    Returns normal (N, 3), not of unit length (it still has to pass the affine map), and face (N,):
    0, 1, 2 = the axis of a box face (2 also for a cylinder's cap), 3 = round.
    """
    size = point.abs()
    face = size.argmax(dim=1)
    radial = torch.hypot(point[:, 0], point[:, 1])
    is_box = kind == Shape.BOX
    is_cap = (kind == Shape.CYLINDER) & (size[:, 2] > radial)
    flat = is_box | is_cap
    face = torch.where(is_cap, 2, face)
    axis = torch.nn.functional.one_hot(face, 3).to(point.dtype)
    lift = torch.where(kind == Shape.CYLINDER, 0.0, 1.0)
    round_normal = torch.stack((point[:, 0], point[:, 1], point[:, 2] * lift), dim=1)
    normal = torch.where(flat[:, None], axis * torch.sign(point), round_normal)
    return normal, torch.where(flat, face, 3)
