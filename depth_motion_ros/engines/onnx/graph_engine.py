"""What the runtimes of an ONNX graph on the CPU share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import EngineError, RawMotion, RawPrediction
from depth_motion_ros.engines.network_engine import NetworkEngine
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.step import INPUTS
from depth_motion_ros.models.weights import Weights

if TYPE_CHECKING:
    import onnx

# More cores than this leave the small maps of these networks waiting for each other.
_MOST_THREADS = 4

Feed = Mapping[str, NDArray[np.generic]]


class GraphEngine(NetworkEngine):
    """Float32 on the CPU: the graph of both networks in a session of some runtime.

    runtime, title: what it is called by ``describe`` and in messages.
    """

    title: str

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

        Raises EngineError where the runtime, or what is needed to make the graph, is missing.
        """
        self.version = self._import_runtime()
        super().__init__(weights, input_size)
        cores = len(os.sched_getaffinity(0))
        self._threads = threads or max(1, min(cores - 1, _MOST_THREADS))
        self._template = onnx_cache.template(self._config, cache_folder)
        self._session = self._opened(weights)
        self._weights_version = weights.version

    @abstractmethod
    def _import_runtime(self) -> str:
        """Its version. Raises EngineError saying how to install it."""

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
    def _device_name(self) -> str:
        plural = "" if self._threads == 1 else "s"
        return f"cpu, {self._threads} thread{plural}"

    def _pair(
        self,
        previous_image: NDArray[np.uint8],
        previous_depth: NDArray[np.float32],
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        feed: Feed = dict(zip(INPUTS, (previous_image, previous_depth, image), strict=True))
        try:
            depth, *motion = self._run(self._session, feed)
        except Exception as error:
            raise EngineError(f"{self.title} failed: {error}") from error
        return RawPrediction(depth, RawMotion(*motion))

    def _replace(self, weights: Weights) -> None:
        self._session = self._opened(weights)
