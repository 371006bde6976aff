"""Full disks, read-only homes and SIGKILL while saving: nothing half-written is read as whole."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depth_motion_ros.cli.main import main
from depth_motion_ros.engines import private_files
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx.onnxruntime_engine import OnnxRuntimeEngine
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of
from depth_motion_ros.sources.files import write_atomically
from depth_motion_ros.sources.sequence.prepared import PreparedDataset

ROOT = Path(__file__).resolve().parents[2]
CONFIG = NetworkConfig("lite", 64, 32)
ROOM = 20_000  # bytes that still fit on the "disk": less than any of the files


def small_weights(version: str) -> Weights:
    torch.manual_seed(0)
    return weights_of(DepthMotionNet(CONFIG), version=version)


@contextmanager
def full_disk() -> Iterator[None]:
    """Files cannot grow beyond ROOM: what the kernel answers is what a full disk answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


WRITERS: dict[str, Callable[[Path], object]] = {
    "weights": lambda path: small_weights("new").to_file(path),
    "engine cache": lambda path: private_files.write_sealed(path, bytes(10 * ROOM)),
    "sequence": lambda path: write_atomically(path, bytes(10 * ROOM)),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path, what: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with full_disk(), pytest.raises(OSError, match=r"large|space"):
        WRITERS[what](path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_costs_the_engine_its_cache_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = small_weights("new")
    with full_disk():
        engine = OnnxRuntimeEngine(weights, cache_folder=tmp_path / "cache")
    assert engine.input_size == (64, 32)
    engine.close()
    assert "is not kept for the next start" in caplog.text
    assert os.listdir(tmp_path / "cache") == []


def test_a_full_disk_while_preparing_leaves_a_set_that_goes_on_once_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = tmp_path / "images", tmp_path / "set"
    images.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (240, 400, 3), dtype=np.uint8)
    for index in range(6):
        # The last ones are of noise that no JPEG makes small: more than there is room for.
        pixels = np.roll(noise, 9 * index, axis=1)
        calm = cv2.resize(pixels[::40, ::40], (400, 240)) if index < 4 else pixels
        cv2.imwrite(str(images / f"{index}.png"), calm)
    command = ["prepare", str(images), "--out", str(out), "--width", "384"]
    with full_disk():
        assert main(command) == 1
    assert re.search("large|space", "".join(capsys.readouterr()))
    for sequence in PreparedDataset(out):  # whatever is there is whole
        assert [sequence.frame(index).stamp for index in range(len(sequence))] == sequence.stamps
    assert main(command) == 0
    assert sum(len(sequence) for sequence in PreparedDataset(out)) == 6


def test_a_read_only_home_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/1")  # read-only for root, too
    monkeypatch.setattr(onnx_cache.onnx_graph, "trace_template", lambda config: _Graph())
    assert isinstance(onnx_cache.template(CONFIG), _Graph)
    assert "is not kept for the next start" in caplog.text


class _Graph:
    """Stands in for a traced graph, which costs seconds."""

    def SerializeToString(self) -> bytes:
        return b"graph"


SAVE = """
import sys, itertools
from pathlib import Path
import torch
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.engines import private_files
first, second = (Weights.from_file(path) for path in sys.argv[1:3])
target, sealed = Path(sys.argv[3]), Path(sys.argv[4])
print("begin", flush=True)
for weights in itertools.cycle((first, second)):
    weights.to_file(target)
    private_files.write_sealed(sealed, weights.version.encode() * 100_000)
"""


def child(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_killed_while_saving_the_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    """Whoever reads meanwhile sees a whole file, and so does whoever reads after the kill."""
    for version in ("first", "second"):
        small_weights(version).to_file(tmp_path / version)
    # The order of the keys in a header may differ from process to process; the length does not.
    whole = {(tmp_path / version).stat().st_size for version in ("first", "second")}
    target, sealed = tmp_path / "net.safetensors", tmp_path / "plan"
    moments = random.Random(0)
    for _ in range(2):
        process = child(SAVE, tmp_path / "first", tmp_path / "second", target, sealed)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begin\n"
        while not (target.exists() and sealed.exists()):
            assert process.poll() is None
            time.sleep(0.001)
        end = time.monotonic() + moments.uniform(0.3, 0.8)
        while time.monotonic() < end:
            assert len(target.read_bytes()) in whole
            private_files.read_sealed(sealed)
        process.kill()
        process.wait()
        assert Weights.from_file(target).version in ("first", "second")
        assert private_files.read_sealed(sealed)[:5] in (b"first", b"secon")


EXPORT = """
import os, signal, sys
from depth_motion_ros.engines.onnx.export import export_onnx
from depth_motion_ros.models.weights import Weights
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
export_onnx(Weights.from_file(sys.argv[1]), sys.argv[2])
"""


def test_killed_at_the_last_step_of_an_export_the_old_model_stands(tmp_path: Path) -> None:
    """The worst moment: all is written but the name."""
    pytest.importorskip("onnxscript", reason="the exporter needs it")
    small_weights("new").to_file(tmp_path / "net.safetensors")
    model = tmp_path / "net.onnx"
    model.write_bytes(b"old")
    process = child(EXPORT, tmp_path / "net.safetensors", model)
    assert process.wait(200) == -signal.SIGKILL
    assert model.read_bytes() == b"old"
    # What is left behind is hidden and does not bear a model's name.
    left = set(os.listdir(tmp_path)) - {"net.safetensors", "net.onnx"}
    assert all(name.startswith(".net.onnx.") and not name.endswith(".onnx") for name in left)
