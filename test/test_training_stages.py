"""Runs that learn depth first and motion apart from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from depth_motion_ros.models.weights import Weights
from depth_motion_ros.training.datamodule import TrainingData
from depth_motion_ros.training.options import RecipeError
from depth_motion_ros.training.recipe import Recipe, parse_recipe
from depth_motion_ros.training.run import RunOptions, initial_network, train
from depth_motion_ros.training.simulated import RenderedPairs

TINY = """
network: {input_width: 64, input_height: 32}
data: {batch_size: 2, supervision: exact, simulated_reuse: 2}
schedule: {steps: 3, residual_start: 0, residual_full: 0}
augment: {shade: 0.5}
"""
DEPTH_ONLY = ["exact.rotation=0", "exact.translation=0", "exact.residual=0", "exact.focal=0"]


def _run(out: Path, recipe: Recipe, **options: Weights) -> Weights:
    data = TrainingData(
        recorded=[],
        simulator=RenderedPairs(recipe, {"yard": 1.0}),
        simulated_per_step=2,
        simulated_names=["sim:yard"],
        validation=[],
    )
    return Weights.from_file(
        train(recipe, data, RunOptions(out, workers=0, progress=False, **options))  # type: ignore[arg-type]
    )


def _changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_depth_first_then_motion_with_depth_frozen_then_both_joined(tmp_path: Path) -> None:
    recipe = parse_recipe(TINY)
    new = {k: v.clone() for k, v in initial_network(recipe).state_dict().items()}
    depth = _run(tmp_path / "depth", recipe.overridden(DEPTH_ONLY))
    assert _changed(new, dict(depth.tensors)) == {"depth_net"}

    frozen = recipe.overridden(["schedule.depth_frozen=3", "data.supervision=both"])
    motion = _run(tmp_path / "motion", frozen, parent=depth)
    assert _changed(dict(depth.tensors), dict(motion.tensors)) == {"motion_net"}

    # Frozen for the first of three steps only: both parts learn.
    thawed = recipe.overridden(["schedule.depth_frozen=1"])
    both = _run(tmp_path / "both", thawed, parent=depth)
    assert _changed(dict(depth.tensors), dict(both.tensors)) == {"depth_net", "motion_net"}

    joined = initial_network(recipe, both, motion).state_dict()
    assert _changed(dict(both.tensors), joined) == {"motion_net"}
    assert _changed(dict(motion.tensors), joined) == {"depth_net"}


def test_motion_of_another_architecture_is_refused(tmp_path: Path) -> None:
    recipe = parse_recipe(TINY)
    weights = _run(tmp_path / "run", recipe.overridden(DEPTH_ONLY))
    other = recipe.overridden(["network.architecture=resnet18"])
    with pytest.raises(RecipeError, match=r"'lite'.*'resnet18'"):
        initial_network(other, motion_parent=weights)
