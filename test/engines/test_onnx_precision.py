from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.engine_helpers import SIZE, graph_cache, images, trained_like_weights

from depth_motion_ros.engines.acceptance import check_acceptable
from depth_motion_ros.engines.interface import EngineError, RawMotion, RawPrediction
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx.precision import to_fp16
from depth_motion_ros.engines.step import INPUTS, StepOutput
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
ROOT = Path(__file__).resolve().parents[2]
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def _graph(weights):
    return onnx_graph.filled(onnx_cache.template(weights.config, graph_cache()), weights)


@pytest.fixture(scope="module")
def half_graph():
    return to_fp16(_graph(trained_like_weights()))


def _types(model):
    """Type of every tensor, as ONNX itself infers it."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    ports = (*graph.input, *graph.output, *graph.value_info)
    types = {port.name: port.type.tensor_type.elem_type for port in ports}
    return {**types, **{tensor.name: tensor.data_type for tensor in graph.initializer}}


def test_the_large_convolutions_compute_in_half(half_graph):
    types = _types(half_graph)
    kinds = ("Conv", "ConvTranspose")
    found = {n.input[1]: types[n.output[0]] for n in half_graph.graph.node if n.op_type in kinds}
    single = {name for name, kind in found.items() if kind == FLOAT}
    refinements = {f"motion_net.refinements.{i}.out.weight" for i in range(8)}
    heads = {f"motion_net.{name}.weight" for name in ("pose", "field", "focal", "centre")}
    assert single == refinements | heads | {"depth_net.head.weight"}
    # 75 convolutions in all: 26 + 1 of DepthNet's, 7 + 4 + 8 x 4 of MotionNet's, 5 transposed.
    assert len(found) == 75


def test_normalisation_statistics_and_geometry_are_in_single(half_graph):
    types = _types(half_graph)
    kinds = ("InstanceNormalization", "Softplus", "ReduceMean", "ReduceSum", "Resize", "Mul")
    nodes = [node for node in half_graph.graph.node if node.op_type in kinds]
    assert {types[node.input[0]] for node in nodes} == {FLOAT}
    assert {types[output.name] for output in half_graph.graph.output} == {FLOAT}


def test_inputs_outputs_and_names_of_weights_stay(half_graph):
    weights = trained_like_weights()
    single = _graph(weights)
    assert half_graph.graph.input == single.graph.input
    assert half_graph.graph.output == single.graph.output
    assert {t.name for t in half_graph.graph.initializer} == {
        t.name for t in single.graph.initializer
    }
    onnx.checker.check_model(half_graph, full_check=True)


def _both(weights, previous, image):
    """PyTorch's answer and that of the half-precision graph in ONNX Runtime."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    session = runtime.InferenceSession(
        to_fp16(_graph(weights)).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    oracle = TorchEngine(weights, device="cpu")
    depth = oracle.step(None, None, previous).depth
    feed = dict(zip(INPUTS, (previous, depth, image), strict=True))
    got, *motion = session.run(list(StepOutput._fields), feed)
    return oracle.step(previous, depth, image), RawPrediction(got, RawMotion(*motion))


@pytest.mark.parametrize("architecture", ["lite", "resnet18"])
def test_depth_stays_within_one_percent_of_pytorch(architecture):
    reference, got = _both(trained_like_weights(architecture), *images())
    assert check_acceptable(reference, got, "fp16", "onnxruntime").startswith("depth 0.")
    # It is half precision indeed: float32 agrees to 1e-6.
    assert np.median(np.abs(got.depth - reference.depth) / reference.depth) > 1e-5


def _real_pair():
    data = Path(os.environ.get("DEPTH_MOTION_DATA") or ROOT.parent / "shared" / "data")
    paths = sorted((data / "eval" / "kitti03_dev" / "image").glob("*"))[:2]
    if len(paths) < 2:
        pytest.skip(f"no kitti03_dev among the real data in {data}; set DEPTH_MOTION_DATA")
    return [cv2.cvtColor(cv2.resize(cv2.imread(str(p)), SIZE), cv2.COLOR_BGR2RGB) for p in paths]


# Black frames too: the normalisation of a flat image magnifies whatever rounding leaves.
@pytest.mark.parametrize(
    "pair", [_real_pair, lambda: [np.zeros((*SIZE[::-1], 3), np.uint8)] * 2], ids=["real", "black"]
)
def test_real_and_empty_frames_stay_within_the_limits(pair):
    reference, got = _both(trained_like_weights(), *pair())
    assert check_acceptable(reference, got, "fp16", "onnxruntime").startswith("depth 0.")


def test_a_graph_without_weights_has_the_types_of_a_complete_one(half_graph):
    template = to_fp16(onnx_cache.template(trained_like_weights().config, graph_cache()))
    assert template.graph.node == half_graph.graph.node
    assert [t.data_type for t in template.graph.initializer] == [
        t.data_type for t in half_graph.graph.initializer
    ]


def test_a_weight_beyond_half_precision_is_named():
    weights = trained_like_weights()
    name = "depth_net.encoder.stem.weight"
    large = weights.tensors[name].clone()
    large[0, 0, 0, 0] = 65520.0  # the first value that float16 rounds to infinity
    with pytest.raises(EngineError, match=f"{name}.*use precision 'fp32'"):
        to_fp16(_graph(Weights({**weights.tensors, name: large}, weights.metadata)))
