"""A square full of people, seen by someone who walks among them."""

from __future__ import annotations

import numpy as np

from depth_motion_ros.simulator import composites, paths
from depth_motion_ros.simulator.builder import SceneBuilder

RADIUS = 10.0


def build_crowd(builder: SceneBuilder) -> None:
    """Fill a builder with a square of about 40 m across and 14 to 20 people."""
    rng, samples = builder.rng, builder.samples
    builder.rough_ground(0.02, 0.0)
    builder.road.update(half_width=rng.uniform(3.0, 6.0), verge_width=rng.uniform(0.5, 2.0))
    builder.surroundings[1] = builder.kit.pavement()
    builder.surroundings[2] = builder.kit.pavement()
    builder.surroundings[3] = builder.kit.pavement()
    for number in range(11):
        angle = number * 2 * np.pi / 11 + rng.uniform(-0.1, 0.1)
        far = rng.uniform(20.0, 25.0)
        part = builder.static(far * np.cos(angle), far * np.sin(angle), angle + np.pi / 2)
        composites.house(part, rng.uniform(5.0, 7.0), 3.0, rng.uniform(5.0, 14.0))
    makers = (composites.tree, composites.pole, composites.bench, composites.bush, composites.pole)
    for number in range(20):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(9.0, 17.0)
        part = builder.static(far * np.cos(angle), far * np.sin(angle), rng.uniform(0, 6))
        if number % 3:
            makers[int(rng.integers(len(makers)))](part)
        else:
            composites.clutter(part, rng.uniform(0.5, 1.2))
    for _ in range(int(rng.integers(14, 21))):
        angle, far = rng.uniform(0, 2 * np.pi), 9.0 * np.sqrt(rng.uniform(0.02, 1.0))
        start = (far * np.cos(angle), far * np.sin(angle))
        pace = rng.uniform(0.5, 1.7)
        track = paths.walker(rng, samples, start, rng.uniform(0, 6.3), builder.height, pace)
        track = paths.stays_in(track, (0.0, 0.0), RADIUS)
        track[:, 2] = builder.height(track[:, 0], track[:, 1])
        composites.person(builder, track)
    for _ in range(2):
        loop = paths.oval(rng, (0.0, 0.0), (rng.uniform(3.0, 6.0), rng.uniform(3.0, 6.0)))
        speed = paths.speed_profile(rng, samples, rng.uniform(0.8, 1.4), 0.4)
        walk = paths.on_curve(loop, paths.travelled(speed), builder.height)
        walk[:, 3:5] = 0.0
        builder.cameras.append(paths.carried(rng, walk, rng.uniform(1.4, 1.75)))
    builder.cameras.append(paths.turning(rng, builder.cameras[0]))
