"""Joining the depth of one run with the motion of another."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from depth_motion_ros.models.lengths import scale_lengths
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, build_network
from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.data.pairs import slots_of
from depth_motion_ros.training.recipe import Recipe, RecipeError

# Frames on which two networks' units of length are compared.
_COMPARED = 64


def check_architecture(parent: Weights, recipe: Recipe) -> None:
    """Raise RecipeError where the parent cannot be what the recipe trains."""
    if parent.config.architecture != recipe.network.architecture:
        raise RecipeError(
            f"the weights to start from are of architecture {parent.config.architecture!r}, "
            f"the recipe's network.architecture is {recipe.network.architecture!r}"
        )


def join_motion(
    network: DepthMotionNet, motion_parent: Weights, recipe: Recipe, data: TrainingData
) -> None:
    """Give a network the MotionNet of another, translated into the network's unit of length.

    Each run has a unit of its own. The factor is the median ratio of the two networks' depths on
    frames of the training data. Raises RecipeError for another architecture.
    """
    check_architecture(motion_parent, recipe)
    other = build_network(motion_parent)
    was_training = network.training
    network.eval()
    ratios = [_median_ratio(network, other, images) for images in _frames(recipe, data)]
    network.train(was_training)
    network.motion_net.load_state_dict(other.motion_net.state_dict())
    scale_lengths(network.motion_net, float(np.median(ratios)))


@torch.no_grad()
def _median_ratio(network: DepthMotionNet, other: DepthMotionNet, images: Tensor) -> float:
    return float((network.depth_net(images) / other.depth_net(images)).median())


def _frames(recipe: Recipe, data: TrainingData) -> list[Tensor]:
    """Images (1, 3, H, W) in [0, 1] spread over what is trained on."""
    width, height = recipe.size_at(0)
    sets = [frames for group, _ in data.recorded for frames in group]
    if not sets:
        assert data.simulator is not None
        slots = slots_of(0, 1, data.simulated_per_step)
        images = data.simulator(0, slots, torch.device("cpu")).pairs.image_1
        return list(images.float().split(1))
    each = max(1, _COMPARED // len(sets))
    found = []
    for frames in sets:
        for index in np.linspace(0, len(frames) - 1, min(each, len(frames))).astype(int):
            image = frames.image(int(index))
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            found.append(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)
    return found
