"""The ONNX graph of both networks with convolutions in int8, for a CPU."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import EngineError

if TYPE_CHECKING:
    import onnx

Feed = dict[str, NDArray[np.generic]]

DEPTH_NET, MOTION_NET = "depth_net.", "motion_net."
# Convolutions of DepthNet at whose rounding most of the error arises: the one that sees the pixels,
# and the last two, whose output is the depth itself.
_FIRST, _LAST = 1, 2
DEPTH, BOTH, ALL = "depth", "both", "all"
VARIANTS = {
    DEPTH: "DepthNet but for its first and last two convolutions",
    BOTH: "the same, and every convolution of MotionNet",
    ALL: "every convolution",
}


def quantised(model: onnx.ModelProto, feeds: Iterable[Feed], variant: str) -> onnx.ModelProto:
    """A copy with int8 weights (a scale for each channel) and uint8 activations where
    ``VARIANTS`` says so.

    model: complete, see ``onnx_graph.filled``. feeds: inputs by name, from which the ranges of
    the activations are taken: a few dozen pairs of images like those that will come.

    Raises EngineError where onnxruntime's quantiser is missing or fails.
    """
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise EngineError(
            f"int8 needs onnxruntime's quantiser ({error}): pip install onnxruntime onnx"
        ) from error
    import onnx

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory(prefix="depth_motion_int8_") as name:
        folder = Path(name)
        given, prepared, made = (folder / f"{step}.onnx" for step in ("given", "prepared", "made"))
        onnx.save_model(model, str(given))
        level = logging.getLogger().level
        try:
            quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared), str(made), Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=_kept(onnx.load_model(str(prepared)), variant),
            )  # fmt: skip
        # The quantiser's exceptions share no base class but Exception.
        except Exception as error:
            raise EngineError(f"onnxruntime cannot quantise the graph: {error}") from error
        finally:
            logging.getLogger().setLevel(level)
        return onnx.load_model(str(made))


def _kept(model: onnx.ModelProto, variant: str) -> list[str]:
    """Names of the convolutions that stay in float32."""
    by_net: dict[str, list[str]] = {DEPTH_NET: [], MOTION_NET: []}
    for node in model.graph.node:
        if node.op_type == "Conv":
            for net, names in by_net.items():
                if any(name.startswith(net) for name in node.input):
                    names.append(node.name)
    depth = by_net[DEPTH_NET]
    ends = depth[:_FIRST] + depth[-_LAST:]
    return {DEPTH: ends + by_net[MOTION_NET], BOTH: ends, ALL: []}[variant]
