"""The replayed network learns what the network learns. Needs an NVIDIA GPU."""

from __future__ import annotations

import copy

import pytest
import torch

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.training.graphed import GraphedNet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    network = DepthMotionNet(NetworkConfig("lite", 96, 64)).depth_net
    return network.cuda().train().to(memory_format=torch.channels_last)


def _images() -> torch.Tensor:
    images = torch.rand(4, 3, 64, 96, device="cuda")
    return images.contiguous(memory_format=torch.channels_last)


def test_replays_give_the_gradients_of_the_weights_of_the_moment() -> None:
    plain = _network()
    graphed_network = copy.deepcopy(plain)
    graphed = GraphedNet(graphed_network, _images())
    assert type(graphed._run) is not type(graphed_network), "capturing failed"
    optimisers = [torch.optim.SGD(n.parameters(), 1e-2) for n in (plain, graphed_network)]
    for _ in range(3):
        images = _images()
        losses = []
        for optimiser, forward in zip(optimisers, (plain, graphed), strict=True):
            optimiser.zero_grad(set_to_none=True)
            loss = forward(images).log().square().mean()
            loss.backward()
            optimiser.step()
            losses.append(float(loss))
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    for one, other in zip(plain.parameters(), graphed_network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4)


def test_noise_is_drawn_anew_at_every_replay() -> None:
    network = _network()
    for module in network.modules():
        if hasattr(module, "noise"):
            module.noise = 0.2
    graphed, images = GraphedNet(network, _images()), _images()
    torch.manual_seed(1)
    first = graphed(images).detach().clone()
    second = graphed(images).detach().clone()
    torch.manual_seed(1)
    again = graphed(images).detach().clone()
    assert (first - second).abs().max() > 1e-3
    torch.testing.assert_close(first, again, rtol=1e-3, atol=1e-4)
