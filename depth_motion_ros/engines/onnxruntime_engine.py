"""The CPU engine: ONNX Runtime in float32."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines import onnx_cache
from depth_motion_ros.engines.engine import (
    Engine,
    EngineDescription,
    EngineError,
    RawMotion,
    RawPrediction,
)
from depth_motion_ros.engines.inputs import check_architecture, check_step, engine_config
from depth_motion_ros.engines.onnx_graph import INPUTS, INSTALL, as_array, weight_tensors
from depth_motion_ros.engines.step import StepOutput
from depth_motion_ros.models.weights import Weights

if TYPE_CHECKING:
    import onnx

# ONNX Runtime needs to see small tensors while it loads a graph: with these outside of the graph
# it fails on Resize.
_INLINE_BYTES = 1024
# More cores than this leave the small maps of these networks waiting for each other.
_MOST_THREADS = 4


class OnnxRuntimeEngine(Engine):
    """Float32 on the CPU."""

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

        Raises EngineError where onnxruntime, or what is needed to make its graph, is missing.
        """
        self._runtime = import_onnxruntime()
        self._config = engine_config(weights, input_size)
        cores = len(os.sched_getaffinity(0))
        self._threads = threads or max(1, min(cores - 1, _MOST_THREADS))
        self._template = onnx_cache.template(self._config, cache_folder)
        self._session, self._held = self._new_session(weights)
        self._version = weights.version

    def _new_session(self, weights: Weights) -> tuple[Any, list[NDArray[np.float32]]]:
        """A session and the arrays it reads its weights from, which must outlive it."""
        options = session_options(self._runtime, self._threads)
        model, outside = _with_weights(self._template, weights)
        values = [self._runtime.OrtValue.ortvalue_from_numpy(a) for a in outside.values()]
        try:
            options.add_external_initializers(list(outside), values)
            session = self._runtime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            raise EngineError(
                f"ONNX Runtime {self._runtime.__version__} does not take the graph: {error}"
            ) from error
        return session, list(outside.values())

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
            # ONNX Runtime computes the whole graph whatever is asked of it. A second graph for
            # the first frame alone would cost memory for as long as the engine lives.
            previous_image, previous_depth = image, np.ones(image.shape[:2], np.float32)
        feed = dict(zip(INPUTS, (previous_image, previous_depth, image), strict=True))
        try:
            depth, *motion = self._session.run(list(StepOutput._fields), feed)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {error}") from error
        return RawPrediction(depth, None if is_first else RawMotion(*motion))

    def load(self, weights: Weights) -> None:
        check_architecture(weights, self._config)
        self._session, self._held = self._new_session(weights)
        self._version = weights.version

    def describe(self) -> EngineDescription:
        plural = "" if self._threads == 1 else "s"
        return EngineDescription(
            runtime="onnxruntime",
            runtime_version=self._runtime.__version__,
            device=f"cpu, {self._threads} thread{plural}",
            precision="fp32",
            architecture=self._config.architecture,
            input_width=self._config.input_width,
            input_height=self._config.input_height,
            weights_version=self._version,
        )


def import_onnxruntime() -> ModuleType:
    """The module. Raises EngineError saying how to install it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(f"the cpu engine needs onnxruntime ({error}): {INSTALL}") from error
    return onnxruntime


def session_options(runtime: ModuleType, threads: int) -> Any:
    """Options under which other processes on the same cores keep running.

    A thread that spins while it waits takes the core from the camera's driver or the learner,
    and is itself descheduled in the middle of an operator.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _with_weights(
    template: onnx.ModelProto, weights: Weights
) -> tuple[onnx.ModelProto, dict[str, NDArray[np.float32]]]:
    """A graph with its small weights inside, and the large ones by name."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(template)
    outside = {}
    for tensor in weight_tensors(model, weights.tensors):
        array = as_array(weights, tensor.name)
        if array.nbytes <= _INLINE_BYTES:
            tensor.raw_data = array.tobytes()
            continue
        outside[tensor.name] = array
        tensor.data_location = onnx.TensorProto.EXTERNAL
        # The location is never opened: the values are handed over in memory.
        tensor.external_data.add(key="location", value="memory")
    return model, outside
