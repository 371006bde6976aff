"""Both networks together: depth of two frames and the motion between them, in both orders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.depth_net import DepthNet
from depth_motion_ros.models.motion_net import MotionNet, MotionPrediction
from depth_motion_ros.models.norm import RandomizedLayerNorm


@dataclass(frozen=True, eq=False)
class PairPrediction:
    """Everything predicted for two frames.

    depth_1, depth_2: (B, 1, H, W). motion_12 maps points of frame 1 into the axes of frame 2,
    motion_21 the reverse. K: (B, 3, 3), the learned intrinsics averaged over both orders.
    """

    depth_1: Tensor
    depth_2: Tensor
    motion_12: MotionPrediction
    motion_21: MotionPrediction
    K: Tensor


class DepthMotionNet(nn.Module):
    """DepthNet and MotionNet of one configuration."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.depth_net = DepthNet(config.widths)
        self.motion_net = MotionNet(config.widths)

    def forward(
        self, image_1: Tensor, image_2: Tensor, residual_gain: float = 1.0
    ) -> PairPrediction:
        """Images (B, 3, H, W) in [0, 1], sides multiples of 32.

        residual_gain: factor on the residual fields, 0 during the burn-in of training.
        """
        depth_1, depth_2 = self.depth_net(torch.cat((image_1, image_2))).chunk(2)
        return self.between(image_1, image_2, depth_1, depth_2, residual_gain)

    def between(
        self,
        image_1: Tensor,
        image_2: Tensor,
        depth_1: Tensor,
        depth_2: Tensor,
        residual_gain: float = 1.0,
    ) -> PairPrediction:
        """The same where the depths (B, 1, H, W) are given."""
        images, depths = torch.cat((image_1, image_2)), torch.cat((depth_1, depth_2))
        # Both orders go through MotionNet as one batch.
        both = self.motion_net(
            images,
            depths,
            torch.cat((image_2, image_1)),
            torch.cat((depth_2, depth_1)),
            with_residual=residual_gain != 0,
        )
        rotation, translation = both.rotation.chunk(2), both.translation.chunk(2)
        residual, K = (both.residual * residual_gain).chunk(2), both.K.chunk(2)
        orders = [
            MotionPrediction(rotation[i], translation[i], residual[i], K[i]) for i in range(2)
        ]
        return PairPrediction(depth_1, depth_2, orders[0], orders[1], 0.5 * (K[0] + K[1]))

    def set_norm_noise(self, std: float) -> None:
        """Standard deviation of the noise in every encoder norm while training; 0 = none."""
        for module in self.modules():
            if isinstance(module, RandomizedLayerNorm):
                module.noise = std
