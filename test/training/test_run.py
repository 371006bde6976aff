"""Whole runs, tiny: killed and resumed, on two processes, with bad steps; what they write."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.training_helpers import Room, write_sequence

from depth_motion_ros.losses.objective import LossBreakdown, Objective
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.training import module as module_under_test
from depth_motion_ros.training import run as run_under_test
from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.guards import TrainingStoppedError
from depth_motion_ros.training.module import DepthMotionModule
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


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 200
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def _losses(out: Path) -> dict[int, float]:
    steps, values = read_curves(out / "curves")["loss"]
    return dict(zip(steps.tolist(), values.tolist(), strict=True))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of a run that nothing disturbed. With this recipe its length does not matter."""
    out = tmp_path_factory.mktemp("whole")
    _run(out, _tiny(**{"schedule.steps": 14, "record.checkpoint_every": 1000}))
    return _losses(out)


def _is_part_of(whole: dict[int, float], losses: dict[int, float], steps: int) -> bool:
    """Whether ``losses`` are those of the first ``steps``."""
    return losses == pytest.approx({step: whole[step] for step in range(steps)})


class _Command:
    """A sequence, a recipe, and the command that has trained on them undisturbed into ``out``."""

    def __init__(self, folder: Path) -> None:
        self.sequence = write_sequence(Room(6, 64, 32), folder / "room")
        self.recipe = folder / "tiny.yaml"
        self.recipe.write_text(TINY)
        self.out = folder / "whole"
        words = _command(self.sequence, self.out, self.recipe, "--workers", "0")
        done = subprocess.run(
            words, env=_environment(), capture_output=True, text=True, check=True, cwd=folder
        )
        self.said = done.stdout + done.stderr


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> _Command:
    return _Command(tmp_path_factory.mktemp("command"))


def test_a_run_tells_of_itself_and_advertises_nothing(command: _Command) -> None:
    assert "lit" not in command.said.lower().replace("split", "")
    assert "weights.safetensors" in command.said
    assert "TPU" not in command.said


def test_a_killed_run_resumes_as_if_nothing_had_been(tmp_path: Path, command: _Command) -> None:
    sequence, recipe, whole = command.sequence, command.recipe, command.out
    killed = tmp_path / "killed"
    # With loader processes here and without there: they must not matter either.
    process = subprocess.Popen(
        _command(sequence, killed, recipe, "--workers", "1"), env=_environment(), cwd=tmp_path
    )
    first = killed / "checkpoints" / "step_000000006.checkpoint"
    _wait_for(first.exists, process)
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


def test_a_run_writes_weights_that_say_where_they_come_from(tmp_path: Path, reports: None) -> None:
    path = _run(tmp_path / "run", _tiny(), licence="CC0-1.0", fast_dev_run=True)
    weights = Weights.from_file(path)
    assert weights.config.input_width == 64
    assert weights.metadata["trained_on"] == "room"
    assert weights.metadata["licence"] == "CC0-1.0"
    assert weights.metadata["parent"] == "none"
    recipe = parse_recipe(weights.metadata["recipe"])
    assert recipe == _tiny(**{"schedule.steps": 1})
    report = (path.parent / "report.html").read_text()
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


def test_a_foreign_run_is_not_resumed(tmp_path: Path) -> None:
    recipe = _tiny(**{"schedule.steps": 6})
    with pytest.raises(RecipeError, match="no checkpoint to resume"):
        _run(tmp_path, recipe, resume=True)
    _run(tmp_path, recipe)
    with pytest.raises(RecipeError, match="another optimiser"):
        _run(tmp_path, _tiny(**{"optimiser.learning_rate": 1e-3}), resume=True)


# Fewer than checkpoint_every, no multiple of it, and a multiple.
@pytest.mark.parametrize("steps", [1, 8, 12])
def test_a_finished_run_goes_on_with_more_steps(
    tmp_path: Path, whole: dict[int, float], steps: int
) -> None:
    _run(tmp_path / "run", _tiny(**{"schedule.steps": steps}))
    before = _losses(tmp_path / "run")
    _run(tmp_path / "run", _tiny(**{"schedule.steps": steps + 2}), resume=True)
    after = _losses(tmp_path / "run")
    assert {step: after[step] for step in before} == before
    assert _is_part_of(whole, after, steps + 2)


@pytest.mark.parametrize("left", ["everything", "weights", "checkpoints"])
def test_a_finished_run_is_not_overwritten(tmp_path: Path, left: str) -> None:
    recipe = _tiny(**{"schedule.steps": 2})
    weights = _run(tmp_path, recipe)
    if left == "weights":
        shutil.rmtree(tmp_path / "checkpoints")
    if left == "checkpoints":
        weights.unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RecipeError, match=r"(?s)holds.* run.*another folder"):
        _run(tmp_path, _tiny(**{"seed": 5, "schedule.steps": 2}))
    if left == "weights":
        with pytest.raises(RecipeError, match=r"--weights .*weights\.safetensors"):
            _run(tmp_path, recipe, resume=True)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    script = f"""
import fcntl, sys
lock = open({str(tmp_path / ".lock")!r}, "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", script], env=_environment(), text=True, **pipes)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(RecipeError, match="another run writes there right now"):
        _run(tmp_path, _tiny(**{"schedule.steps": 1}))
    other.communicate()
    _run(tmp_path, _tiny(**{"schedule.steps": 1}))


def test_trying_a_run_leaves_its_folder_to_the_run(tmp_path: Path) -> None:
    recipe = _tiny(**{"schedule.steps": 2})
    for _ in range(2):
        tried = _run(tmp_path, recipe, fast_dev_run=True)
    weights = _run(tmp_path, recipe)
    before = weights.read_bytes()
    assert _run(tmp_path, recipe, fast_dev_run=True) == tried
    assert tried != weights
    assert weights.read_bytes() == before
    with pytest.raises(RecipeError, match="leave out --resume"):
        _run(tmp_path, recipe, fast_dev_run=True, resume=True)


def _before(
    monkeypatch: pytest.MonkeyPatch, step: str, count: int, act: Callable[[], object]
) -> None:
    """Act once, in the midst of the ``count``-th training or validation step of the next run."""
    calls = itertools.count(1)
    original = getattr(DepthMotionModule, step)

    def wrapped(*arguments: Any) -> Any:
        if next(calls) == count:
            act()
        return original(*arguments)

    monkeypatch.setattr(DepthMotionModule, step, wrapped)


@pytest.mark.parametrize(
    ("step", "count", "taken"), [("training_step", 3, 3), ("validation_step", 1, 10)]
)
@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_an_interrupted_run_keeps_its_steps(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    whole: dict[int, float],
    step: str,
    count: int,
    taken: int,
    number: signal.Signals,
    ending: type[BaseException],
) -> None:
    recipe = _tiny(**{"schedule.steps": 14, "record.checkpoint_every": 1000})
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    _before(monkeypatch, step, count, lambda: os.kill(os.getpid(), number))
    with caplog.at_level("INFO", "depth_motion_ros"), pytest.raises(ending):
        _run(tmp_path / "run", recipe)
    monkeypatch.undo()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    (kept,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert f"{kept} is kept: go on with --resume" in caplog.text
    assert kept.stem == f"step_{taken:09d}"
    _run(tmp_path / "run", recipe, resume=True)
    assert _is_part_of(whole, _losses(tmp_path / "run"), 14)


def test_an_interrupt_before_the_first_step_says_that_nothing_was_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run_under_test, "initial_network", interrupted)
    with caplog.at_level("INFO", "depth_motion_ros"), pytest.raises(KeyboardInterrupt):
        _run(tmp_path, _tiny())
    assert "nothing was kept" in caplog.text
    monkeypatch.undo()
    _run(tmp_path, _tiny(**{"schedule.steps": 1}))  # the folder is free


_HANGS = """
import os, signal, sys, time
from depth_motion_ros.cli.main import main
from depth_motion_ros.training.module import DepthMotionModule

def hangs(*_):
    os.kill(os.getpid(), signal.SIGINT)
    print("first", flush=True)
    time.sleep(600)

DepthMotionModule.training_step = hangs
main(sys.argv[1:])
"""


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    sequence = write_sequence(Room(6, 64, 32), tmp_path / "room")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY)
    words = _command(sequence, tmp_path / "run", recipe, "--workers", "0")[3:]
    process = subprocess.Popen(
        [sys.executable, "-c", _HANGS, *words],
        env=_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert any(line == "first\n" for line in process.stdout)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=100) == -signal.SIGINT


def test_ctrl_c_in_a_terminal_reaches_the_loaders_too(tmp_path: Path) -> None:
    sequence = write_sequence(Room(6, 64, 32), tmp_path / "room")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.replace("steps: 30", "steps: 3000"))
    process = subprocess.Popen(
        _command(sequence, tmp_path / "run", recipe, "--workers", "2"),
        env=_environment(), cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _wait_for(lambda: any((tmp_path / "run").glob("checkpoints/*")), process)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 130, said
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    assert f"{newest} is kept" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("error", [OSError("disk gone"), SourceError("frame 3 is damaged")])
def test_steps_are_kept_where_a_source_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Breaks(Room):
        broken = False

        def image(self, index: int) -> Any:
            if self.broken:
                raise error
            return super().image(index)

    room = Breaks(6, 64, 32)
    _before(monkeypatch, "training_step", 3, lambda: setattr(room, "broken", True))
    with pytest.raises(type(error)):
        _run(tmp_path, _tiny(**{"record.checkpoint_every": 1000}), room)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert kept.stem == "step_000000003"


def test_progress_counts_the_steps_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(tmp_path, _tiny(**{"schedule.steps": 2}), progress=True)
    _run(tmp_path, _tiny(**{"schedule.steps": 4}), progress=True, resume=True)
    shown = capsys.readouterr().out
    for text in ("1/2", "2/2", "3/4", "4/4", "loss="):
        assert text in shown
    assert "Epoch" not in shown
    assert "v_num" not in shown


def test_collapse_is_told_in_words(tmp_path: Path) -> None:
    # An untrained network's depth is nearly constant: with no grace that is the trap it is in.
    changes = {"guards.grace": 0, "guards.patience": 1, "guards.stop_on_collapse": "true"}
    with pytest.raises(TrainingStoppedError, match="To change: "):
        _run(tmp_path, _tiny(**changes))
