"""Things made of a few primitives, each built in the axes of a ``Part`` that stands or moves.

x is the thing's front, z is up, the origin lies on the ground below it.
"""

from __future__ import annotations

import numpy as np

from depth_motion_ros.simulator.builder import Array, Part, SceneBuilder
from depth_motion_ros.simulator.tracks import TRACK_RATE

HALF_PI = np.pi / 2


def car(part: Part) -> None:
    """A passenger car, estate or van, about 4.3 m long."""
    kit, u = part.builder.kit, part.builder.rng.uniform
    paint, glass, rubber = kit.paint(), kit.glass(), kit.rubber()
    long, wide = u(1.9, 2.4), u(0.8, 0.95)
    low, roof = u(0.75, 0.95), u(1.35, 2.1)
    cabin = long * u(0.5, 0.75)
    back = u(-0.3, -0.05) * long * 0.6
    part.box((0, 0, (low + 0.3) / 2), (long, wide, (low - 0.3) / 2), paint)
    part.box((back, 0, (roof + low) / 2), (cabin, wide * 0.88, (roof - low) / 2), glass)
    part.box((back, 0, roof), (cabin * 0.92, wide * 0.9, 0.04), paint)
    for x in (-0.62 * long, 0.62 * long):
        for y in (-wide + 0.08, wide - 0.08):
            part.cylinder((x, y, 0.32), 0.32, 0.11, rubber, (HALF_PI, 0, 0))
    part.box((long, 0, 0.6), (0.03, wide * 0.8, 0.1), kit.metal())
    part.box((-long, 0, 0.65), (0.03, wide * 0.85, 0.09), kit.sign())


def tree(part: Part) -> None:
    """A trunk under some balls of leaves, or a cone-like stack of them."""
    kit, rng = part.builder.kit, part.builder.rng
    tall = rng.uniform(3.0, 7.5)
    trunk = rng.uniform(0.1, 0.28)
    leaves = kit.foliage()
    part.cylinder((0, 0, tall * 0.3), trunk, tall * 0.3 + 0.2, kit.bark())
    if rng.random() < 0.3:
        for level in range(3):
            z, r = tall * (0.4 + 0.24 * level), tall * (0.28 - 0.075 * level)
            part.ball((0, 0, z), (r, r, tall * 0.2), leaves)
        return
    for _ in range(int(rng.integers(2, 5))):
        r = tall * rng.uniform(0.2, 0.32)
        x, y = rng.uniform(-0.5, 0.5, 2) * r * 1.6
        part.ball((x, y, tall * rng.uniform(0.6, 0.85)), (r, r * 0.95, r * 0.8), leaves)


def bush(part: Part) -> None:
    """A low ball or two of leaves."""
    rng, leaves = part.builder.rng, part.builder.kit.foliage()
    for _ in range(int(rng.integers(1, 3))):
        r = rng.uniform(0.4, 0.9)
        x, y = rng.uniform(-0.5, 0.5, 2)
        part.ball((x, y, r * 0.5), (r, r, r * 0.8), leaves)


def house(part: Part, half_x: float, half_y: float, tall: float) -> None:
    """A building with a plinth, rows of windows, a door and a roof's edge."""
    kit, rng = part.builder.kit, part.builder.rng
    part.box((0, 0, tall / 2 - 0.3), (half_x, half_y, tall / 2 + 0.3), kit.facade())
    part.box((0, 0, 0.2), (half_x + 0.08, half_y + 0.08, 0.5), kit.wall())
    part.box((0, 0, tall), (half_x + 0.35, half_y + 0.35, 0.18), kit.wood())
    for side in (-1, 1):
        x = rng.uniform(-0.6, 0.6) * half_x
        part.box((x, side * half_y, 1.1), (0.6, 0.12, 1.15), kit.wood())
        if rng.random() < 0.5:
            x = rng.uniform(-0.7, 0.7) * half_x
            part.box((x, side * (half_y + 0.1), 2.9), (1.2, 0.06, 0.35), kit.sign())
    if rng.random() < 0.6:
        x, y = rng.uniform(-0.6, 0.6) * half_x, rng.uniform(-0.4, 0.4) * half_y
        part.box((x, y, tall + 0.6), (0.35, 0.35, 0.7), kit.wall())


def pole(part: Part) -> None:
    """A lamp post, a sign post or a bare pole."""
    kit, rng = part.builder.kit, part.builder.rng
    tall, choice = rng.uniform(2.4, 6.0), rng.random()
    part.cylinder((0, 0, tall / 2), rng.uniform(0.04, 0.09), tall / 2, kit.metal())
    if choice < 0.4:
        part.box((0.05, 0, tall - 0.4), (0.02, 0.4, 0.4), kit.sign())
    elif choice < 0.8:
        part.box((0.5, 0, tall), (0.55, 0.06, 0.05), kit.metal())
        part.box((1.0, 0, tall - 0.08), (0.25, 0.12, 0.06), kit.plaster())


def fence(part: Part, half: float) -> None:
    """Boards between posts, along x."""
    kit = part.builder.kit
    wood = kit.wood()
    part.box((0, 0, 0.65), (half, 0.03, 0.5), wood)
    for x in np.linspace(-half, half, max(2, int(half))):
        part.box((float(x), 0, 0.65), (0.06, 0.06, 0.72), wood)


def clutter(part: Part, size: float) -> None:
    """A crate, a barrel or a ball of about ``size`` m."""
    kit, rng = part.builder.kit, part.builder.rng
    choice = rng.random()
    a, b, c = rng.uniform(0.3, 0.6, 3) * size
    if choice < 0.55:
        part.box((0, 0, c), (a, b, c), kit.clutter(), (0, 0, rng.uniform(0, 3)))
        if rng.random() < 0.4:
            part.box((0, 0, 2.5 * c), (0.6 * a, 0.7 * b, 0.5 * c), kit.clutter(),
                     (0, 0, rng.uniform(0, 3)))  # fmt: skip
    elif choice < 0.85:
        part.cylinder((0, 0, c), 0.7 * a, c, kit.clutter())
    else:
        part.ball((0, 0, a), (a, a, a), kit.clutter())


def bench(part: Part) -> None:
    """Seat, back and two feet."""
    wood, metal = part.builder.kit.wood(), part.builder.kit.metal()
    part.box((0, 0, 0.45), (0.22, 0.8, 0.03), wood)
    part.box((-0.22, 0, 0.75), (0.03, 0.8, 0.2), wood)
    for y in (-0.65, 0.65):
        part.box((0, y, 0.21), (0.2, 0.04, 0.21), metal)


def table(part: Part, busy: bool = True) -> None:
    """A table with four legs and, if busy, things on it."""
    kit, rng = part.builder.kit, part.builder.rng
    a, b, tall = rng.uniform(0.5, 0.9), rng.uniform(0.35, 0.5), rng.uniform(0.68, 0.78)
    wood = kit.wood()
    part.box((0, 0, tall), (a, b, 0.025), wood)
    for x in (-a + 0.06, a - 0.06):
        for y in (-b + 0.06, b - 0.06):
            part.box((x, y, tall / 2), (0.03, 0.03, tall / 2), wood)
    if busy:
        for _ in range(int(rng.integers(3, 7))):
            x, y = rng.uniform(-0.8, 0.8) * a, rng.uniform(-0.75, 0.75) * b
            h = rng.uniform(0.03, 0.2)
            at = (x, y, tall + 0.025 + h)
            if rng.random() < 0.6:
                half = (rng.uniform(0.04, 0.16), rng.uniform(0.04, 0.13), h)
                part.box(at, half, kit.clutter(), (0, 0, rng.uniform(0, 3)))
            else:
                part.cylinder(at, rng.uniform(0.03, 0.07), h, kit.clutter())


def chair(part: Part) -> None:
    """Seat, back, four legs."""
    kit = part.builder.kit
    wood, cloth = kit.wood(), kit.cloth()
    part.box((0, 0, 0.45), (0.22, 0.22, 0.03), cloth)
    part.box((-0.2, 0, 0.72), (0.02, 0.2, 0.22), wood)
    for x in (-0.19, 0.19):
        for y in (-0.19, 0.19):
            part.cylinder((x, y, 0.21), 0.02, 0.21, wood)


def shelf(part: Part) -> None:
    """A bookcase with its back to -x."""
    kit, rng = part.builder.kit, part.builder.rng
    wide, tall, deep = rng.uniform(0.4, 0.8), rng.uniform(1.2, 2.1), 0.17
    wood = kit.wood()
    part.box((-deep, 0, tall / 2), (0.02, wide, tall / 2), wood)
    for y in (-wide, wide):
        part.box((0, y, tall / 2), (deep, 0.02, tall / 2), wood)
    for z in np.linspace(0.05, tall, 4):
        part.box((0, 0, float(z)), (deep, wide, 0.02), wood)
    for z in np.linspace(0.05, tall, 4)[:3]:
        y = -wide + 0.1
        while y < wide - 0.15:
            w, h = rng.uniform(0.05, 0.2), rng.uniform(0.1, 0.16)
            part.box((0.02, y + w, float(z) + h + 0.02), (0.12, w, h), kit.clutter())
            y += 2 * w + rng.uniform(0.0, 0.15)


def sofa(part: Part) -> None:
    """Seat, back and arms in one cloth."""
    kit, cloth = part.builder.kit, part.builder.kit.cloth()
    wide = part.builder.rng.uniform(0.6, 1.1)
    part.box((0, 0, 0.22), (0.42, wide, 0.22), cloth)
    part.box((-0.36, 0, 0.6), (0.1, wide, 0.25), cloth)
    for y in (-wide, wide):
        part.box((0, y, 0.35), (0.42, 0.09, 0.3), cloth)
    part.box((-0.12, 0.3 * wide, 0.56), (0.07, 0.2, 0.18), kit.cloth(), (0, -0.3, 0.2))


def robot(part: Part) -> None:
    """A small wheeled robot with a mast."""
    kit = part.builder.kit
    part.box((0, 0, 0.22), (0.3, 0.22, 0.12), kit.paint())
    for y in (-0.26, 0.26):
        for x in (-0.2, 0.2):
            part.cylinder((x, y, 0.12), 0.12, 0.04, kit.rubber(), (HALF_PI, 0, 0))
    part.cylinder((-0.1, 0, 0.6), 0.04, 0.3, kit.metal())
    part.box((-0.06, 0, 0.92), (0.08, 0.12, 0.07), kit.sign())


def person(builder: SceneBuilder, track: Array) -> None:
    """Someone who walks along a track: trunk and head, and four limbs that swing with the steps."""
    kit, rng = builder.kit, builder.rng
    tall = rng.uniform(0.9, 1.1)
    top, trousers, skin = kit.cloth(), kit.cloth(), kit.skin()
    trunk = builder.moving(track)
    trunk.ball((0, 0, 1.2 * tall), (0.15, 0.22, 0.36 * tall), top)
    trunk.box((0, 0, 1.2 * tall), (0.1, 0.17, 0.26 * tall), top)
    trunk.ball((0.01, 0, 1.66 * tall), (0.1, 0.085, 0.13), skin)
    trunk.ball((-0.02, 0, 1.70 * tall), (0.105, 0.09, 0.115), kit.bark())
    if rng.random() < 0.4:
        trunk.box((-0.2, 0, 1.25 * tall), (0.09, 0.14, 0.2), kit.cloth())
    step = np.linalg.norm(np.diff(track[:, :2], axis=0, append=track[-1:, :2]), axis=1)
    pace = np.minimum(step * TRACK_RATE, 2.0)
    phase = np.cumsum(pace) / TRACK_RATE * 2 * np.pi / 1.45 + rng.uniform(0, 6)
    swing = 0.42 * np.minimum(pace, 1.2) / 1.2
    number = builder.instance_of(trunk)
    for side in (-1, 1):
        for joint, lift, sway, sign in ((0.86, 0.1, 0.85, 1), (1.42, 0.24, 0.6, -1)):
            limb_track = track.copy()
            limb_track[:, 0] += -np.sin(track[:, 5]) * side * lift
            limb_track[:, 1] += np.cos(track[:, 5]) * side * lift
            limb_track[:, 2] += joint * tall
            limb_track[:, 4] += sign * side * sway * swing * np.sin(phase)
            limb = builder.moving(limb_track, number)
            if sign > 0:
                limb.cylinder((0, 0, -0.4 * tall), 0.075, 0.43 * tall, trousers)
                limb.box((0.05, 0, -0.82 * tall), (0.12, 0.045, 0.04), kit.rubber())
            else:
                limb.cylinder((0, 0, -0.3 * tall), 0.05, 0.3 * tall, top)
                limb.ball((0, 0, -0.64 * tall), (0.05, 0.04, 0.07), skin)
