"""New weights are compared with PyTorch before they are used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from depth_motion_ros.engines.interface import RawPrediction
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, WeightsError, weights_of
from depth_motion_ros.nodes.perception.networks import check_against_torch

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)


class Rounding(TorchEngine):
    """Answers with a turn that is off by ``turn`` radians, and depth by a factor."""

    turn, factor = 0.0, 1.0

    def step(self, *images: Any) -> RawPrediction:
        raw = super().step(*images)
        motion = raw.motion and replace(raw.motion, rotation=raw.motion.rotation + self.turn)
        return replace(raw, depth=raw.depth * np.float32(self.factor), motion=motion)


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(0)
    return weights_of(DepthMotionNet(NetworkConfig("lite", 64, 32)))


def test_a_camera_that_stands_still_does_not_refuse_good_weights(weights: Weights) -> None:
    """Its rotation is so near to zero that a relative error says nothing: 2e-5 rad is rounding."""
    engine = Rounding(weights, device="cpu")
    engine.turn = 2e-5
    motion = engine.step(IMAGE, engine.step(None, None, IMAGE).depth, IMAGE).motion
    assert motion is not None
    # The case is the one meant: relative to the turn itself the error is far beyond any limit.
    assert engine.turn > 0.005 * np.abs(motion.rotation - engine.turn).max()
    check_against_torch(engine, weights, (IMAGE, IMAGE))


def test_an_engine_with_another_depth_is_refused_and_the_old_one_kept(weights: Weights) -> None:
    engine = Rounding(weights, device="cpu")
    engine.factor = 1.05
    with pytest.raises(WeightsError, match=r"depth 5\.00%.*the weights in use are kept"):
        check_against_torch(engine, weights, (IMAGE, np.roll(IMAGE, 2, axis=1)))
