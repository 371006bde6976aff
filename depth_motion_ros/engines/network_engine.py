"""What every engine of our networks shares: checks, the first frame, loading, the description."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.comparison import Comparison
from depth_motion_ros.engines.inputs import check_architecture, check_step, engine_config
from depth_motion_ros.engines.interface import Engine, EngineDescription, RawPrediction
from depth_motion_ros.models.weights import Weights


class NetworkEngine(Engine):
    """Both networks of one architecture at one input size.

    A subclass computes a pair in ``_pair`` and exchanges the weights in ``_replace``. It sets
    ``_weights_version`` once its first weights are in use.

    comparison: with PyTorch; confirmed by the first two real frames. None = not needed.
    """

    runtime: str
    version: str

    def __init__(self, weights: Weights, input_size: tuple[int, int] | None) -> None:
        """input_size: (width, height), multiples of 32; None = the weights'."""
        self._config = engine_config(weights, input_size)
        self._comparison: Comparison | None = None
        self._precision = "fp32"
        self._weights_version = ""

    @property
    @abstractmethod
    def _device_name(self) -> str:
        """For ``describe``."""

    @abstractmethod
    def _pair(
        self,
        previous_image: NDArray[np.uint8],
        previous_depth: NDArray[np.float32],
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        """Depth and motion; see ``step``."""

    @abstractmethod
    def _replace(self, weights: Weights) -> None:
        """See ``load``; the architecture is right."""

    @property
    def input_size(self) -> tuple[int, int]:
        return self._config.input_width, self._config.input_height

    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        check_step(self.input_size, previous_image, previous_depth, image)
        if previous_image is None or previous_depth is None:
            return RawPrediction(self._depth(image), None)
        prediction = self._pair(previous_image, previous_depth, image)
        if self._comparison is not None:
            self._comparison.confirm(prediction, previous_image, previous_depth, image)
        return prediction

    def _depth(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of a frame without a previous one.

        The graph of a runtime is for a pair: the first frame pays for a motion that nobody reads.
        A second graph for it alone would cost memory for as long as the engine lives.
        """
        return self._pair(image, np.ones(image.shape[:2], np.float32), image).depth

    def load(self, weights: Weights) -> None:
        check_architecture(weights, self._config)
        self._replace(weights)
        self._weights_version = weights.version

    def describe(self) -> EngineDescription:
        return EngineDescription(
            runtime=self.runtime,
            runtime_version=self.version,
            device=self._device_name,
            precision=self._precision,
            architecture=self._config.architecture,
            input_width=self._config.input_width,
            input_height=self._config.input_height,
            weights_version=self._weights_version,
        )
