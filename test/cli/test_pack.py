"""Weights on their way into a release."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from depth_motion_ros.cli.main import main
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of


def test_packed_weights_take_half_the_space_and_say_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = DepthMotionNet(NetworkConfig("lite", 64, 32))
    source, out = tmp_path / "run.safetensors", tmp_path / "packed.safetensors"
    weights_of(network, version="run-10", parent="none", unit="10").to_file(source)
    given = ["--version", "lite-9", "--licence", "CC0", "--depth-relative-std", "0.2"]
    assert main(["pack", "--weights", str(source), "--out", str(out), *given]) == 0
    packed = Weights.from_file(out)
    assert packed.metadata["version"] == "lite-9"
    assert packed.metadata["licence"] == "CC0"
    assert packed.metadata["depth_relative_std"] == "0.2"
    assert packed.metadata["parent"] == "none"
    assert packed.metadata["unit"] == "10"
    assert out.stat().st_size < 0.52 * source.stat().st_size
    for name, tensor in packed.tensors.items():
        torch.testing.assert_close(tensor.float(), network.state_dict()[name], rtol=1e-3, atol=1e-6)
    assert "lite-9" in capsys.readouterr().out
