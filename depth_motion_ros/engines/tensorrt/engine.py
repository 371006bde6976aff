"""TensorRT in float16 or float32. Experimental: it has built engines, and none has run yet."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from depth_motion_ros.engines import private_files
from depth_motion_ros.engines.comparison import Comparison
from depth_motion_ros.engines.cuda_device import cuda_device
from depth_motion_ros.engines.interface import EngineError, RawMotion, RawPrediction
from depth_motion_ros.engines.network_engine import NetworkEngine
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx.precision import to_fp16
from depth_motion_ros.engines.parity import Pair
from depth_motion_ros.engines.step import INPUTS
from depth_motion_ros.engines.tensorrt.build import Progress, build_plan
from depth_motion_ros.engines.tensorrt.cache import (
    PlanKey,
    graph_digest,
    read_plan,
    read_timings,
    write_plan,
    write_timings,
)
from depth_motion_ros.engines.tensorrt.runtime import check_serves, find_tensorrt
from depth_motion_ros.engines.tensorrt.session import TensorRTSession
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights

if TYPE_CHECKING:
    import onnx

_LOG = logging.getLogger(__name__)
PRECISIONS = ("fp16", "fp32")
_LOG_EVERY_S = 5.0


class TensorRTEngine(NetworkEngine):
    """``tensorrt`` or ``tensorrt_rtx``. Every set of weights is compared with PyTorch before use.

    The first two real frames are compared too, which makes that one step slower.

    plan_path: where the engine in use lies in the cache.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        precision: str = "auto",
        device: str = "auto",
        input_size: tuple[int, int] | None = None,
        cache_folder: Path | None = None,
        pair: Pair | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Take the engine from the cache, or build it: that takes from seconds to minutes.

        precision: ``fp16``, ``fp32``; ``auto`` is fp16, with float32 where it shows.
        device: ``auto``, ``cuda`` or ``cuda:N``.
        input_size: (width, height), multiples of 32; None = the weights'.
        cache_folder: of graphs and engines; None = ``private_files.default_folder()``.
        pair: two real images at the input size, older first, on which the engine is compared
            with PyTorch; None = first a texture that moves, then the first two frames stepped on.
        progress: takes the share of a build that is done; None = lines in the log.

        Raises EngineError where driver, TensorRT, PyTorch's CUDA or what makes the graph is
        missing, where nothing can be built, and where what was built differs from PyTorch.
        """
        if precision not in ("auto", *PRECISIONS):
            raise EngineError(
                f"the tensorrt engine has no precision {precision!r}; use {', '.join(PRECISIONS)}"
            )
        super().__init__(weights, input_size)
        self._gpu = cuda_device(device)
        self._tensorrt = find_tensorrt()
        check_serves(self._tensorrt, self._gpu)
        self.runtime, self.version = self._tensorrt.name, self._tensorrt.version
        self._precision = "fp16" if precision == "auto" else precision
        self._folder = cache_folder or private_files.default_folder()
        oracle = partial(
            TorchEngine,
            device=str(self._gpu.torch_device),
            input_size=self.input_size,
            graph=False,
        )
        self._comparison: Comparison = Comparison(
            oracle, self._tensorrt.name, self._precision, self.input_size, pair
        )
        self._progress = progress
        self._template = onnx_cache.template(self._config, self._folder)
        self._refits = True
        self._session = self._prepare(weights)
        self._weights_version = weights.version

    def _prepare(self, weights: Weights) -> TensorRTSession:
        """A session with these weights that gives what PyTorch gives."""
        model = self._in_precision(onnx_graph.filled(self._template, weights))
        fixed = self._key(graph_digest(model), "fixed")
        # An engine for these weights alone is only ever kept where refitting failed.
        if self._refits and not (self._folder / fixed.file_name).exists():
            graph = graph_digest(self._in_precision(self._template))
            try:
                return self._open(self._key(graph, "refit"), model.SerializeToString(), weights)
            except EngineError as error:
                self._refits = False
                _LOG.warning("building for these weights alone, without REFIT: %s", error)
        return self._open(fixed, model.SerializeToString(), weights)

    def _in_precision(self, model: onnx.ModelProto) -> onnx.ModelProto:
        return to_fp16(model) if self._precision == "fp16" else model

    def _key(self, graph: str, flags: str) -> PlanKey:
        width, height = self.input_size
        return PlanKey(
            architecture=self._config.architecture,
            size=f"{width}x{height}",
            precision=self._precision,
            graph=graph,
            tensorrt=f"{self._tensorrt.name} {self._tensorrt.version}",
            gpu=self._gpu.name,
            capability=self._gpu.capability,
            driver=self._gpu.driver,
            flags=flags,
        )

    def _open(self, key: PlanKey, model: bytes, weights: Weights) -> TensorRTSession:
        """From the cache where that serves, else built; what is kept has passed the comparison."""
        self.plan_path = self._folder / key.file_name
        plan = read_plan(key, self._folder)
        if plan is not None:
            try:
                return self._checked(key, plan, weights, model if key.flags == "refit" else None)
            except EngineError as error:
                _LOG.warning("building the TensorRT engine anew: the one kept fails: %s", error)
        plan = self._build(key, model)
        session = self._checked(key, plan, weights, None)
        write_plan(key, plan, self._folder)
        return session

    def _build(self, key: PlanKey, model: bytes) -> bytes:
        _LOG.info("building %s for %s: this is done once", key.file_name, key.gpu)
        begin = time.monotonic()
        with torch.cuda.device(self._gpu.torch_device):
            built = build_plan(
                self._tensorrt,
                model,
                self._config,
                self._precision,
                refit=key.flags == "refit",
                timings=read_timings(key, self._folder),
                progress=self._progress or LoggedProgress(),
            )
        _LOG.info("built %s in %.0f s", key.file_name, time.monotonic() - begin)
        if built.timings:
            write_timings(key, built.timings, self._folder)
        return built.plan

    def _checked(
        self, key: PlanKey, plan: bytes, weights: Weights, refit_with: bytes | None
    ) -> TensorRTSession:
        timings = read_timings(key, self._folder)
        session = TensorRTSession(
            self._tensorrt,
            self._gpu,
            plan,
            self._config,
            refit_with=None if refit_with is None else (refit_with, weights),
            kernels=timings,
        )
        try:
            self._comparison.check(weights, partial(_prediction, session))
        except BaseException:
            session.close()
            raise
        kernels = session.kernels()
        # Fewer than were kept: those were of another driver, and no start would use them again.
        if kernels and kernels != timings:
            write_timings(key, kernels, self._folder)
        return session

    @property
    def figures(self) -> str:
        """How the engine compares with PyTorch."""
        return self._comparison.figures

    @property
    def _device_name(self) -> str:
        return self._gpu.name

    def _pair(
        self,
        previous_image: NDArray[np.uint8],
        previous_depth: NDArray[np.float32],
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        return _prediction(self._session, previous_image, previous_depth, image)

    def _replace(self, weights: Weights) -> None:
        before, self._session = self._session, self._prepare(weights)
        before.close()

    def close(self) -> None:
        self._session.close()


class LoggedProgress:
    """Says in the log how far a build is, at most every five seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LOG_EVERY_S

    def __call__(self, done: float) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOG_EVERY_S
            _LOG.info("building the TensorRT engine (experimental): %.0f %%", 100 * done)


def _prediction(
    session: TensorRTSession,
    previous_image: NDArray[np.uint8],
    previous_depth: NDArray[np.float32],
    image: NDArray[np.uint8],
) -> RawPrediction:
    arrays: tuple[NDArray, ...] = (previous_image, previous_depth, image)
    outputs = session.run(dict(zip(INPUTS, arrays, strict=True)))
    return RawPrediction(outputs.pop("depth"), RawMotion(**outputs))
