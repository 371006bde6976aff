"""Recipes check themselves and say what to write instead."""

from __future__ import annotations

import pytest

from depth_motion_ros.settings import SettingsError
from depth_motion_ros.training.recipe import (
    Recipe,
    RecipeError,
    load_recipe,
    parse_recipe,
    shipped_recipes,
)


@pytest.mark.parametrize("name", ["default", "depth", "joint", "li2020", "motion"])
def test_shipped_recipes_survive_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert parse_recipe(recipe.to_yaml()) == recipe
    assert name in shipped_recipes()


def test_li2020_is_what_the_paper_says() -> None:
    recipe = load_recipe("li2020")
    assert recipe.network.architecture == "resnet18"
    assert recipe.size_at(0) == recipe.size_at(50_000) == (416, 128)
    assert (recipe.optimiser.learning_rate, recipe.optimiser.clip_norm) == (2e-4, 10.0)
    # clip(2 step / 20 000 - 1, 0, 1)
    gains = [recipe.schedule.residual_gain(step) for step in (0, 10_000, 15_000, 20_000, 30_000)]
    assert gains == [0.0, 0.0, 0.5, 1.0, 1.0]
    # 0.5 min(step / 10 000, 1)^2
    noises = [recipe.schedule.noise(step) for step in (0, 5_000, 10_000, 20_000)]
    assert noises == [0.0, 0.125, 0.5, 0.5]
    assert recipe.rate_factor(0) == recipe.rate_factor(99_999) == 1.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("optimizer: {}", "did you mean 'optimiser'"),
        ("optimiser: {learning_rat: 1}", "did you mean 'learning_rate'"),
        ("losses: {rgbb: 1}", "did you mean 'rgb'"),
        ("schedule: {steps: ten}", "'ten'"),
        ("data: {batch_size: 0}", "batch_size is 0"),
        ("data: {supervision: some}", "'some'"),
        ("data: {max_step: 3}", "pair_step"),
        ("network: {input_width: 100}", "96"),
        ("network: {architecture: vgg}", "lite"),
        ("schedule: {residual_start: 5, residual_full: 4}", "residual_full"),
        ("losses: {rgb: -1}", "-1"),
        ("optimiser: {learning_rate: .nan}", "nan"),
        ("seed: true", "True"),
        ("a: [", "YAML"),
        ("[1, 2]", "mapping"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + says.replace("(", r"\(")):
        parse_recipe(text)


def test_yaml_numbers_without_a_point_are_understood() -> None:
    # YAML 1.1 reads 1e-4 as text and 10 as an integer.
    recipe = parse_recipe("optimiser: {learning_rate: 1e-4, clip_norm: 10}")
    assert recipe.optimiser.learning_rate == 1e-4
    assert recipe.optimiser.clip_norm == 10.0


def test_overrides_change_one_value() -> None:
    recipe = Recipe().overridden(["data.batch_size=4", "losses.auto_masking=true"])
    assert recipe.data.batch_size == 4
    assert recipe.losses.auto_masking is True
    with pytest.raises(RecipeError, match=r"section\.key=value"):
        Recipe().overridden(["data.batch_size"])
    with pytest.raises(SettingsError, match="did you mean 'batch_size'"):
        Recipe().overridden(["data.batchsize=4"])


def test_unknown_recipe_lists_the_shipped_ones(tmp_path: object) -> None:
    with pytest.raises(RecipeError, match="default, depth, joint, li2020, motion"):
        load_recipe(f"{tmp_path}/none.yaml")


def test_learning_rate_warms_up_and_decays() -> None:
    recipe = parse_recipe("optimiser: {warmup_steps: 10, decay_from: 0.5}\nschedule: {steps: 100}")
    assert recipe.rate_factor(0) == pytest.approx(0.1)
    assert recipe.rate_factor(9) == recipe.rate_factor(50) == 1.0
    # Half way along the cosine from 1 to 0.1, and its end.
    assert recipe.rate_factor(75) == pytest.approx(0.55)
    assert recipe.rate_factor(100) == pytest.approx(0.1)


def test_coarse_start_switches_size() -> None:
    recipe = parse_recipe("schedule: {coarse_steps: 5, coarse_width: 224, coarse_height: 64}")
    assert recipe.size_at(4) == (224, 64)
    assert recipe.size_at(5) == (416, 128)
