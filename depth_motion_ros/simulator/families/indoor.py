"""Indoor robot: a furnished room or a corridor with doors, where someone walks about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_motion_ros.simulator import composites, paths
from depth_motion_ros.simulator.builder import SceneBuilder


@dataclass(frozen=True)
class Room:
    """Half sizes along x and y and the height, m."""

    x: float
    y: float
    height: float


def add_room(builder: SceneBuilder, room: Room) -> None:
    """Floor, ceiling, four walls with skirting, doors, pictures and windows, and a lamp."""
    rng, kit = builder.rng, builder.kit
    builder.road.update(half_width=0.0, verge_width=0.0, edge=0.0)
    builder.surroundings[3] = kit.floor()
    builder.indoor_light((rng.uniform(-0.4, 0.4) * room.x, 0.0, room.height - 0.3))
    part = builder.static(0.0, 0.0, 0.0, z=0.0)
    wall = kit.plaster()
    z = room.height / 2
    ceiling = kit.plaster()
    part.box((0, 0, room.height + 0.1), (room.x + 0.2, room.y + 0.2, 0.1), ceiling, casts=False)
    for sign in (-1.0, 1.0):
        part.box((0, sign * (room.y + 0.1), z), (room.x + 0.2, 0.1, z), wall, casts=False)
        part.box((sign * (room.x + 0.1), 0, z), (0.1, room.y + 0.2, z), wall, casts=False)
        skirting = kit.wood()
        part.box((0, sign * room.y, 0.05), (room.x, 0.015, 0.06), skirting, casts=False)
        part.box((sign * room.x, 0, 0.05), (0.015, room.y, 0.06), skirting, casts=False)
    for _ in range(int(rng.integers(5, 10))):
        side, sign = int(rng.integers(2)), float(rng.choice((-1, 1)))
        along = rng.uniform(-0.85, 0.85) * (room.x if side == 0 else room.y)
        at = (along, sign * room.y) if side == 0 else (sign * room.x, along)
        hung = builder.static(*at, side * np.pi / 2, z=0.0)
        choice = rng.random()
        if choice < 0.3:
            hung.box((0, 0, 1.02), (0.45, 0.03, 1.02), kit.wood(), casts=False)
        elif choice < 0.75:
            half = (rng.uniform(0.2, 0.6), 0.02, rng.uniform(0.2, 0.45))
            hung.box((0, 0, rng.uniform(1.3, 1.7)), half, kit.sign(), casts=False)
        else:
            hung.box((0, 0, 1.5), (rng.uniform(0.5, 0.9), 0.02, 0.6), kit.glass(), casts=False)
    lamp = builder.light["lamp"]
    part.cylinder((lamp[0], lamp[1], room.height - 0.12), 0.2, 0.12, kit.plaster())  # type: ignore[index]


def furnish(builder: SceneBuilder, room: Room, pieces: int) -> None:
    """Put furniture along the walls, fronts towards the middle."""
    rng = builder.rng
    makers = (composites.table, composites.shelf, composites.sofa, composites.chair)
    for _ in range(pieces):
        side, sign = int(rng.integers(2)), float(rng.choice((-1, 1)))
        inset = rng.uniform(0.3, 0.7)
        if side == 0:
            x, y = rng.uniform(-0.85, 0.85) * room.x, sign * (room.y - inset)
            yaw = -sign * np.pi / 2
        else:
            x, y = sign * (room.x - inset), rng.uniform(-0.85, 0.85) * room.y
            yaw = np.pi if sign > 0 else 0.0
        part = builder.static(x, y, yaw + rng.normal(0, 0.1), z=0.0)
        if rng.random() < 0.3:
            composites.clutter(part, rng.uniform(0.2, 0.6))
        else:
            makers[int(rng.integers(len(makers)))](part)


def build_indoor(builder: SceneBuilder) -> None:
    """Fill a builder with a room, or a corridor in a third of the seeds."""
    rng, samples = builder.rng, builder.samples
    corridor = rng.random() < 0.33
    if corridor:
        room = Room(rng.uniform(9.0, 16.0), rng.uniform(1.1, 1.7), rng.uniform(2.3, 3.0))
    else:
        room = Room(rng.uniform(3.0, 5.5), rng.uniform(2.6, 4.5), rng.uniform(2.3, 3.2))
    add_room(builder, room)
    if corridor:
        for x in np.arange(-room.x + 1, room.x - 1, rng.uniform(2.0, 3.5)):
            for sign in (-1, 1):
                door = builder.static(float(x), sign * room.y, 0.0, z=0.0)
                material = builder.kit.wood() if rng.random() < 0.6 else builder.kit.sign()
                door.box((0, 0, 1.0), (0.5, 0.03, 1.05), material, casts=False)
                if rng.random() < 0.3:
                    at = builder.static(float(x) + 1.0, sign * (room.y - 0.2), z=0.0)
                    composites.clutter(at, rng.uniform(0.2, 0.4))
        radii = (0.75 * room.x, 0.3 * room.y)
    else:
        furnish(builder, room, int(rng.integers(9, 15)))
        radii = (0.45 * room.x, 0.45 * room.y)
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.uniform(-0.2, 0.2) * room.x, rng.uniform(-0.2, 0.2) * room.y
            composites.clutter(builder.static(x, y, z=0.0), rng.uniform(0.2, 0.5))
    for _ in range(int(rng.integers(1, 3))):
        loop = paths.oval(rng, (0.0, 0.0), (0.8 * radii[0], 0.8 * radii[1]))
        distance = paths.travelled(paths.speed_profile(rng, samples, rng.uniform(0.4, 1.1), 0.5))
        track = paths.on_curve(loop, distance, builder.height)
        composites.person(builder, track)
    loop = paths.oval(rng, (0.0, 0.0), (1.15 * radii[0], 1.15 * radii[1]))
    composites.robot(builder.moving(paths.robot(rng, samples, loop, 0.5, builder.height)))
    for _ in range(2):
        loop = paths.oval(rng, (0.0, 0.0), radii)
        own = paths.robot(rng, samples, loop, rng.uniform(0.3, 0.9), builder.height)
        builder.cameras.append(own)
    builder.cameras += [paths.turning(rng, own), paths.still(samples, own)]
