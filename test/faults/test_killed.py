"""SIGKILL at random moments of training and exporting: nothing half-written is read as whole.

Preparing is in test_prepare_interrupted.py, saving in test_faults_disk.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.training_helpers import Room, write_sequence

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of
from depth_motion_ros.training.checkpoint import SafetensorsCheckpointIO

ROOT = Path(__file__).resolve().parents[2]
# A checkpoint after every step: much of the time goes into saving, where a kill does harm.
RECIPE = """
network: {input_width: 64, input_height: 32}
data: {batch_size: 2, known_intrinsics: true}
schedule: {steps: 12, residual_start: 4, residual_full: 8, norm_noise: 0}
record: {scalars_every: 1, checkpoint_every: 1, validate_every: 12, panels_every: 12}
"""
# Imports what takes seconds once; each command then runs in a fork of its own.
RUNNER = """
import importlib, json, os, sys
from depth_motion_ros.cli.main import main
for name in sys.argv[1:]:
    importlib.import_module(name)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(main(json.loads(line)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Runner:
    """Runs ``depth_motion`` commands one after the other, each in a process that can be killed."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, *modules], cwd=ROOT, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._line() == "ready"

    def _line(self) -> str:
        """The next line that is not the command's own."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "ready" or line.strip().lstrip("-").isdigit():
                return line.strip()
        raise AssertionError("the runner has ended")

    def start(self, *words: object) -> int:
        """Begin a command; the number of its process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def status(self) -> int:
        """The exit status of the command, once it has ended; negative: the signal."""
        return int(self._line())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture
def trainer() -> Iterator[Runner]:
    pytest.importorskip("lightning", reason="training needs it: depth_motion_ros[train]")
    runner = Runner("depth_motion_ros.cli.train", "depth_motion_ros.training.run")
    yield runner
    runner.close()


@pytest.fixture
def exporter() -> Iterator[Runner]:
    pytest.importorskip("onnxscript", reason="the exporter needs it: depth_motion_ros[cpu]")
    runner = Runner("depth_motion_ros.cli.export", "torch.onnx", "onnxscript", "onnxruntime")
    yield runner
    runner.close()


def test_training_killed_at_random_moments_goes_on_from_what_is_whole(
    trainer: Runner, tmp_path: Path
) -> None:
    sequence = write_sequence(Room(4, 64, 32), tmp_path / "room")
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(RECIPE)
    command = [
        "train", sequence, "--out", out, "--recipe", recipe, "--accelerator", "cpu", "--quiet",
        "--workers", "0", "--validation", sequence, "--validation-frames", "2",
    ]  # fmt: skip
    folder = out / "checkpoints"

    def checkpoints() -> list[Path]:
        return sorted(folder.glob("*.checkpoint")) if folder.is_dir() else []

    moments = random.Random(0)
    for _ in range(3):
        before = checkpoints()
        child = trainer.start(*command, *(["--resume"] if before else []))
        deadline = time.monotonic() + 100
        while checkpoints() == before and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        assert trainer.status() == -signal.SIGKILL, "it ended before it could be killed"
        assert checkpoints() != before
        for path in checkpoints():
            SafetensorsCheckpointIO().load_checkpoint(path)
        assert not (out / "weights.safetensors").exists()
    trainer.start(*command, "--resume")
    assert trainer.status() == 0
    assert Weights.from_file(out / "weights.safetensors").config == NetworkConfig("lite", 64, 32)


def test_exporting_killed_at_random_moments_leaves_the_old_model_or_the_new(
    exporter: Runner, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net, model = tmp_path / "net.safetensors", tmp_path / "net.onnx"
    weights_of(DepthMotionNet(NetworkConfig("lite", 64, 32))).to_file(net)
    begin = time.monotonic()
    exporter.start("export", "--weights", net, "--out", model)
    assert exporter.status() == 0
    takes = time.monotonic() - begin
    whole = model.stat().st_size
    model.write_bytes(b"old")
    moments = random.Random(0)
    for share in (0.2, 0.6, 0.9):  # of the time that it takes, and a little at random
        child = exporter.start("export", "--weights", net, "--out", model)
        time.sleep(takes * (share + moments.uniform(-0.1, 0.1)))
        with contextlib.suppress(ProcessLookupError):  # it was quicker this time
            os.kill(child, signal.SIGKILL)
        assert exporter.status() in (-signal.SIGKILL, 0)
        assert model.read_bytes() == b"old" or model.stat().st_size == whole
        model.write_bytes(b"old")
    exporter.start("export", "--weights", net, "--out", model)
    assert exporter.status() == 0
    assert model.stat().st_size == whole
