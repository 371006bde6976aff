"""One step of both networks as a single module: what every runtime computes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet

INPUTS = ("previous_image", "previous_depth", "image")


class StepOutput(NamedTuple):
    """The fields of RawPrediction and RawMotion, in this order, as tensors without a batch.

    depth (H, W), rotation (3,), translation (3,), residual (H, W, 3), K (3, 3).
    """

    depth: Tensor
    rotation: Tensor
    translation: Tensor
    residual: Tensor
    K: Tensor


def step_tensors(config: NetworkConfig) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Inputs and outputs of a step in their order: name → (type, shape)."""
    height, width = config.input_height, config.input_width
    image, field = (height, width, 3), (height, width)
    inputs = ((torch.uint8, image), (torch.float32, field), (torch.uint8, image))
    outputs = (field, (3,), (3,), image, (3, 3))
    return {
        **dict(zip(INPUTS, inputs, strict=True)),
        **{n: (torch.float32, s) for n, s in zip(StepOutput._fields, outputs, strict=True)},
    }


class Step(nn.Module):
    """Images as they come from a camera in, the layout of ``RawPrediction`` out.

    The newest image is frame 1 of the pair, see RawMotion. Parameters keep the names that they
    have in ``DepthMotionNet``, that is, in a weights file.
    """

    def __init__(self, network: DepthMotionNet) -> None:
        super().__init__()
        self.depth_net = network.depth_net
        self.motion_net = network.motion_net

    def forward(self, previous_image: Tensor, previous_depth: Tensor, image: Tensor) -> StepOutput:
        """Images (H, W, 3) uint8 RGB, previous_depth (H, W) float32."""
        newest = _network_input(image)
        depth = self.depth_net(newest)
        motion = self.motion_net(
            newest, depth, _network_input(previous_image), previous_depth[None, None]
        )
        return StepOutput(
            depth[0, 0],
            motion.rotation[0],
            motion.translation[0],
            motion.residual[0].permute(1, 2, 0),
            motion.K[0],
        )

    def depth(self, image: Tensor) -> Tensor:
        """Depth alone: (H, W, 3) uint8 to (H, W) float32."""
        return self.depth_net(_network_input(image))[0, 0]


def _network_input(image: Tensor) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) float32 in [0, 1]."""
    # TensorRT takes uint8 only where the first thing done to it is the cast.
    return image.float().permute(2, 0, 1)[None] * (1 / 255)
