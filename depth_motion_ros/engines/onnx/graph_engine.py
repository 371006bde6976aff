"""What the runtimes of an ONNX graph on the CPU share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.inputs import check_architecture, check_step, engine_config
from depth_motion_ros.engines.interface import (
    Engine,
    EngineDescription,
    EngineError,
    RawMotion,
    RawPrediction,
)
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.step import INPUTS
from depth_motion_ros.models.weights import Weights

if TYPE_CHECKING:
    import onnx

# More cores than this leave the small maps of these networks waiting for each other.
_MOST_THREADS = 4

Feed = Mapping[str, NDArray[np.generic]]


class GraphEngine(Engine):
    """Float32 on the CPU: the graph of both networks in a session of some runtime.

    runtime, title: what it is called by ``describe`` and in messages. version: of the runtime.
    """

    runtime: str
    title: str
    version: str

    def __init__(
        self,
        weights: Weights,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
        cache_folder: Path | None = None,
    ) -> None:
        """input_size: (width, height), multiples of 32; None = the weights'.

        threads: None = the cores this process may use but one, at most 4: images come in, flow is
            followed and clouds are sent meanwhile.
        cache_folder: where graphs are kept; None = ``private_files.default_folder()``.

        Raises EngineError where what is needed to make the graph is missing.
        """
        self._config = engine_config(weights, input_size)
        cores = len(os.sched_getaffinity(0))
        self._threads = threads or max(1, min(cores - 1, _MOST_THREADS))
        self._template = onnx_cache.template(self._config, cache_folder)
        self._session = self._opened(weights)
        self._weights_version = weights.version

    @abstractmethod
    def _new_session(self, template: onnx.ModelProto, weights: Weights, threads: int) -> Any:
        """A session with these weights, which shares nothing with the one in use."""

    @abstractmethod
    def _run(self, session: Any, feed: Feed) -> list[NDArray[np.float32]]:
        """The outputs, in the order of ``StepOutput``; the caller's own."""

    def _opened(self, weights: Weights) -> Any:
        try:
            return self._new_session(self._template, weights, self._threads)
        # The exceptions of these runtimes share no base class but Exception.
        except Exception as error:
            raise EngineError(
                f"{self.title} {self.version} does not take the graph: {error}"
            ) from error

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
        is_first = previous_image is None or previous_depth is None
        if previous_image is None or previous_depth is None:
            # The runtimes compute the whole graph whatever is asked of it. A second graph for
            # the first frame alone would cost memory for as long as the engine lives.
            previous_image, previous_depth = image, np.ones(image.shape[:2], np.float32)
        feed: Feed = dict(zip(INPUTS, (previous_image, previous_depth, image), strict=True))
        try:
            depth, *motion = self._run(self._session, feed)
        except Exception as error:
            raise EngineError(f"{self.title} failed: {error}") from error
        return RawPrediction(depth, None if is_first else RawMotion(*motion))

    def load(self, weights: Weights) -> None:
        check_architecture(weights, self._config)
        self._session = self._opened(weights)
        self._weights_version = weights.version

    def describe(self) -> EngineDescription:
        plural = "" if self._threads == 1 else "s"
        return EngineDescription(
            runtime=self.runtime,
            runtime_version=self.version,
            device=f"cpu, {self._threads} thread{plural}",
            precision="fp32",
            architecture=self._config.architecture,
            input_width=self._config.input_width,
            input_height=self._config.input_height,
            weights_version=self._weights_version,
        )
