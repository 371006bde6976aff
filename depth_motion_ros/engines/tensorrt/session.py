"""Runs one deserialised TensorRT engine."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from depth_motion_ros.engines.cuda_device import CudaDevice
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.recorded_work import RecordedWork
from depth_motion_ros.engines.step import step_tensors
from depth_motion_ros.engines.tensorrt.build import check_ports
from depth_motion_ros.engines.tensorrt.runtime import TensorRT
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.weights import Weights

_LOG = logging.getLogger(__name__)


class TensorRTSession:
    """One engine on one GPU. All memory is taken at construction, none while frames pass."""

    def __init__(
        self,
        tensorrt: TensorRT,
        gpu: CudaDevice,
        plan: bytes,
        config: NetworkConfig,
        *,
        refit_with: tuple[bytes, Weights] | None = None,
        kernels: bytes = b"",
    ) -> None:
        """plan: a serialised engine of ``config``.

        refit_with: the complete ONNX graph and its weights, to replace those in the plan.
        kernels: what ``kernels()`` of an earlier session gave.

        Raises EngineError where the plan is not for here, lacks a weight by name, or fails.
        """
        self._tensorrt = tensorrt
        self._gpu = gpu.torch_device
        tensorrt.logger.take_errors()
        try:
            with torch.cuda.device(self._gpu):
                self._runtime = tensorrt.api.Runtime(tensorrt.logger)
                self._engine = self._runtime.deserialize_cuda_engine(plan)
                if self._engine is None:
                    raise tensorrt.failure("does not take the engine")
                if refit_with is not None:
                    refit(tensorrt, self._engine, *refit_with)
                self._context = self._new_context(kernels)
                if self._context is None:
                    raise tensorrt.failure("cannot prepare the engine to run")
                self._work = self._allocate(config)
                self._record()
        except RuntimeError as error:
            if isinstance(error, EngineError):
                raise
            raise EngineError(f"{tensorrt.name} failed on {gpu.name}: {error}") from error

    def _new_context(self, kernels: bytes) -> Any:
        self._kernels = None
        if not hasattr(self._tensorrt.api, "IRuntimeCache"):
            return self._engine.create_execution_context()
        # TensorRT for RTX compiles for the GPU when an engine starts, unless it finds this.
        options = self._engine.create_runtime_config()
        self._kernels = options.create_runtime_cache()
        if kernels and not self._kernels.deserialize(kernels):
            _LOG.info("kernels kept by another %s or driver are not used", self._tensorrt.name)
        options.set_runtime_cache(self._kernels)
        return self._engine.create_execution_context(options)

    def kernels(self) -> bytes:
        """What TensorRT for RTX compiled for this GPU; empty with any other TensorRT."""
        return b"" if self._kernels is None else bytes(self._kernels.serialize())

    def _allocate(self, config: NetworkConfig) -> RecordedWork:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        types = {name: engine.get_tensor_dtype(name).name for name in names}
        shapes = {name: tuple(engine.get_tensor_shape(name)) for name in names}
        check_ports({name: (types[name], shapes[name]) for name in names}, config)
        output = self._tensorrt.api.TensorIOMode.OUTPUT
        work = RecordedWork(
            self._gpu,
            step_tensors(config),
            [name for name in names if engine.get_tensor_mode(name) == output],
        )
        for name, buffer in work.buffers.items():
            if not self._context.set_tensor_address(name, buffer.data_ptr()):
                raise self._tensorrt.failure(f"refuses the buffer of {name!r}")
        return work

    def _record(self) -> None:
        self._work.warm_up(self._enqueue)
        capturable = getattr(self._context, "is_stream_capturable", None)
        if capturable is not None and not capturable(self._work.stream.cuda_stream):
            _LOG.warning("running without a CUDA graph: %s cannot record it", self._tensorrt.name)
            return
        self._work.record(self._enqueue)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._work.stream.cuda_stream):
            raise self._tensorrt.failure("cannot run the engine")

    def run(self, inputs: dict[str, NDArray]) -> dict[str, NDArray[np.float32]]:
        """All outputs for all inputs, by name. The arrays returned are the caller's own.

        Raises EngineError when the GPU fails.
        """
        try:
            return self._work.run(inputs, self._enqueue)
        except RuntimeError as error:
            if isinstance(error, EngineError):
                raise
            raise EngineError(f"{self._tensorrt.name} failed: {error}") from error

    def close(self) -> None:
        """Free the GPU's memory. Closing twice does no harm."""
        self._work.close()
        # In this order: TensorRT's objects must not outlive what made them.
        self._context = self._kernels = self._engine = self._runtime = None


def refit(tensorrt: TensorRT, engine: Any, model: bytes, weights: Weights) -> None:
    """Put other weights into an engine that nothing is running.

    model: the complete ONNX graph with these weights in it.

    Raises EngineError where the engine does not know one of them by name, or refuses.
    """
    api = tensorrt.api
    refitter = api.Refitter(engine, tensorrt.logger)
    known = set(refitter.get_all_weights())
    lost = sorted(weights.tensors.keys() - known)
    if lost:
        raise EngineError(
            f"{tensorrt.name} {tensorrt.version} has merged {len(lost)} of {len(weights.tensors)} "
            f"weights into others, the first is {lost[0]!r}"
        )
    parser = api.OnnxParserRefitter(refitter, tensorrt.logger)
    if not parser.refit_from_bytes(model):
        raise tensorrt.failure("does not take the graph to refit from")
    missing = refitter.get_missing_weights()
    if missing:
        raise EngineError(f"{tensorrt.name} still lacks {len(missing)} weights: {missing[:3]}")
    if not refitter.refit_cuda_engine():
        raise tensorrt.failure("cannot exchange the weights")
