"""Outdoor robot: a yard with houses, fences and trees around it, people and vehicles in it."""

from __future__ import annotations

import numpy as np

from depth_motion_ros.simulator import composites, paths
from depth_motion_ros.simulator.builder import SceneBuilder


def build_yard(builder: SceneBuilder) -> None:
    """Fill a builder with a yard of about 30 x 26 m."""
    rng, samples = builder.rng, builder.samples
    builder.rough_ground(0.03, 0.0 if rng.random() < 0.4 else 0.07)
    builder.road.update(half_width=rng.uniform(1.2, 2.6), verge_width=rng.uniform(0.0, 1.0))
    builder.curve[0] = (rng.uniform(0.0, 2.0), 2 * np.pi / 30.0, rng.uniform(0, 6))
    builder.surroundings[1] = builder.kit.pavement()
    builder.surroundings[2] = builder.kit.soil()
    builder.surroundings[3] = builder.kit.grass() if rng.random() < 0.6 else builder.kit.pavement()
    half_x, half_y = rng.uniform(13.0, 17.0), rng.uniform(11.0, 14.0)
    _border(builder, half_x, half_y)
    radii = (0.5 * half_x, 0.5 * half_y)
    _things(builder, half_x, half_y, radii)
    _movers(builder, half_x, half_y, radii)
    loop = paths.oval(rng, (0.0, 0.0), radii)
    own = paths.robot(rng, samples, loop, rng.uniform(0.6, 1.3), builder.height)
    fast = paths.robot(
        rng, samples, paths.oval(rng, (0.0, 0.0), radii), rng.uniform(1.5, 3.0), builder.height
    )
    drone = paths.hand(
        rng, samples, (-4.0, -3.0, 3.5), (2.5, 2.5, 0.8), (6.0, 4.0, 0.5), period=6.0
    )
    builder.cameras += [own, fast, drone, paths.turning(rng, own)]


def _border(builder: SceneBuilder, half_x: float, half_y: float) -> None:
    rng = builder.rng
    for side, half, out in ((0, half_x, half_y), (1, half_y, half_x)):
        for sign in (-1, 1):
            along = -half
            while along < half:
                step = rng.uniform(6.0, 11.0)
                middle = along + step / 2
                x, y = (middle, sign * out) if side == 0 else (sign * out, middle)
                yaw = side * np.pi / 2
                choice = rng.random()
                if choice < 0.45:
                    back = rng.uniform(2.5, 4.0)
                    away = sign * (out + back)
                    x, y = (middle, away) if side == 0 else (away, middle)
                    composites.house(
                        builder.static(x, y, yaw), 0.48 * step, back, rng.uniform(3.0, 8.0)
                    )
                elif choice < 0.75:
                    composites.fence(builder.static(x, y, yaw), 0.5 * step)
                else:
                    wall = builder.static(x, y, yaw)
                    wall.box((0, 0, 0.8), (0.5 * step, 0.12, 1.2), builder.kit.wall())
                along += step
    for _ in range(14):
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(1.25, 2.2)
        composites.tree(
            builder.static(reach * half_x * np.cos(angle), reach * half_y * np.sin(angle))
        )


def _things(
    builder: SceneBuilder, half_x: float, half_y: float, radii: tuple[float, float]
) -> None:
    rng = builder.rng
    makers = (
        composites.tree, composites.bush, composites.pole, composites.bench, composites.car,
    )  # fmt: skip
    for number in range(26):
        angle = rng.uniform(0, 2 * np.pi)
        inner = number % 3 == 0
        reach = rng.uniform(0.05, 0.55) if inner else rng.uniform(1.5, 1.8)
        x, y = reach * radii[0] * np.cos(angle), reach * radii[1] * np.sin(angle)
        part = builder.static(x, y, rng.uniform(0, 2 * np.pi))
        if inner or number % 2:
            composites.clutter(part, rng.uniform(0.4, 1.2))
        else:
            makers[int(rng.integers(len(makers)))](part)


def _movers(
    builder: SceneBuilder, half_x: float, half_y: float, radii: tuple[float, float]
) -> None:
    rng, samples = builder.rng, builder.samples
    for _ in range(int(rng.integers(3, 6))):
        start = (rng.uniform(-0.6, 0.6) * half_x, rng.uniform(-0.6, 0.6) * half_y)
        track = paths.walker(
            rng, samples, start, rng.uniform(0, 6.3), builder.height, rng.uniform(0.6, 1.6)
        )
        track = paths.stays_in(track, (0.0, 0.0), 0.75 * half_y)
        track[:, 2] = builder.height(track[:, 0], track[:, 1])
        composites.person(builder, track)
    loop = paths.oval(rng, (0.0, 0.0), (1.25 * radii[0], 1.25 * radii[1]))
    composites.robot(
        builder.moving(paths.robot(rng, samples, loop, rng.uniform(0.5, 1.5), builder.height))
    )
    lane = builder.lane(rng.uniform(-0.5, 0.5))
    way = float(rng.choice((-1.0, 1.0)))
    track = paths.car(
        rng, samples, lane, -way * half_x, way * rng.uniform(0.8, 2.5), builder.height, 0.7
    )
    composites.car(builder.moving(track))
    track = paths.on_curve(
        paths.oval(rng, (0.0, 0.0), (0.6 * radii[0], 0.6 * radii[1])),
        paths.travelled(paths.speed_profile(rng, samples, rng.uniform(1.0, 2.5))),
        builder.height,
    )
    radius = rng.uniform(0.2, 0.4)
    ball = builder.moving(track)
    ball.ball((0, 0, radius), (radius, radius, radius), builder.kit.cloth())
