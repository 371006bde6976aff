"""Muon: steps of convolutions whose directions all weigh the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.training.module import DepthMotionModule
from depth_motion_ros.training.muon import Muon, convolutions, orthogonalised
from depth_motion_ros.training.recipe import Recipe


@pytest.mark.parametrize("shape", [(24, 216), (216, 24), (48, 48)])
def test_singular_values_become_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalised(matrix)
    values = torch.linalg.svdvals(found)
    assert found.shape == matrix.shape
    # The quintic does not converge; it brings them near.
    assert values[-len(values) // 10] > 0.5
    assert values.max() < 1.3
    # The singular vectors stay: U V^T is the nearest orthogonal matrix.
    U, _, Vt = torch.linalg.svd(matrix, full_matrices=False)
    nearest = U @ Vt
    cosine = (found * nearest).sum() / (found.norm() * nearest.norm())
    assert cosine > 0.97


@pytest.mark.parametrize("transposed", [False, True])
def test_a_step_is_as_long_as_one_of_adam(transposed):
    layer = nn.ConvTranspose2d(32, 16, 3) if transposed else nn.Conv2d(16, 32, 3)
    before = layer.weight.detach().clone()
    group = {"params": [layer.weight], "lr": 1e-3, "muon": True, "transposed": transposed}
    layer.weight.grad = torch.randn_like(before)
    Muon([group], 1e-3).step()
    step = (layer.weight.detach() - before) / 1e-3
    # Against the gradient, and of the size that Adam's steps have: 0.2 of the rate.
    assert (step * layer.weight.grad).sum() < 0
    assert float(step.square().mean().sqrt()) == pytest.approx(0.2, rel=0.25)
    # Outputs and inputs are the sides of the matrix: all directions weigh alike.
    matrix = (step.transpose(0, 1) if transposed else step).reshape(16 if transposed else 32, -1)
    values = torch.linalg.svdvals(matrix)
    assert values.max() / values.min() < 2.5


def test_what_is_no_convolution_is_adam_s():
    torch.manual_seed(0)
    ours = nn.Linear(4, 3)
    theirs = copy.deepcopy(ours)
    muon, adam = (
        Muon([{"params": ours.parameters()}], 1e-2),
        torch.optim.Adam(theirs.parameters(), 1e-2),
    )
    for seed in range(5):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        for layer, optimiser in ((ours, muon), (theirs, adam)):
            optimiser.zero_grad()
            layer(x).square().mean().backward()
            optimiser.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_what_has_no_gradient_stays_and_a_closure_is_called():
    used, unused = (nn.Conv2d(4, 4, 1, bias=False) for _ in range(2))
    before = unused.weight.detach().clone()
    group = {"params": [used.weight, unused.weight], "muon": True}
    muon = Muon([group], 0.05)

    def loss():
        muon.zero_grad()
        value = used(torch.ones(1, 4, 2, 2)).square().mean()
        value.backward()
        return value.detach()

    first = float(muon.step(loss))
    for _ in range(20):
        last = float(muon.step(loss))
    assert last < 0.5 * first
    torch.testing.assert_close(unused.weight.detach(), before)


def test_the_recipe_gives_convolutions_to_muon_and_the_rest_to_adam():
    network = DepthMotionNet(NetworkConfig())
    recipe = Recipe().overridden(["optimiser.muon_rate=0.003", "optimiser.learning_rate=0.001"])
    module = DepthMotionModule(network, recipe)
    optimiser = module.configure_optimizers()["optimizer"]
    forward, transposed = convolutions(network)
    rates = {
        id(weight): (group["initial_lr"], group["muon"], group["transposed"])
        for group in optimiser.param_groups
        for weight in group["params"]
    }
    # Every parameter once.
    assert len(rates) == len(list(network.parameters()))
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(rates)
    for weight in forward:
        assert rates[id(weight)] == (0.003, True, False)
    for weight in transposed:
        assert rates[id(weight)] == (0.003, True, True)
    for name in ("encoder.stem.weight", "head.weight", "encoder.norm.bias"):
        rate, is_muon, _ = rates[id(network.depth_net.get_parameter(name))]
        assert (rate, is_muon) == (0.001, False)


def test_without_a_rate_it_is_adam():
    module = DepthMotionModule(DepthMotionNet(NetworkConfig()), Recipe())
    assert isinstance(module.configure_optimizers()["optimizer"], torch.optim.Adam)
