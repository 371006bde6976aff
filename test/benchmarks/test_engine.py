from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bound import MachineRates, StepWork, work_of
from benchmarks.engine import main
from depth_motion_ros.engines.step import Step
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet


@pytest.mark.parametrize("architecture", ["lite", "resnet18"])
def test_the_work_is_what_pytorch_counts(architecture):
    config = NetworkConfig(architecture, 96, 64)
    step = Step(DepthMotionNet(config)).eval()
    image = torch.zeros(64, 96, 3, dtype=torch.uint8)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        step(image, torch.ones(64, 96), image)
    assert work_of(config).flops == counter.get_total_flops()


def test_each_convolution_reads_and_writes_once():
    # The head of the lite DepthNet alone: 8 channels in, 1 out, 3 x 3 weights, at full size.
    config = NetworkConfig("lite", 96, 64)
    pixels = 96 * 64
    head = 9 * pixels + 8 * 9
    values = work_of(config).values
    assert values > head
    parameters = sum(
        layer.weight.numel()
        for layer in DepthMotionNet(config).modules()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    )
    # Maps grow with the image, weights do not.
    large = work_of(config.sized(192, 64)).values
    assert large - parameters == pytest.approx(2 * (values - parameters), rel=0.01)


def test_the_slower_of_computing_and_moving_bounds():
    machine = MachineRates(flops_per_s=1e9, bytes_per_s=1e8)
    assert machine.bound_s(StepWork(flops=10**9, values=10**6), 4) == 1.0
    assert machine.bound_s(StepWork(flops=10**9, values=10**8), 4) == 4.0
    assert machine.bound_s(StepWork(flops=10**9, values=10**8), 2) == 2.0


def test_every_engine_is_measured_or_named_with_the_reason(tmp_path, capsys):
    pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    before = torch.get_num_threads()
    path = tmp_path / "result.json"
    words = ["--size", "96x64", "--steps", "3", "--warmup", "1"]
    try:
        assert main([*words, "--threads", "1", "--json", str(path)]) == 0
    finally:
        torch.set_num_threads(before)
    result = json.loads(path.read_text())
    named = {"torch cpu", "onnxruntime", "openvino", "torch cuda fp32", "torch cuda fp16"}
    named |= {"tensorrt (experimental) fp32", "tensorrt (experimental) fp16"}
    assert {*result["engines"], *result["absent"]} == named
    printed = capsys.readouterr().out
    assert all(f"{name}: {reason}" in printed for name, reason in result["absent"].items())
    for name in ("torch cpu", "onnxruntime"):
        row = result["engines"][name]
        assert row["precision"] == "fp32"
        assert len(row["samples_ms"]) == 3
        assert 0 < row["step_ms"]["p50"] <= row["step_ms"]["p95"]
        assert row["depth_difference"] < 1e-4
        assert row["swap_s"] > 0
        assert row["start_s"] > 0
        assert row["share_of_bound"] == pytest.approx(row["bound_ms"] / row["step_ms"]["p50"])
    assert result["engines"]["onnxruntime"]["build_s"] > 0


@pytest.mark.parametrize("words", [["--steps", "0"], ["--warmup", "-1"]])
def test_no_steps_is_an_error(words, capsys):
    assert main(words) == 1
    assert "at least 1 and 0" in capsys.readouterr().err
