"""Whole runs, tiny: killed and resumed, on two processes, with bad steps; what they write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.training_helpers import Room, write_sequence

from depth_motion_ros.losses.objective import LossBreakdown, Objective
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.training import module as module_under_test
from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.guards import TrainingStoppedError
from depth_motion_ros.training.recipe import Recipe, RecipeError, parse_recipe
from depth_motion_ros.training.report import read_curves
from depth_motion_ros.training.run import RunOptions, train

ROOT = Path(__file__).resolve().parents[2]
TINY = """
network: {input_width: 64, input_height: 32}
data: {batch_size: 2, known_intrinsics: true}
augment: {brightness: 0.2, gray: 0.2}
optimiser: {ema_decay: 0.9, warmup_steps: 4}
schedule: {steps: 30, residual_start: 4, residual_full: 12, norm_noise_steps: 8, norm_noise: 0.2}
guards: {watch_every: 3}
record: {scalars_every: 1, checkpoint_every: 6, validate_every: 10, panels_every: 10}
"""


def _tiny(**changes: Any) -> Recipe:
    return parse_recipe(TINY).overridden([f"{key}={value}" for key, value in changes.items()])


def _run(out: Path, recipe: Recipe, room: Room | None = None, **options: Any) -> Path:
    room = room or Room(6, 64, 32)
    data = TrainingData(recorded=[([room], None)], validation=[room], validation_frames=2)
    options = {"accelerator": "cpu", "workers": 0, "progress": False, **options}
    return train(recipe, data, RunOptions(out, **options))


def _command(sequence: Path, out: Path, recipe: Path, *more: str) -> list[str]:
    words = [sys.executable, "-m", "depth_motion_ros.cli.main", "train", str(sequence)]
    words += ["--out", str(out), "--recipe", str(recipe), "--accelerator", "cpu", "--quiet"]
    words += ["--validation", str(sequence), "--validation-frames", "2"]
    return [*words, *more]


def _environment() -> dict[str, str]:
    # One thread: sums in another order would be other sums.
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def _losses(out: Path) -> dict[int, float]:
    steps, values = read_curves(out / "curves")["loss"]
    return dict(zip(steps.tolist(), values.tolist(), strict=True))


def test_a_killed_run_resumes_as_if_nothing_had_been(tmp_path: Path) -> None:
    sequence = write_sequence(Room(6, 64, 32), tmp_path / "room")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(
        _command(sequence, whole, recipe, "--workers", "0"),
        env=_environment(), check=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    # With loader processes here and without there: they must not matter either.
    process = subprocess.Popen(
        _command(sequence, killed, recipe, "--workers", "1"), env=_environment(), cwd=tmp_path
    )
    first = killed / "checkpoints" / "step_000000006.checkpoint"
    deadline = time.monotonic() + 200
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    subprocess.run(
        _command(sequence, killed, recipe, "--resume"),
        env=_environment(), check=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    one, other = _losses(whole), _losses(killed)
    assert set(one) == set(range(30))
    assert other == one
    a, b = (Weights.from_file(out / "weights.safetensors") for out in (whole, killed))
    for name, tensor in a.tensors.items():
        torch.testing.assert_close(b.tensors[name], tensor, rtol=0, atol=0)
    results = [json.loads((out / "validation.json").read_text()) for out in (whole, killed)]
    assert results[0] == results[1]
    assert set(results[0]) == {"room", "mean"}


def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    sequence = write_sequence(Room(8, 64, 32), tmp_path / "room")
    recipe = tmp_path / "tiny.yaml"
    # Norm noise is drawn by each process for itself. A small rate keeps Adam, whose first steps
    # are the sign of the gradient, from blowing up the rounding of gradients near zero.
    recipe.write_text(
        _tiny(**{
            "data.batch_size": 4, "schedule.norm_noise": 0, "schedule.steps": 6,
            "optimiser.learning_rate": 1e-5,
        }).to_yaml()
    )  # fmt: skip
    curves = []
    for devices in ("1", "2"):
        subprocess.run(
            _command(sequence, tmp_path / devices, recipe, "--workers=0", f"--devices={devices}"),
            env=_environment(), check=True, timeout=200, cwd=tmp_path,
        )  # fmt: skip
        curves.append(read_curves(tmp_path / devices / "curves"))
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(curves[1][name][1], curves[0][name][1], rtol=0, atol=1e-4)
    one, two = (Weights.from_file(tmp_path / n / "weights.safetensors") for n in ("1", "2"))
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], tensor, rtol=0, atol=1e-4)


def test_a_run_writes_weights_that_say_where_they_come_from(tmp_path: Path) -> None:
    path = _run(tmp_path / "run", _tiny(), licence="CC0-1.0", fast_dev_run=True)
    weights = Weights.from_file(path)
    assert weights.config.input_width == 64
    assert weights.metadata["trained_on"] == "room"
    assert weights.metadata["licence"] == "CC0-1.0"
    assert weights.metadata["parent"] == "none"
    recipe = parse_recipe(weights.metadata["recipe"])
    assert recipe == _tiny(**{"schedule.steps": 1})
    report = (tmp_path / "run" / "report.html").read_text()
    assert report.count("data:image/png;base64,") >= 1
    assert "focal_error" in report
    # And they can be gone on from.
    again = _run(tmp_path / "next", _tiny(), fast_dev_run=True, parent=weights)
    assert Weights.from_file(again).metadata["parent"] == weights.version


class _NotFinite:
    """The objective, but NaN in the given calls."""

    def __init__(self, calls: set[int]) -> None:
        self._calls, self._count = calls, -1

    def __call__(self, weights: Any) -> Any:
        objective = Objective(weights)

        def judge(*arguments: Any) -> LossBreakdown:
            self._count += 1
            found = objective(*arguments)
            bad = float("nan") if self._count in self._calls else 1.0
            return LossBreakdown(found.total * bad, found.terms, found.maps)

        return judge


def test_a_run_tells_of_itself_and_advertises_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sequence = write_sequence(Room(4, 64, 32), tmp_path / "room")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    subprocess.run(
        _command(sequence, tmp_path / "run", recipe, "--workers", "0", "--fast-dev-run"),
        env=_environment(), check=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    said = "".join(capfd.readouterr())
    assert "lit" not in said.lower().replace("split", "")
    assert "weights.safetensors" in said


def test_a_non_finite_step_is_skipped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_under_test, "Objective", _NotFinite({2, 4}))
    path = _run(tmp_path, _tiny(**{"schedule.steps": 6}))
    curves = read_curves(tmp_path / "curves")
    assert curves["skipped_steps"][1].tolist() == [0, 0, 1, 1, 2, 2]
    assert np.isnan(curves["loss"][1]).tolist() == [False, False, True, False, True, False]
    assert all(torch.isfinite(t).all() for t in Weights.from_file(path).tensors.values())


def test_many_in_a_row_stop_the_run_and_name_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_under_test, "Objective", _NotFinite(set(range(7, 30))))
    with pytest.raises(
        TrainingStoppedError, match=r"(?s)3 steps in a row.*step_000000006\.checkpoint"
    ):
        _run(tmp_path, _tiny(**{"guards.max_skipped": 3}))


def test_a_finished_or_foreign_run_is_not_overwritten(tmp_path: Path) -> None:
    recipe = _tiny(**{"schedule.steps": 6})
    with pytest.raises(RecipeError, match="no checkpoint to resume"):
        _run(tmp_path, recipe, resume=True)
    _run(tmp_path, recipe)
    with pytest.raises(RecipeError, match="holds a run already"):
        _run(tmp_path, recipe)
    with pytest.raises(RecipeError, match="another optimiser"):
        _run(tmp_path, _tiny(**{"optimiser.learning_rate": 1e-3}), resume=True)
    # A longer run of the same recipe is welcome.
    before = _losses(tmp_path)
    _run(tmp_path, _tiny(**{"schedule.steps": 8}), resume=True)
    assert set(_losses(tmp_path)) == set(range(8))
    assert {step: _losses(tmp_path)[step] for step in before} == before


def test_collapse_is_told_in_words(tmp_path: Path) -> None:
    # An untrained network's depth is nearly constant: with no grace that is the trap it is in.
    changes = {"guards.grace": 0, "guards.patience": 1, "guards.stop_on_collapse": "true"}
    with pytest.raises(TrainingStoppedError, match="To change: "):
        _run(tmp_path, _tiny(**changes))
