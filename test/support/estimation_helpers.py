"""A scripted engine and a wall to look at, for tests of what surrounds the networks.

The wall is DEPTH away, square to the camera. With FOCAL = 100 and DEPTH = 10 the image moves by one
pixel for every 0.1 (units of the network) that the camera moves sideways.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import (
    Engine,
    EngineDescription,
    RawMotion,
    RawPrediction,
)
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.sources.frame import Frame

WIDTH, HEIGHT = 128, 64
FOCAL, DEPTH = 100.0, 10.0
CAMERA = Camera(np.array([[FOCAL, 0, 63.5], [0, FOCAL, 31.5], [0, 0, 1]]), WIDTH, HEIGHT)
LEARNED_K = np.array([[80, 0, 64], [0, 80, 32], [0, 0, 1]], np.float32)
# Camera motion per pixel of image motion.
STEP = DEPTH / FOCAL
SECOND = 1_000_000_000


def wall(shift: int = 0, seed: int = 0) -> NDArray[np.uint8]:
    """The wall's smooth texture, its image moved to the right by ``shift`` pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.roll(image, shift, axis=1)


def frame(
    time: float,
    shift: int = 0,
    *,
    camera: Camera | None = CAMERA,
    image: NDArray[np.uint8] | None = None,
) -> Frame:
    """A frame of the wall. time: s."""
    return Frame(round(time * SECOND), wall(shift) if image is None else image, camera)


class ScriptedEngine(Engine):
    """Answers what its attributes say and keeps what it was asked.

    depth, rotation, translation, residual, K: the next answer.
    asked: for every step, (had a previous frame, its depth, the image).
    """

    def __init__(self, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        self._size = size
        self.depth = np.full(size[::-1], DEPTH, np.float32)
        self.rotation = np.zeros(3, np.float32)
        self.translation = np.zeros(3, np.float32)
        self.residual = np.zeros((*size[::-1], 3), np.float32)
        self.K = LEARNED_K
        self.asked: list[tuple[bool, NDArray[np.float32] | None, NDArray[np.uint8]]] = []

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def moving(self, pixels_per_frame: float) -> ScriptedEngine:
        """Say that the image moves to the right: the camera moves to the left."""
        self.translation = np.array([-STEP * pixels_per_frame, 0, 0], np.float32)
        return self

    def step(self, previous_image, previous_depth, image):
        self.asked.append((previous_image is not None, previous_depth, image))
        if previous_image is None:
            return RawPrediction(self.depth.copy(), None)
        motion = RawMotion(self.rotation, self.translation, self.residual.copy(), self.K)
        return RawPrediction(self.depth.copy(), motion)

    def load(self, weights: Weights) -> None:
        raise AssertionError("the estimator never loads weights itself")

    def describe(self) -> EngineDescription:
        return EngineDescription("scripted", "0", "cpu", "fp32", "none", *self._size, "0")
