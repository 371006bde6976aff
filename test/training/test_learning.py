"""Proof of learning, from scratch, on 20 frames whose truth is known.

The first test is part of every run. The others take minutes and run on request:

    DEPTH_MOTION_SLOW=1 python -m pytest test/test_training_learning.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from support.training_helpers import Room, abs_rel

from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, build_network
from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.health import HEALTH_METRICS, health_metrics
from depth_motion_ros.training.predictions import predict
from depth_motion_ros.training.recipe import parse_recipe
from depth_motion_ros.training.run import RunOptions, train

slow = pytest.mark.skipif(
    os.environ.get("DEPTH_MOTION_SLOW") != "1", reason="minutes long; set DEPTH_MOTION_SLOW=1"
)
WIDTH, HEIGHT, FRAMES = 128, 64, 20
RECIPE = """
network: {input_width: 128, input_height: 64, translation_scale: 0.05}
data: {batch_size: 4, known_intrinsics: true}
augment: {min_crop: 1.0, flip: 0.0}
optimiser: {learning_rate: 0.001, warmup_steps: 100, decay_from: 0.5}
schedule: {residual_start: 100000, residual_full: 100000, norm_noise: 0.0}
record: {panels_every: 100000, checkpoint_every: 100000}
"""


class Judged(NamedTuple):
    """Means over all pairs of a room. shift: (pairs, H, W) pixels that residual motion moves."""

    abs_rel: float
    warp_error: float
    identity_error: float
    focal_ratio: float
    shift: np.ndarray


def _learn(room: Room, out: Path, *changes: str) -> Judged:
    recipe = parse_recipe(RECIPE).overridden(list(changes))
    data = TrainingData(recorded=[([room], None)])
    options = RunOptions(out, accelerator="cpu", workers=0, progress=False)
    network = build_network(Weights.from_file(train(recipe, data, options)))
    return _judge(network, room, recipe.schedule.residual_gain(recipe.schedule.steps))


@torch.no_grad()
def _judge(network: DepthMotionNet, room: Room, residual_gain: float) -> Judged:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    K = torch.tensor(room.true_camera.K, dtype=torch.float32)[None]
    images = [torch.tensor(i).permute(2, 0, 1)[None] / 255 for i in room.images]
    errors, signs, ratios, shifts = [], [], [], []
    for one, two, depth in zip(images, images[1:], room.depths, strict=False):
        pair = predict(network, one, two, residual_gain)
        errors.append(abs_rel(pair.depth_1[0, 0].numpy(), depth))
        signs.append(health_metrics(one, two, pair, K).numpy())
        ratios.append(float(pair.K[0, 0, 0] / K[0, 0, 0]))
        residual = pair.motion_12.residual.norm(dim=1)
        shifts.append((residual * K[0, 0, 0] / pair.depth_1[:, 0])[0].numpy())
    mean = dict(zip(HEALTH_METRICS, np.mean(signs, axis=0), strict=True))
    return Judged(
        abs_rel=float(np.mean(errors)),
        warp_error=float(mean["warp_error"]),
        identity_error=float(mean["identity_error"]),
        focal_ratio=float(np.mean(ratios)),
        shift=np.array(shifts),
    )


def test_twenty_frames_teach_depth(tmp_path: Path) -> None:
    room = Room(FRAMES, WIDTH, HEIGHT)
    constant = np.mean([abs_rel(np.ones_like(depth), depth) for depth in room.depths])
    judged = _learn(room, tmp_path, "schedule.steps=300", "optimiser.decay_from=0.7")
    # What a constant depth scores is no proof.
    assert constant > 0.15
    assert judged.abs_rel < 0.10
    assert judged.warp_error < 0.5 * judged.identity_error


@slow
def test_the_focal_length_is_learned_where_the_camera_turns(tmp_path: Path) -> None:
    # 90 degrees: fx / W = 0.5, where an untrained network says about 0.69.
    room = Room(FRAMES, WIDTH, HEIGHT, turn=0.15, field_of_view=90.0, drift=0.3)
    changes = (
        "data.known_intrinsics=false",
        "schedule.steps=700",
        "optimiser.decay_from=0.7",
        # With the scales of a driving car the network takes the turning for a sideways drift.
        "network.rotation_scale=0.1",
        "network.translation_scale=0.01",
    )
    assert abs(_learn(room, tmp_path, *changes).focal_ratio - 1) < 0.10


@slow
def test_residual_motion_is_found_on_what_moves_and_nearly_nowhere_else(tmp_path: Path) -> None:
    room = Room(FRAMES, WIDTH, HEIGHT, moving=True)
    changes = ("schedule.residual_start=200", "schedule.residual_full=400", "schedule.steps=900")
    judged = _learn(room, tmp_path, *changes)
    moving = np.array(room.movers[:-1])
    # The board moves by 0.08 m at 3 m: 2.4 pixels. Half of that tells moving from static.
    found = judged.shift > 1.2
    assert (found & moving).sum() / (found | moving).sum() > 0.5
    assert found[~moving].mean() < 0.05
