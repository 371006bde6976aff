"""Writes the networks as one ONNX file, checked against PyTorch."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from depth_motion_ros.engines.inputs import engine_config
from depth_motion_ros.engines.interface import EngineError, RawMotion, RawPrediction
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx.onnxruntime_engine import import_onnxruntime, session_options
from depth_motion_ros.engines.parity import Parity, compare, textured_pair
from depth_motion_ros.engines.step import INPUTS, StepOutput
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights

TOLERANCE = 1e-3


@dataclass(frozen=True)
class ExportReport:
    """path: the file written. tensors: how many weights it holds by name. parity: ONNX Runtime's
    answer against PyTorch's on one pair of images."""

    path: Path
    opset: int
    tensors: int
    parity: Parity


def export_onnx(
    weights: Weights,
    path: str | os.PathLike[str],
    *,
    input_size: tuple[int, int] | None = None,
    tolerance: float = TOLERANCE,
) -> ExportReport:
    """Write a complete ONNX model: see ``onnx_graph`` for inputs, outputs and tensor names.

    input_size: (width, height), multiples of 32; None = the weights'.
    The file appears only after onnx.checker has passed it and ONNX Runtime has computed with it
    what PyTorch computes, to a relative ``tolerance``.

    Raises EngineError where a package is missing, the exporter fails or the results differ.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise EngineError(f"there is no folder {path.parent}; create it first")
    config = engine_config(weights, input_size)
    model = onnx_graph.filled(onnx_graph.trace_template(config), weights)

    import onnx

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        onnx.save_model(model, temporary)
        onnx.checker.check_model(temporary, full_check=True)
        parity = _parity(weights, (config.input_width, config.input_height), temporary)
        if not parity.within(tolerance):
            raise EngineError(
                f"ONNX Runtime and PyTorch differ by more than {tolerance:g}: {parity.errors}, "
                f"{parity.mask_flips:.2%} of the moving pixels' mask; nothing was written"
            )
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except onnx.checker.ValidationError as error:
        raise EngineError(f"the exported graph is not valid ONNX: {error}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return ExportReport(path, onnx_graph.OPSET, len(weights.tensors), parity)


def _parity(weights: Weights, size: tuple[int, int], path: str) -> Parity:
    runtime = import_onnxruntime()
    session = runtime.InferenceSession(
        path, session_options(runtime, threads=1), providers=["CPUExecutionProvider"]
    )
    previous, image = textured_pair(size)
    oracle = TorchEngine(weights, device="cpu", input_size=size)
    previous_depth = oracle.step(None, None, previous).depth
    reference = oracle.step(previous, previous_depth, image)
    feed = dict(zip(INPUTS, (previous, previous_depth, image), strict=True))
    depth, *motion = session.run(list(StepOutput._fields), feed)
    return compare(reference, RawPrediction(depth, RawMotion(*motion)))
