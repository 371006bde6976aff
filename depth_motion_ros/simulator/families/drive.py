"""Outdoor driving: a curved road between houses and trees, with traffic and people."""

from __future__ import annotations

import numpy as np

from depth_motion_ros.simulator import composites, paths
from depth_motion_ros.simulator.builder import Array, SceneBuilder
from depth_motion_ros.simulator.tracks import TRACK_RATE

BEHIND, AHEAD = -15.0, 90.0


def build_drive(builder: SceneBuilder) -> None:
    """Fill a builder with a street."""
    rng = builder.rng
    seconds = builder.samples / TRACK_RATE
    cruise = rng.uniform(5.0, 14.0)
    end = cruise * seconds * 1.15 + AHEAD
    _road(builder)
    _roadside(builder, end)
    lane = builder.lane(-0.5 * builder.road["half_width"])
    speed = paths.speed_profile(rng, builder.samples, cruise, stops=0.35, vary=0.12)
    own_way = paths.travelled(speed)
    _traffic(builder, cruise, own_way, end)
    own = paths.driven(rng, lane, own_way, builder.height)
    gap = paths.gap_ahead(rng, builder.samples, 7.0, 10.0)
    other = paths.driven(rng, lane, own_way - gap, builder.height)
    builder.cameras += [own, other, paths.still(builder.samples, own)]


def _road(builder: SceneBuilder) -> None:
    rng = builder.rng
    builder.rough_ground(0.03, 0.0 if rng.random() < 0.6 else 0.03)
    for i in range(2):
        k = 2 * np.pi / rng.uniform(120.0, 400.0)
        builder.curve[i] = (rng.uniform(0.0, 0.18) / k, k, rng.uniform(0, 2 * np.pi))
    builder.curve[1, 0] = 0.0 if rng.random() < 0.4 else builder.curve[1, 0]
    builder.road.update(
        half_width=rng.uniform(3.2, 5.5), verge_width=rng.uniform(1.6, 3.0), edge=0.06
    )
    builder.dash = (9.0, 3.0) if rng.random() < 0.8 else (1.0, 0.0)
    builder.surroundings[1] = builder.kit.asphalt()
    builder.surroundings[2] = builder.kit.pavement()
    grassy = rng.random() < 0.6
    builder.surroundings[3] = builder.kit.grass() if grassy else builder.kit.soil()


def _roadside(builder: SceneBuilder, end: float) -> None:
    rng = builder.rng
    edge = builder.road["half_width"] + builder.road["verge_width"]
    urban = rng.random()
    for side in (-1, 1):
        x = BEHIND
        while x < end:
            step = rng.uniform(9.0, 17.0)
            center = float(builder.road_center(np.array(x)))
            slope = float(builder.road_center(np.array(x + 1.0))) - center
            yaw = float(np.arctan(slope))

            def at(along: float, out: float, x: float = x, yaw: float = yaw, side: int = side):  # type: ignore[no-untyped-def]
                y = float(builder.road_center(np.array(x + along))) + side * out
                return builder.static(x + along, y, yaw)

            if rng.random() < 0.25 + 0.6 * urban:
                deep, tall = rng.uniform(3.0, 5.0), rng.uniform(3.5, 4.0 + 9.0 * urban)
                out = edge + deep + rng.uniform(0.5, 6.0)
                composites.house(at(0.5 * step, out), 0.47 * step, deep, tall)
            else:
                for _ in range(int(rng.integers(1, 4))):
                    composites.tree(at(rng.uniform(0, step), edge + rng.uniform(1.5, 14.0)))
                if rng.random() < 0.4:
                    composites.fence(at(0.5 * step, edge + 0.6), 0.45 * step)
            if rng.random() < 0.5:
                composites.pole(at(rng.uniform(0, step), edge - 0.5))
            if rng.random() < 0.45:
                out = builder.road["half_width"] + 0.2
                composites.car(at(rng.uniform(3, step - 3), out))
            if rng.random() < 0.35:
                composites.bush(at(rng.uniform(0, step), edge + 0.8))
            if rng.random() < 0.25:
                composites.clutter(at(rng.uniform(0, step), edge - 0.6), rng.uniform(0.5, 1.1))
            x += step


def _traffic(builder: SceneBuilder, cruise: float, own_way: Array, end: float) -> None:
    rng, half, samples = builder.rng, builder.road["half_width"], builder.samples
    way = own_way
    for _ in range(int(rng.integers(1, 3))):
        way = way + paths.gap_ahead(rng, samples, 8.0, rng.uniform(10.0, 25.0))
        lane = builder.lane(-0.5 * half)
        composites.car(builder.moving(paths.driven(rng, lane, way, builder.height)))
    for _ in range(int(rng.integers(2, 5))):
        start, speed = rng.uniform(20.0, end + 60.0), -cruise * rng.uniform(0.6, 1.2)
        lane = builder.lane(0.5 * half)
        composites.car(
            builder.moving(paths.car(rng, samples, lane, start, speed, builder.height, 0.1))
        )
    edge = half + 0.6 * builder.road["verge_width"]
    for _ in range(int(rng.integers(3, 7))):
        x, side = rng.uniform(6.0, end), float(rng.choice((-1, 1)))
        y = float(builder.road_center(np.array(x))) + side * edge
        crossing = rng.random() < 0.4
        yaw = -side * np.pi / 2 if crossing else float(rng.choice((0.0, np.pi)))
        pace = rng.uniform(0.8, 1.8)
        track = paths.walker(rng, samples, (x, y), yaw, builder.height, pace)
        composites.person(builder, track)
    x = rng.uniform(30.0, 70.0)
    y = float(builder.road_center(np.array(x)))
    side_street = paths.line((x, y - 25.0), np.pi / 2)
    track = paths.car(rng, samples, side_street, 0.0, rng.uniform(3.0, 8.0), builder.height, 0.5)
    composites.car(builder.moving(track))
