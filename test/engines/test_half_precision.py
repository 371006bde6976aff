from __future__ import annotations

import pytest
import torch
from support.engine_helpers import images, trained_like_weights
from torch import nn

from depth_motion_ros.engines.acceptance import check_acceptable
from depth_motion_ros.engines.half_precision import halve
from depth_motion_ros.engines.interface import EngineError, RawMotion, RawPrediction
from depth_motion_ros.engines.step import Step
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.norm import RandomizedLayerNorm
from depth_motion_ros.models.weights import build_network


def _halved(weights):
    return halve(Step(build_network(weights)).eval().requires_grad_(False))


def _run(step, *arrays):
    with torch.inference_mode():
        return step(*(torch.from_numpy(array.copy()) for array in arrays))


# Black frames too: the normalisation of a flat image magnifies whatever rounding leaves.
@pytest.mark.parametrize("light", [1, 0], ids=["lit", "black"])
@pytest.mark.parametrize("architecture", ["lite", "resnet18"])
def test_depth_and_geometry_stay_within_the_limits(architecture, light):
    weights = trained_like_weights(architecture)
    previous, image = (light * image for image in images())
    oracle = TorchEngine(weights, device="cpu")
    depth = oracle.step(None, None, previous).depth
    output = _run(_halved(weights), previous, depth, image)
    assert {tensor.dtype for tensor in output} == {torch.float32}
    got_depth, *motion = (tensor.numpy() for tensor in output)
    got = RawPrediction(got_depth, RawMotion(*motion))
    figures = check_acceptable(oracle.step(previous, depth, image), got, "fp16", "torch")
    assert figures.startswith("depth 0.")


def test_the_large_convolutions_compute_in_half_and_geometry_in_single():
    step = _halved(trained_like_weights())
    types = {}
    for name, layer in step.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, RandomizedLayerNorm)):
            layer.register_forward_hook(
                lambda layer, inputs, output, name=name: types.update(
                    {name: {inputs[0].dtype, layer.weight.dtype}}
                )
            )
    previous, image = images()
    _run(step, previous, torch.ones(image.shape[:2]).numpy(), image)
    # The same as in the half-precision ONNX graph, see test_onnx_precision.py.
    heads = {f"motion_net.{name}" for name in ("pose", "field", "focal", "centre")}
    heads |= {f"motion_net.refinements.{i}.out" for i in range(8)} | {"depth_net.head"}
    norms = {n for n, m in step.named_modules() if isinstance(m, RandomizedLayerNorm)}
    assert {n for n, found in types.items() if found == {torch.float32}} == heads
    # Maps are halves, what they are scaled with is not: the statistics are then sums of float32.
    assert {n for n, found in types.items() if len(found) == 2} == norms
    assert len(types) == 75 + len(norms)


def test_a_weight_beyond_half_precision_is_named():
    weights = trained_like_weights()
    name = "depth_net.encoder.stem.weight"
    weights.tensors[name] = torch.full_like(weights.tensors[name], 1e6)
    with pytest.raises(EngineError, match=r"'depth_net\.encoder\.stem\.weight'.*65504.*'fp32'"):
        _halved(weights)
