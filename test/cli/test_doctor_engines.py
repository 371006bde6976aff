"""``depth_motion doctor`` on GPUs, runtimes, weights and the cache."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from depth_motion_ros.cli.doctor import engines as doctor
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(0)
    return weights_of(DepthMotionNet(NetworkConfig("lite", 64, 32)), version="seven")


@pytest.mark.parametrize(
    ("driver", "sees", "cuda", "level", "words"),
    [
        (None, False, None, "ok", "no NVIDIA driver"),
        # CUDA_ERROR_NO_DEVICE: the container was started without its GPU.
        (100, False, "12.8", "warning", "cuInit says 100"),
        (0, False, None, "warning", "built without CUDA"),
        (0, False, "12.8", "warning", "driver is too old"),
    ],
)
def test_a_gpu_that_pytorch_does_not_use_is_told(
    driver: int | None, sees: bool, cuda: str | None, level: str, words: str
) -> None:
    finding = doctor.check_gpu(lambda: driver, lambda: sees, cuda)
    assert finding.level == level
    assert words in finding.what


@pytest.mark.parametrize(
    ("text", "level", "words"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic", "ok", "JetPack 6"),
        ("# R38 (release), REVISION: 2.0, GCID: 1", "ok", "JetPack 7"),
        ("# R35 (release), REVISION: 4.1, GCID: 1", "problem", "older than 3.10"),
        ("something else", "warning", "names no release"),
    ],
)
def test_a_jetson_is_known_by_its_release(
    tmp_path: Path, text: str, level: str, words: str
) -> None:
    path = tmp_path / "nv_tegra_release"
    assert doctor.check_jetson(path) is None
    path.write_text(text)
    finding = doctor.check_jetson(path)
    assert finding is not None
    assert finding.level == level
    assert words in finding.what


def test_tensorrt_is_named_with_its_version() -> None:
    def installed(name: str) -> str:
        if name != "tensorrt":
            raise metadata.PackageNotFoundError(name)
        return "10.14.1"

    def nothing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    assert "tensorrt 10.14.1 (experimental)" in doctor.check_tensorrt(installed).what
    assert "not installed" in doctor.check_tensorrt(nothing).what


def test_weights_are_read_or_the_reason_is_given(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    finding, tried = doctor.check_weights(str(path))
    assert finding.level == "problem"
    assert "No such file" in finding.what
    assert tried.version == "untrained"

    weights.to_file(path)
    finding, tried = doctor.check_weights(str(path))
    assert (finding.level, tried.version) == ("ok", "seven")
    assert "lite, 64x32" in finding.what
    assert doctor.check_weights("", packaged=path)[1].version == "seven"

    path.write_bytes(path.read_bytes()[:-100])
    assert "truncated" in doctor.check_weights(str(path))[0].what


def test_without_any_weights_the_network_is_called_untrained(tmp_path: Path) -> None:
    finding, _ = doctor.check_weights("", packaged=tmp_path / "none.safetensors")
    assert finding.level == "warning"
    assert "no trained weights" in finding.what


def test_an_engine_is_built_and_run_for_real(weights: Weights) -> None:
    finding = doctor.check_engine(weights, "torch")
    assert finding.level == "ok"
    assert f"torch {torch.__version__}" in finding.what


def test_an_engine_that_cannot_be_built_says_why(weights: Weights) -> None:
    def refuses(*_: object, engine: str) -> None:
        raise EngineError("no libnvinfer.so: install it")

    assert doctor.check_engine(weights, "auto", refuses).level == "problem"
    finding = doctor.check_engine(weights, "tensorrt", refuses)
    assert finding.level == "warning"
    assert "no libnvinfer.so" in finding.what


def test_an_engine_that_fails_at_work_is_closed_all_the_same(weights: Weights) -> None:
    class Fails:
        input_size = (64, 32)
        closed = False

        def step(self, *images: np.ndarray | None) -> None:
            raise EngineError("out of memory")

        def close(self) -> None:
            self.closed = True

    engine = Fails()
    finding = doctor.check_engine(weights, "auto", lambda *_, **__: engine)
    assert "out of memory" in finding.what
    assert engine.closed


def test_the_cache_must_be_writable_private_and_have_room(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "depth_motion_ros"
    assert doctor.check_cache(folder, lambda _: 5000 * MEGABYTE).level == "ok"
    assert not folder.exists()  # looking changes nothing
    full = doctor.check_cache(folder, lambda _: 12 * MEGABYTE)
    assert full.level == "warning"
    assert "12 MB" in full.what
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    shared = doctor.check_cache(folder, lambda _: 5000 * MEGABYTE)
    assert shared.fix == f"chmod 700 {folder}"


def test_a_home_that_cannot_be_written_is_told() -> None:
    # /proc is read-only for root, too.
    finding = doctor.check_cache(Path("/proc/nobody/.cache"))
    assert finding.level == "warning"
    assert "XDG_CACHE_HOME" in finding.fix
