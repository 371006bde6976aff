"""Weights files: what goes in comes out, and each kind of damage has its own clear error."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from depth_motion_ros.models import weights as weights_module
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import (
    Weights,
    WeightsArchitectureError,
    WeightsFileError,
    WeightsTensorError,
    WeightsValueError,
    build_network,
    weights_of,
)


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(0)
    network = DepthMotionNet(NetworkConfig("lite", 96, 64))
    return weights_of(network, version="7", trained_on="nothing", licence="Apache-2.0")


def test_a_file_brings_back_tensors_metadata_and_results(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.to_file(path)
    again = Weights.from_file(path)
    assert again.metadata == weights.metadata
    assert again.version == "7"
    assert again.config == NetworkConfig("lite", 96, 64)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(
            build_network(again).depth_net(image), build_network(weights).depth_net(image)
        )
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_half_precision_file_is_half_as_large_and_builds_float32(weights: Weights) -> None:
    half = Weights.from_bytes(weights.half().to_bytes())
    network = build_network(half)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert len(half.to_bytes()) < 0.55 * len(weights.to_bytes())


def test_a_built_network_does_not_share_memory_with_its_weights(weights: Weights) -> None:
    before = weights.tensors["depth_net.head.bias"].clone()
    with torch.no_grad():
        build_network(weights).depth_net.head.bias.add_(1.0)  # type: ignore[union-attr]
    assert torch.equal(weights.tensors["depth_net.head.bias"], before)


@pytest.mark.parametrize("keep", [0, 5, 100, 5000, -1])
def test_a_truncated_file_is_told(weights: Weights, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(weights.to_bytes()[:keep])
    with pytest.raises(WeightsFileError, match=r"cut\.safetensors: .*truncated"):
        Weights.from_file(path)


def test_a_missing_file_and_a_foreign_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsFileError, match="No such file"):
        Weights.from_file(tmp_path / "absent.safetensors")
    foreign = b"\x10\0\0\0\0\0\0\0not json at all!" + bytes(64)
    with pytest.raises(WeightsFileError, match="not a safetensors file"):
        Weights.from_bytes(foreign)


def test_an_oversized_file_is_refused_unread(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    weights.to_file(path)
    monkeypatch.setattr(weights_module, "MAX_BYTES", 1000)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("was read"))
    with pytest.raises(WeightsFileError, match="more than any weights file"):
        Weights.from_file(path)


def test_a_wrong_architecture_is_told(weights: Weights) -> None:
    data = safetensors.torch.save(weights.tensors, {**weights.metadata, "architecture": "vit"})
    with pytest.raises(WeightsArchitectureError, match="architecture is 'vit'"):
        Weights.from_bytes(data)
    with pytest.raises(WeightsArchitectureError, match="no depth_motion_ros weights file"):
        Weights.from_bytes(safetensors.torch.save(weights.tensors))


def test_missing_surplus_and_misshapen_tensors_are_told_by_name(weights: Weights) -> None:
    name = "depth_net.head.bias"
    missing = {k: v for k, v in weights.tensors.items() if k != name}
    with pytest.raises(WeightsTensorError, match=f"missing, the first is '{name}'"):
        Weights(missing, weights.metadata)
    with pytest.raises(WeightsTensorError, match="do not belong to 'lite', the first is 'extra'"):
        Weights({**weights.tensors, "extra": torch.zeros(1)}, weights.metadata)
    with pytest.raises(WeightsTensorError, match=r"has shape \(2,\), 'lite' needs \(1,\)"):
        Weights({**weights.tensors, name: torch.zeros(2)}, weights.metadata)
    with pytest.raises(WeightsTensorError, match="not floating point"):
        Weights({**weights.tensors, name: torch.zeros(1, dtype=torch.int32)}, weights.metadata)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_told(weights: Weights, value: float) -> None:
    bad = {**weights.tensors, "depth_net.head.bias": torch.tensor([value])}
    with pytest.raises(WeightsValueError, match=r"depth_net\.head\.bias"):
        Weights(bad, weights.metadata)


def test_a_failed_write_leaves_the_old_file(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    weights.to_file(path)
    before = path.read_bytes()

    def disk_full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights_module.os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        weights.to_file(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
