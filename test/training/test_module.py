"""What one optimiser step may do to the two learned motion scales."""

from __future__ import annotations

import pytest
import torch

from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.training.module import DepthMotionModule
from depth_motion_ros.training.recipe import parse_recipe


def test_noisy_steps_do_not_drive_the_motion_scales_to_their_bound() -> None:
    recipe = parse_recipe(
        "network: {input_width: 64, input_height: 64, translation_scale: 0.05}\n"
        "optimiser: {learning_rate: 1.0e-3}"
    )
    network = DepthMotionNet(recipe.network.config())
    motion = network.motion_net
    with torch.no_grad():
        motion.translation_scale.fill_(0.05)
    optimiser = DepthMotionModule(network, recipe).configure_optimizers()["optimizer"]
    for _ in range(50):
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
    # 50 steps of 1e-3, relative to where the scale began: Adam's step is the rate's length.
    # With the rate of the other parameters it would have crossed its bound, 0.001.
    assert motion.translation_scale.item() == pytest.approx(0.05 * (1 - 0.05), rel=1e-3)
    assert motion.rotation_scale.item() == pytest.approx(0.01 * (1 - 0.05), rel=1e-3)
    assert {p for g in optimiser.param_groups for p in g["params"]} == set(network.parameters())
