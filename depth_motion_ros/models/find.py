"""The weights that serve where a user names some, or none."""

from __future__ import annotations

import torch

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.packaged import FOLDER
from depth_motion_ros.models.weights import Weights, weights_of

UNTRAINED = "untrained"
_SEED = 0


def find_weights(path: str, architecture: str) -> Weights:
    """The weights of a file or name; without one those of the package, else untrained ones.

    path: may be ``default`` or ``free``, see ``models.packaged``. Untrained weights have the
    version ``untrained``. Raises WeightsError.
    """
    if path:
        return Weights.from_file(path)
    packaged = FOLDER / f"{architecture}.safetensors"
    if packaged.is_file():
        return Weights.from_file(packaged)
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(_SEED)
    try:
        network = DepthMotionNet(NetworkConfig(architecture))
    finally:
        torch.random.set_rng_state(generator_state)
    return weights_of(network, version=UNTRAINED)
