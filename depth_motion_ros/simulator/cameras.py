"""Cameras drawn at random: intrinsics as they look at the network's size, and mounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.simulator.families import Family


@dataclass(frozen=True)
class CameraRanges:
    """Lowest and highest of what cameras differ in.

    field_of_view: horizontal, degrees. aspect: width over height of the camera's own image, which
    is then squeezed into the network's size. principal: offset of the principal point, as a share
    of the size. squareness: deviation of fy / fx. roll, tilt, pan: deviations, rad, of a mount
    from upright and ahead. aside: share of mounts that look to a side.
    """

    field_of_view: tuple[float, float] = (45.0, 100.0)
    aspect: tuple[float, float] = (1.0, 3.3)
    principal: float = 0.03
    squareness: float = 0.01
    roll: float = 0.03
    tilt: float = 0.04
    pan: float = 0.08
    aside: float = 0.2

    def __post_init__(self) -> None:
        low, high = self.field_of_view
        if not 0 < low <= high < 180:
            raise ValueError(f"field_of_view must rise within (0, 180), got {self.field_of_view}")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"aspect must rise and be positive, got {self.aspect}")


def random_intrinsics(
    rng: np.random.Generator, count: int, width: int, height: int, ranges: CameraRanges
) -> NDArray[np.float64]:
    """(count, 3, 3) intrinsics for images of the given size; fx / W and fy / H vary freely."""
    fov = np.radians(rng.uniform(*ranges.field_of_view, count))
    aspect = np.exp(rng.uniform(np.log(ranges.aspect[0]), np.log(ranges.aspect[1]), count))
    focal = 0.5 / np.tan(0.5 * fov)
    K = np.zeros((count, 3, 3))
    K[:, 0, 0] = focal * width
    K[:, 1, 1] = focal * aspect * np.exp(rng.normal(0, ranges.squareness, count)) * height
    for axis, size in ((0, width), (1, height)):
        offset = rng.uniform(-ranges.principal, ranges.principal, count)
        K[:, axis, 2] = (0.5 + offset) * size - 0.5
    K[:, 2, 2] = 1.0
    return K


def random_mount(
    rng: np.random.Generator, families: Sequence[Family], ranges: CameraRanges
) -> NDArray[np.float64]:
    """(count, 6) places and angles of cameras on carriers of the given families."""
    count = len(families)
    mount = np.zeros((count, 6))
    mount[:, 2] = [rng.uniform(*family.mount_height) for family in families]
    mount[:, 3] = rng.normal(0, ranges.roll, count)
    mount[:, 4] = [rng.uniform(*family.mount_pitch) for family in families]
    mount[:, 4] += rng.normal(0, ranges.tilt, count)
    aside = rng.random(count) < ranges.aside
    mount[:, 5] = np.where(aside, rng.uniform(-1.8, 1.8, count), rng.normal(0, ranges.pan, count))
    return mount
