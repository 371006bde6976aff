"""The faster CPU engine: OpenVINO in float32."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx.graph_engine import Feed, GraphEngine
from depth_motion_ros.engines.step import StepOutput
from depth_motion_ros.models.weights import Weights

if TYPE_CHECKING:
    import onnx

INSTALL = "pip install openvino"
_TELEMETRY = "openvino_telemetry"
_cores: list[Any] = []
_cores_lock = threading.Lock()


class OpenVinoEngine(GraphEngine):
    """OpenVINO: two thirds of ONNX Runtime's time on x86 (docs/reference/benchmarks.md)."""

    runtime, title = "openvino", "OpenVINO"

    def _import_runtime(self) -> str:
        self._core = process_core()
        return str(import_openvino().__version__).split("-")[0]

    def _new_session(self, template: onnx.ModelProto, weights: Weights, threads: int) -> Any:
        model = onnx_graph.filled(template, weights)
        network = self._core.read_model(model.SerializeToString())
        return self._core.compile_model(network, "CPU", settings(threads)).create_infer_request()

    def _run(self, session: Any, feed: Feed) -> list[NDArray[np.float32]]:
        session.infer(feed, share_inputs=True)
        # What the request holds is overwritten by its next step.
        return [np.array(session.get_tensor(name).data) for name in StepOutput._fields]


def process_core() -> Any:
    """The one Core of this process, which stays until it ends. Raises EngineError as below.

    The CPU plugin gives the thread that starts it a stack for signals, and frees that stack with
    the plugin: freed by another thread, it would take the process down at the next signal, so at
    Ctrl-C. A thread that has ended hears no signals.
    """

    def start() -> None:
        try:
            core = openvino.Core()
            core.get_property("CPU", "FULL_DEVICE_NAME")
            _cores.append(core)
        except RuntimeError as error:
            failed.append(error)

    openvino = import_openvino()
    failed: list[RuntimeError] = []
    with _cores_lock:
        if not _cores:
            starting = threading.Thread(target=start, name="openvino")
            starting.start()
            starting.join()
        if failed:
            raise EngineError(f"OpenVINO's CPU plugin does not start: {failed[0]}") from failed[0]
        return _cores[0]


def settings(threads: int) -> dict[str, Any]:
    """One frame at a time, exactly; no thread tied to a core that another process may be using."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }


def import_openvino() -> ModuleType:
    """The module. Raises EngineError saying how to install it.

    By itself ``import openvino`` tells Google Analytics that it was imported, through the module
    ``openvino_telemetry``, which it does without where that is missing. So here it is missing.
    """
    hidden = {} if _TELEMETRY in sys.modules else {_TELEMETRY: None}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"the openvino engine needs openvino ({error}): {INSTALL}") from error
    finally:
        for name in hidden:
            del sys.modules[name]
    return openvino
