"""Runs that learn depth first and motion apart from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from depth_motion_ros.models.lengths import scale_lengths
from depth_motion_ros.models.weights import Weights, weights_of
from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.data.simulated import RenderedPairs
from depth_motion_ros.training.recipe import Recipe, RecipeError, parse_recipe
from depth_motion_ros.training.run import RunOptions, initial_network, train
from depth_motion_ros.training.stages import join_motion

TINY = """
network: {input_width: 64, input_height: 32}
data: {batch_size: 2, supervision: exact, simulated_reuse: 2}
schedule: {steps: 3, residual_start: 0, residual_full: 0}
augment: {shade: 0.5}
"""
DEPTH_ONLY = ["exact.rotation=0", "exact.translation=0", "exact.residual=0", "exact.focal=0"]


def _data(recipe: Recipe) -> TrainingData:
    return TrainingData(
        recorded=[],
        simulator=RenderedPairs(recipe, {"yard": 1.0}),
        simulated_per_step=2,
        simulated_names=["sim:yard"],
        validation=[],
    )


def _run(out: Path, recipe: Recipe, **options: Weights) -> Weights:
    data = _data(recipe)
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

    # From true depths, whatever DepthNet says.
    told = recipe.overridden(["exact.shape=0", "exact.metric=0"])
    motion = _run(tmp_path / "told", told, parent=depth)
    assert _changed(dict(depth.tensors), dict(motion.tensors)) == {"motion_net"}

    frozen = recipe.overridden(["schedule.depth_frozen=3", "data.supervision=both"])
    motion = _run(tmp_path / "motion", frozen, parent=depth)
    assert _changed(dict(depth.tensors), dict(motion.tensors)) == {"motion_net"}

    # Frozen for the first of three steps only: both parts learn.
    thawed = recipe.overridden(["schedule.depth_frozen=1"])
    both = _run(tmp_path / "both", thawed, parent=depth)
    assert _changed(dict(depth.tensors), dict(both.tensors)) == {"depth_net", "motion_net"}

    network = initial_network(recipe, both)
    join_motion(network, motion, recipe, _data(recipe))
    joined = network.state_dict()
    assert _changed(dict(both.tensors), joined) == {"motion_net"}
    untouched = "motion_net.encoder.1.weight"
    assert torch.equal(joined[untouched], motion.tensors[untouched])


def test_joined_motion_speaks_in_the_unit_of_the_depth_that_it_joins() -> None:
    recipe = parse_recipe(TINY)
    network = initial_network(recipe)
    with torch.no_grad():
        network.depth_net.head.weight.zero_()
        network.depth_net.head.bias.fill_(3.0)
    motion = weights_of(network)
    with torch.no_grad():
        network.depth_net.head.bias.fill_(1.0)
    join_motion(network, motion, recipe, _data(recipe))
    ratio = torch.nn.functional.softplus(torch.tensor([1.0, 3.0]))
    before = motion.tensors["motion_net.translation_scale"]
    torch.testing.assert_close(
        network.motion_net.translation_scale.data, before * ratio[0] / ratio[1]
    )


def test_scaled_lengths_scale_what_is_a_length_and_nothing_else() -> None:
    torch.manual_seed(0)
    network = initial_network(parse_recipe(TINY)).motion_net.eval()
    image_1, image_2 = torch.rand(2, 2, 3, 32, 64)
    depth_1, depth_2 = 1 + torch.rand(2, 2, 1, 32, 64)
    before = network(image_1, depth_1, image_2, depth_2)
    scale_lengths(network, 5.0)
    after = network(image_1, 5 * depth_1, image_2, 5 * depth_2)
    torch.testing.assert_close(after.translation, 5 * before.translation)
    torch.testing.assert_close(after.residual, 5 * before.residual)
    torch.testing.assert_close(after.rotation, before.rotation)
    torch.testing.assert_close(after.K, before.K)
    assert float(before.residual.detach().abs().max()) > 0
    with pytest.raises(ValueError, match="factor of 0"):
        scale_lengths(network, 0.0)


def test_motion_of_another_architecture_is_refused(tmp_path: Path) -> None:
    recipe = parse_recipe(TINY)
    weights = _run(tmp_path / "run", recipe.overridden(DEPTH_ONLY))
    other = recipe.overridden(["network.architecture=resnet18"])
    with pytest.raises(RecipeError, match=r"'lite'.*'resnet18'"):
        join_motion(initial_network(other), weights, other, _data(other))
