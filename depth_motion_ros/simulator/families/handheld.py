"""Hand-held: a camera that drifts around a busy table or around things in a garden."""

from __future__ import annotations

import numpy as np

from depth_motion_ros.simulator import composites, paths
from depth_motion_ros.simulator.builder import SceneBuilder
from depth_motion_ros.simulator.families.indoor import Room, add_room, furnish


def build_handheld(builder: SceneBuilder) -> None:
    """Fill a builder with a room and a table, or in a third of the seeds with a garden."""
    rng, samples = builder.rng, builder.samples
    if rng.random() < 0.33:
        _garden(builder)
    else:
        room = Room(rng.uniform(2.4, 4.0), rng.uniform(2.2, 3.5), rng.uniform(2.3, 2.9))
        add_room(builder, room)
        furnish(builder, room, 9)
        composites.table(builder.static(0.2, 0.0, rng.uniform(0, 3), z=0.0))
        for _ in range(2):
            angle = rng.uniform(0, 2 * np.pi)
            x, y = 0.2 + 0.9 * np.cos(angle), 0.9 * np.sin(angle)
            composites.chair(builder.static(x, y, angle + np.pi, z=0.0))
    _toy(builder)
    if rng.random() < 0.6:
        distance = paths.travelled(paths.speed_profile(rng, samples, 0.7, 0.5))
        loop = paths.oval(rng, (0.2, 0.0), (1.6, 1.5))
        composites.person(builder, paths.on_curve(loop, distance, builder.height))
    for _ in range(3):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 1.7)
        center = (0.2 + far * np.cos(angle), far * np.sin(angle), rng.uniform(1.0, 1.7))
        builder.cameras.append(
            paths.hand(rng, samples, center, (0.22, 0.22, 0.15), (0.2, 0.0, 0.7), 2.5)
        )
    builder.cameras.append(paths.turning(rng, builder.cameras[0]))


def _toy(builder: SceneBuilder) -> None:
    """Something that someone moves about by hand, above the table."""
    rng, samples = builder.rng, builder.samples
    track = paths.hand(
        rng, samples, (0.2, 0.0, 1.0), (0.25, 0.2, 0.06), (2.0, 1.0, 1.0), period=3.0
    )
    toy = builder.moving(track)
    toy.box((0, 0, 0), (0.12, 0.06, 0.05), builder.kit.sign())
    toy.cylinder((0, 0, 0.09), 0.04, 0.05, builder.kit.cloth())


def _garden(builder: SceneBuilder) -> None:
    rng, kit = builder.rng, builder.kit
    builder.rough_ground(0.04, 0.06)
    builder.surroundings[3] = kit.grass() if rng.random() < 0.6 else kit.pavement()
    composites.table(builder.static(0.2, 0.0, rng.uniform(0, 3)))
    for number in range(22):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(2.6, 9.0)
        part = builder.static(far * np.cos(angle), far * np.sin(angle), rng.uniform(0, 6))
        maker = (composites.tree, composites.bush, composites.bench, composites.pole)
        if number % 2:
            composites.clutter(part, rng.uniform(0.3, 1.0))
        else:
            maker[int(rng.integers(len(maker)))](part)
    for number in range(5):
        angle = number * 1.26 + rng.uniform(-0.3, 0.3)
        part = builder.static(13 * np.cos(angle), 13 * np.sin(angle), angle + np.pi / 2)
        composites.house(part, 6.0, 2.0, rng.uniform(3.0, 7.0))
