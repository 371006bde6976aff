"""Pairs of simulated frames with exact depth, and what a network would make of them."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.refinement import align
from depth_motion_ros.estimation.alignment.search import Alignment
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.open import open_source

WIDTH, HEIGHT = 416, 128
# As far as a network's depth reaches.
SKY = 1000.0


@dataclass(frozen=True, eq=False)
class Pair:
    """motion: (4, 4), the true one, points of the current camera to the previous one's axes."""

    image: NDArray[np.uint8]
    previous_image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    previous_depth: NDArray[np.float32]
    residual: NDArray[np.float32]
    motion: NDArray[np.float64]
    camera: Camera

    def align(self, start, *others, depth=None, residual=None, depth_relative_std=0.0, **changes):
        """What ``align`` makes of the pair; others: more starts; changes: image, previous_image."""
        given = {"image": self.image, "previous_image": self.previous_image, **changes}
        return align(
            given["image"],
            given["previous_image"],
            self.depth if depth is None else depth,
            self.previous_depth,
            [start, *others],
            self.residual if residual is None else residual,
            self.camera,
            depth_relative_std,
        )


@functools.cache
def pairs(scene: str, count: int, stride: int = 2) -> tuple[Pair, ...]:
    """Every ``stride``-th pair of neighbouring frames of sim:SCENE, at the network's size."""
    with open_source(f"sim:{scene}", width=WIDTH, height=HEIGHT) as source:
        frames = list(itertools.islice(source, 1 + stride * count))
    return tuple(_pair(frames[index - 1], frames[index]) for index in range(1, len(frames), stride))


def _pair(previous, current) -> Pair:
    return Pair(
        current.image,
        previous.image,
        np.nan_to_num(current.truth.depth, nan=SKY),
        np.nan_to_num(previous.truth.depth, nan=SKY),
        # Forward in time instead of back: where something moves, and about how fast.
        -np.nan_to_num(current.truth.motion),
        se3.inverse(previous.truth.pose) @ current.truth.pose,
        current.camera,
    )


def disturbed(motion, degrees: float, share: float, rng: np.random.Generator):
    """The motion turned by an angle about a random axis, and moved by a share of its length."""
    axis, way = rng.normal(size=(2, 3))
    length = share * np.linalg.norm(motion[:3, 3])
    turn = np.radians(degrees) * axis / np.linalg.norm(axis)
    return motion @ se3.exp(np.concatenate((length * way / np.linalg.norm(way), turn)))


def blurred_depth(depth, error: float, rng: np.random.Generator):
    """Depth times a smooth random factor with a relative standard deviation of ``error``."""
    coarse = rng.normal(size=(4, 8)).astype(np.float32)
    wave = cv2.resize(coarse, depth.shape[::-1], interpolation=cv2.INTER_CUBIC)
    wave = (wave - wave.mean()) / wave.std()
    return (depth * np.exp(error * wave)).astype(np.float32)


def error_of(found: Alignment, motion) -> NDArray[np.float64]:
    """(6,) e in found · exp(e) = motion, translation before rotation."""
    return se3.log(se3.inverse(se3.transform(found.rotation, found.translation)) @ motion)
