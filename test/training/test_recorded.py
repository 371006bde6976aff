"""Whole runs in which what was triangulated from recorded video judges its pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.training_helpers import Room, abs_rel, write_sequence

from depth_motion_ros.cli.main import main
from depth_motion_ros.cli.training_data import open_frames
from depth_motion_ros.models.motion_net import MotionNet
from depth_motion_ros.models.weights import Weights, build_network
from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.data.simulated import RenderedPairs
from depth_motion_ros.training.recipe import Recipe, RecipeError, parse_recipe
from depth_motion_ros.training.report import read_curves
from depth_motion_ros.training.run import RunOptions, initial_network, train

WIDTH, HEIGHT, FRAMES = 192, 96, 8
# Augmentation and noise are on: what they draw must follow from the step, too.
RECIPE = """
network: {input_width: 64, input_height: 32, translation_scale: 0.05}
data: {batch_size: 2, known_intrinsics: true, recorded: triangulated}
augment: {min_crop: 0.8, brightness: 0.2}
optimiser: {learning_rate: 0.001}
schedule: {steps: 6, residual_start: 100, residual_full: 200, norm_noise: 0.1, norm_noise_steps: 4}
guards: {watch_every: 2}
record: {scalars_every: 1, checkpoint_every: 3, validate_every: 100, panels_every: 100}
"""
ONLY_DEPTH = {f"triangulated.{term}": 0 for term in ("rotation", "translation", "focal")}
LEARNING = {
    "network.input_width": 128,
    "network.input_height": 64,
    "augment.min_crop": 1.0,
    "optimiser.learning_rate": 0.002,
    "schedule.steps": 60,
    "schedule.norm_noise": 0,
}
EXACT_DEPTH = {f"exact.{term}": 0 for term in ("rotation", "translation", "residual", "focal")}


@pytest.fixture(scope="module")
def room() -> Room:
    return Room(FRAMES, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def prepared(room: Room, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a user has after ``prepare --triangulate``; the true depth is not in it."""
    folder = tmp_path_factory.mktemp("recorded")
    source = str(write_sequence(room, folder / "room"))
    out = str(folder / "set")
    words = ["prepare", source, "--out", out, "--width", str(WIDTH), "--triangulate"]
    assert main(words) == 0
    assert not (folder / "set" / "room" / "depth").exists()
    return out


def recipe(**changes: Any) -> Recipe:
    return parse_recipe(RECIPE).overridden([f"{key}={value}" for key, value in changes.items()])


def run(out: Path, prepared: str, chosen: Recipe, **options: Any) -> dict[str, dict[int, float]]:
    """Train; the curves by name, each by step."""
    return run_on(out, TrainingData(recorded=[(open_frames(prepared), None)]), chosen, **options)


def run_on(
    out: Path, data: TrainingData, chosen: Recipe, **options: Any
) -> dict[str, dict[int, float]]:
    options = {"accelerator": "cpu", "workers": 0, "progress": False, **options}
    train(chosen, data, RunOptions(out, **options))
    curves = read_curves(out / "curves")
    return {
        name: dict(zip(steps.tolist(), values.tolist(), strict=True))
        for name, (steps, values) in curves.items()
    }


@torch.no_grad()
def error_of(weights: Path, room: Room) -> float:
    """Mean AbsRel against the room's true depth, which nothing has learned from."""
    network = build_network(Weights.from_file(weights))
    errors = []
    for image, depth in zip(room.images, room.depths, strict=True):
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        small = torch.nn.functional.interpolate(tensor, (64, 128), mode="area")
        found = network.depth_net(small)
        full = torch.nn.functional.interpolate(found, (HEIGHT, WIDTH), mode="bilinear")
        errors.append(abs_rel(full[0, 0].numpy(), depth))
    return float(np.mean(errors))


def test_depth_is_learned_from_the_video_itself_and_motion_is_left_alone(
    room: Room, prepared: str, tmp_path: Path
) -> None:
    chosen = recipe(**ONLY_DEPTH, **LEARNING)
    curves = run(tmp_path, prepared, chosen)
    assert {name for name in curves if "/" in name} == {"triangulated/shape"}
    constant = np.mean([abs_rel(np.ones_like(depth), depth) for depth in room.depths])
    # Measured 0.10 in 60 steps, from 0.21; a constant depth has 0.19.
    assert constant > 0.18
    assert error_of(tmp_path / "weights.safetensors", room) < 0.13
    before = initial_network(chosen).motion_net.state_dict()
    after = build_network(Weights.from_file(tmp_path / "weights.safetensors")).motion_net
    for name, tensor in after.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0, msg=name)


def test_a_step_of_depth_alone_never_runs_motion(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded and rendered pairs share it: MotionNet is most of the work."""

    def forward(self: MotionNet, *images: object, **more: object) -> object:
        # The report at the end shows predictions of motion, too: only the steps may not.
        assert not self.training, "MotionNet was run"
        return original(self, *images, **more)

    original = MotionNet.forward
    monkeypatch.setattr(MotionNet, "forward", forward)
    chosen = recipe(
        **ONLY_DEPTH, **EXACT_DEPTH, **{"data.supervision": "exact", "schedule.steps": 2}
    )
    data = TrainingData(
        recorded=[(open_frames(prepared), None)],
        simulator=RenderedPairs(chosen, {"indoor": 1.0}),
        simulated_per_step=1,
    )
    curves = run_on(tmp_path, data, chosen)
    for name in ("triangulated/shape", "exact/shape", "exact/metric"):
        assert all(np.isfinite(value) and value > 0 for value in curves[name].values()), name
    # One pair of each: the loss is the mean of the two.
    for step, loss in curves["loss"].items():
        exact = curves["exact/shape"][step] + curves["exact/metric"][step]
        assert loss == pytest.approx((curves["triangulated/shape"][step] + exact) / 2, rel=1e-4)


def test_motion_is_judged_too_unless_told_otherwise(prepared: str, tmp_path: Path) -> None:
    chosen = recipe()
    curves = run(tmp_path, prepared, chosen)
    terms = {name for name in curves if name.startswith(("triangulated/", "loss/"))}
    assert terms == {f"triangulated/{n}" for n in ("shape", "rotation", "translation", "focal")}
    assert all(curves["triangulated/translation"][step] > 0 for step in range(6))
    before = initial_network(chosen).motion_net.state_dict()
    after = build_network(Weights.from_file(tmp_path / "weights.safetensors")).motion_net
    assert any(not torch.equal(t, before[name]) for name, t in after.state_dict().items())


def test_both_judges_share_a_step(prepared: str, tmp_path: Path) -> None:
    curves = run(tmp_path, prepared, recipe(**{"data.recorded": "both", "schedule.steps": 2}))
    assert {name.partition("/")[0] for name in curves if "/" in name} > {"loss", "triangulated"}
    for step, loss in curves["loss"].items():
        parts = [v[step] for n, v in curves.items() if n.startswith(("loss/", "triangulated/"))]
        assert loss == pytest.approx(sum(parts), rel=1e-4)


def test_triangulated_and_rendered_pairs_with_motion_share_a_step(
    prepared: str, tmp_path: Path
) -> None:
    chosen = recipe(**{"data.supervision": "exact", "schedule.steps": 2})
    data = TrainingData(
        recorded=[(open_frames(prepared), None)],
        simulator=RenderedPairs(chosen, {"indoor": 1.0}),
        simulated_per_step=1,
    )
    curves = run_on(tmp_path, data, chosen)
    assert not any(name.startswith(("loss/", "simulated/")) for name in curves)
    for step, loss in curves["loss"].items():
        parts = [v[step] for n, v in curves.items() if n.startswith(("exact/", "triangulated/"))]
        assert loss == pytest.approx(sum(parts) / 2, rel=1e-4)


@pytest.mark.parametrize("terms", [ONLY_DEPTH, {}], ids=["only depth", "with motion"])
def test_a_resumed_run_repeats_the_whole_one_with_any_number_of_workers(
    prepared: str, tmp_path: Path, terms: dict[str, int]
) -> None:
    chosen = recipe(**terms)
    whole = run(tmp_path / "whole", prepared, chosen)
    assert len(whole["loss"]) == 6
    # It ends after three steps, and is then given more.
    run(tmp_path / "parts", prepared, chosen.with_steps(3), workers=1)
    resumed = run(tmp_path / "parts", prepared, chosen, workers=2, resume=True)
    assert resumed["loss"] == whole["loss"]
    one, other = (
        Weights.from_file(tmp_path / name / "weights.safetensors") for name in ("whole", "parts")
    )
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(other.tensors[name], tensor, rtol=0, atol=0, msg=name)


def test_a_source_that_was_not_triangulated_is_refused_before_anything_is_written(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(write_sequence(room, tmp_path / "yesterday"))
    with pytest.raises(RecipeError, match="yesterday has none"):
        run(tmp_path / "run", source, recipe())
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    words = ["train", source, "--recipe", str(tmp_path / "recipe.yaml"), "--quiet"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 1
    assert "prepare with --triangulate" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_resuming_with_other_weights_of_the_judge_is_refused(prepared: str, tmp_path: Path) -> None:
    run(tmp_path, prepared, recipe(**ONLY_DEPTH).with_steps(3))
    with pytest.raises(RecipeError, match="another triangulated"):
        run(tmp_path, prepared, recipe(), resume=True)
    with pytest.raises(RecipeError, match="another data"):
        run(tmp_path, prepared, recipe(**ONLY_DEPTH, **{"data.recorded": "both"}), resume=True)


@pytest.fixture(scope="module")
def parent(prepared: str, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    out = tmp_path_factory.mktemp("parent")
    run(out, prepared, recipe(**ONLY_DEPTH).with_steps(1))
    return Weights.from_file(out / "weights.safetensors")


@torch.no_grad()
def unit_of(weights: Weights, room: Room) -> float:
    """Mean log depth over the room's first image."""
    image = torch.from_numpy(room.images[0]).permute(2, 0, 1)[None] / 255
    small = torch.nn.functional.interpolate(image, (64, 128), mode="area")
    return float(build_network(weights).depth_net(small).log().mean())


def test_a_run_can_be_held_to_the_unit_of_length_that_it_began_with(
    room: Room, prepared: str, parent: Weights, tmp_path: Path
) -> None:
    drift = {}
    for weight in (0.0, 10.0):
        chosen = recipe(**ONLY_DEPTH, **LEARNING, **{"triangulated.unit": weight})
        out = tmp_path / str(weight)
        curves = run(out, prepared, chosen, parent=parent)
        after = Weights.from_file(out / "weights.safetensors")
        drift[weight] = abs(unit_of(after, room) - unit_of(parent, room))
        assert ("triangulated/unit" in curves) == (weight > 0)
    assert curves["triangulated/unit"][0] < 1e-3
    assert drift[10.0] < 0.25 * drift[0.0]


def test_the_unit_is_that_of_the_beginning_after_resuming_without_weights(
    prepared: str, parent: Weights, tmp_path: Path
) -> None:
    chosen = recipe(**ONLY_DEPTH, **{"triangulated.unit": 1.0})
    whole = run(tmp_path / "whole", prepared, chosen, parent=parent)
    run(tmp_path / "parts", prepared, chosen.with_steps(3), parent=parent)
    resumed = run(tmp_path / "parts", prepared, chosen, resume=True)
    assert resumed["triangulated/unit"] == whole["triangulated/unit"]


def test_there_is_no_unit_to_keep_without_weights(prepared: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="name them with --weights"):
        run(tmp_path / "run", prepared, recipe(**ONLY_DEPTH, **{"triangulated.unit": 1.0}))
    assert not (tmp_path / "run").exists()
