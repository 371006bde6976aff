"""depth_motion_node with an engine whose cost is known: run in a process of its own.

python -c "import sys; from support.ros_doubles import main; sys.exit(main(0.2))" --ros-args ...
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import (
    Engine,
    EngineDescription,
    RawMotion,
    RawPrediction,
)
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.nodes.perception.networks import EngineOptions
from depth_motion_ros.nodes.perception.node import DepthMotionNode
from depth_motion_ros.nodes.ros.shutdown import run_node


class KnownEngine(Engine):
    """A plane 5 units ahead that is approached at 5 cm a frame; a patch moves by itself.

    seconds: what a step costs, slept.
    """

    def __init__(self, width: int, height: int, seconds: float) -> None:
        self._size = width, height
        self._seconds = seconds
        self._depth = np.full((height, width), 5.0, np.float32)
        residual = np.zeros((height, width, 3), np.float32)
        residual[height // 4 : height // 2, width // 4 : width // 2, 0] = 0.05
        K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float32)
        self._motion = RawMotion(
            np.zeros(3, np.float32), np.array([0, 0, 0.05], np.float32), residual, K
        )

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        if self._seconds:
            time.sleep(self._seconds)
        return RawPrediction(self._depth.copy(), None if previous_image is None else self._motion)

    def load(self, weights: Weights) -> None:
        """Nothing to load."""

    def describe(self) -> EngineDescription:
        return EngineDescription("known", "1", "cpu", "fp32", "lite", *self._size, "known")


def main(seconds: float) -> int:
    def build(options: EngineOptions, weights: Weights) -> Engine:
        width, height = options.input_width or 416, options.input_height or 128
        return KnownEngine(width, height, seconds)

    return run_node(lambda: DepthMotionNode(build), DepthMotionNode.begin, DepthMotionNode.close)
