"""The CPU engine: ONNX Runtime in float32."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx.graph import INSTALL, as_array, weight_tensors
from depth_motion_ros.engines.onnx.graph_engine import Feed, GraphEngine
from depth_motion_ros.engines.step import StepOutput
from depth_motion_ros.models.weights import Weights

if TYPE_CHECKING:
    import onnx

# ONNX Runtime needs to see small tensors while it loads a graph: with these outside of the graph
# it fails on Resize.
_INLINE_BYTES = 1024


@dataclass(frozen=True, eq=False)
class _Session:
    """session: of ONNX Runtime. held: the arrays that it reads its weights from."""

    session: Any
    held: list[NDArray[np.float32]]


class OnnxRuntimeEngine(GraphEngine):
    """ONNX Runtime: small, and on every platform."""

    runtime, title = "onnxruntime", "ONNX Runtime"

    def _import_runtime(self) -> str:
        self._module = import_onnxruntime()
        return str(self._module.__version__)

    def _new_session(self, template: onnx.ModelProto, weights: Weights, threads: int) -> _Session:
        options = session_options(self._module, threads)
        model, outside = _with_weights(template, weights)
        values = [self._module.OrtValue.ortvalue_from_numpy(a) for a in outside.values()]
        options.add_external_initializers(list(outside), values)
        session = self._module.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return _Session(session, list(outside.values()))

    def _run(self, session: _Session, feed: Feed) -> list[NDArray[np.float32]]:
        return list(session.session.run(list(StepOutput._fields), feed))


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
