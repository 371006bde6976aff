"""Families of scenes, each drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depth_motion_ros.simulator.builder import SceneBuilder
from depth_motion_ros.simulator.families.crowd import build_crowd
from depth_motion_ros.simulator.families.drive import build_drive
from depth_motion_ros.simulator.families.handheld import build_handheld
from depth_motion_ros.simulator.families.indoor import build_indoor
from depth_motion_ros.simulator.families.yard import build_yard
from depth_motion_ros.simulator.scene import Scene


@dataclass(frozen=True)
class Family:
    """How a family is built and how its cameras are carried.

    mount_height: m above the carrier, lowest and highest. mount_pitch: rad, positive = down.
    time_step: s between the frames of a training pair, shortest and longest.
    """

    build: Callable[[SceneBuilder], None]
    mount_height: tuple[float, float]
    mount_pitch: tuple[float, float]
    time_step: tuple[float, float]


FAMILIES: dict[str, Family] = {
    "drive": Family(build_drive, (1.1, 2.0), (-0.05, 0.12), (0.05, 0.25)),
    "yard": Family(build_yard, (0.25, 1.3), (-0.08, 0.25), (0.1, 0.5)),
    "indoor": Family(build_indoor, (0.15, 1.2), (-0.1, 0.25), (0.1, 0.5)),
    "handheld": Family(build_handheld, (0.0, 0.0), (-0.08, 0.08), (0.05, 0.3)),
    "crowd": Family(build_crowd, (0.0, 0.0), (-0.1, 0.1), (0.1, 0.4)),
}


def build_scene(family: str, seed: int, duration: float = 12.0) -> Scene:
    """Draw a scene of a family. The same seed and duration give the same scene.

    Raises ValueError for a family that is not in FAMILIES.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown scene family {family!r}; known: {', '.join(FAMILIES)}")
    number = list(FAMILIES).index(family)
    builder = SceneBuilder(np.random.default_rng((seed, number)), duration)
    FAMILIES[family].build(builder)
    return builder.build()
