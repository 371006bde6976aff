"""The graph in half precision, written into the graph itself.

A strongly typed runtime computes each node in the types of its inputs, so what
``half_precision`` asks for is written as casts between the nodes. Normalisation is in float32
as a whole. Inputs, outputs and the names of the weights stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from depth_motion_ros.engines.half_precision import GEOMETRY, too_large
from depth_motion_ros.engines.interface import EngineError

if TYPE_CHECKING:
    import onnx

# In half precision, unless their weights are geometry's.
_HALF = frozenset(("Conv", "ConvTranspose", "Relu", "MaxPool"))
# In half precision where something that they join is: copying it to float32 would gain nothing.
_JOINS = frozenset(("Add", "Concat"))


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an fp32 graph that computes in float16, except for what the module names.

    Works on templates too: weights without values get the type and stay without values.

    Raises EngineError where a weight does not fit into float16.
    """
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    # The types of what lies between have changed; every reader infers them anew.
    del graph.value_info[:]
    weights = {tensor.name: tensor for tensor in graph.initializer}
    half: set[str] = set()
    casts: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []

    def cast(name: str, to: int, suffix: str) -> str:
        if name not in casts:
            casts[name] = f"{name}_{suffix}"
            nodes.append(onnx.helper.make_node("Cast", [name], [casts[name]], to=to))
        return casts[name]

    for node in graph.node:
        in_half = _is_half(node, half)
        for index, name in enumerate(node.input):
            if in_half and name in weights:
                _halve(weights[name])
            elif in_half and name and name not in half:
                node.input[index] = cast(name, onnx.TensorProto.FLOAT16, "fp16")
            elif not in_half and name in half:
                node.input[index] = cast(name, onnx.TensorProto.FLOAT, "fp32")
        if in_half:
            half.update(node.output)
        nodes.append(node)

    _check_results(result, half)
    nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _is_half(node: onnx.NodeProto, half: set[str]) -> bool:
    if node.op_type in _JOINS:
        return any(name in half for name in node.input)
    return node.op_type in _HALF and not any(GEOMETRY.match(name) for name in node.input)


def _halve(tensor: onnx.TensorProto) -> None:
    from onnx import TensorProto

    if tensor.data_type == TensorProto.FLOAT16:
        return
    tensor.data_type = TensorProto.FLOAT16
    if not tensor.raw_data:
        return
    with np.errstate(over="ignore"):
        values = np.frombuffer(tensor.raw_data, "<f4").astype("<f2")
    if not np.isfinite(values).all():
        raise too_large(tensor.name)
    tensor.raw_data = values.tobytes()


def _check_results(model: onnx.ModelProto, half: set[str]) -> None:
    """A tensor here that is not float32 would be an error of the rules above, with any weights."""
    narrow = sorted(output.name for output in model.graph.output if output.name in half)
    if narrow:
        raise EngineError(f"the half-precision graph would have outputs {narrow} in float16")
    halved = {t.name for t in model.graph.initializer if t.data_type == 10}
    for node in model.graph.node:
        mixed = halved.intersection(node.input)
        if mixed and half.isdisjoint(node.output):
            raise EngineError(f"{sorted(mixed)} would be needed in float16 and in float32")
