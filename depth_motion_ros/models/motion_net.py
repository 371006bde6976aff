"""MotionNet: two images and their depths in; ego-motion, residual motion and intrinsics out.

Li et al. 2020, section 3.2, with the auto-mask taken per image: the authors take its threshold
over the batch, which makes a result depend on the other samples.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth_motion_ros.models.config import Widths

INITIAL_SCALE = 0.01
MINIMAL_SCALE = 0.001
INPUT_CHANNELS = 8


@dataclass(frozen=True, eq=False)
class MotionPrediction:
    """How points of frame 1 lie in the camera axes of frame 2: R X + translation + residual.

    rotation (B, 3) rad, R = Rx Ry Rz; translation (B, 3) and residual (B, 3, H, W) in the unit of
    depth, the residual on the pixels of frame 1 and zero where nothing moves by itself;
    K (B, 3, 3) in pixels of the input.
    """

    rotation: Tensor
    translation: Tensor
    residual: Tensor
    K: Tensor


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True
) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Refinement(nn.Module):
    """Adds detail to a coarse motion field from one feature map."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.short = _convolution(3 + channels, width, 3)
        self.long1 = _convolution(3 + channels, width, 3)
        self.long2 = _convolution(width, width, 3)
        self.out = _convolution(2 * width, 3, 1, bias=False)

    def forward(self, field: Tensor, features: Tensor) -> Tensor:
        """field: (B, 3, h, w); features: (B, C, H, W); returns (B, 3, H, W)."""
        field = F.interpolate(field, features.shape[2:], mode="bilinear", align_corners=True)
        x = torch.cat((field, features), dim=1)
        short = F.relu(self.short(x))
        long = F.relu(self.long2(F.relu(self.long1(x))))
        return field + self.out(torch.cat((short, long), dim=1))


class MotionNet(nn.Module):
    """Motion from frame 1 to frame 2, and the intrinsics both were taken with."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        channels = (INPUT_CHANNELS, *widths.motion)
        self.encoder = nn.ModuleList(
            _convolution(inputs, outputs, 3, 2) for inputs, outputs in itertools.pairwise(channels)
        )
        self.pose = _convolution(channels[-1], 6, 1, bias=False)
        self.field = _convolution(6, 3, 1)
        self.refinements = nn.ModuleList(
            Refinement(count, widths.refine(count)) for count in reversed(channels)
        )
        self.focal = _convolution(channels[-1], 2, 1)
        self.centre = _convolution(channels[-1], 2, 1, bias=False)
        self.rotation_scale = nn.Parameter(torch.tensor(INITIAL_SCALE))
        self.translation_scale = nn.Parameter(torch.tensor(INITIAL_SCALE))

    def forward(
        self,
        image_1: Tensor,
        depth_1: Tensor,
        image_2: Tensor,
        depth_2: Tensor,
        with_residual: bool = True,
    ) -> MotionPrediction:
        """Images (B, 3, H, W) in [0, 1], depths (B, 1, H, W).

        with_residual: False leaves the refinements out, half of the work; the residual is zero.
        """
        if self.training:
            self._bound_scales()
        x = torch.cat((image_1, depth_1, image_2, depth_2), dim=1)
        features = [x]
        for layer in self.encoder:
            x = F.relu(layer(x))
            features.append(x)
        bottleneck = x.mean(dim=(2, 3), keepdim=True)
        pose = self.pose(bottleneck)
        if with_residual:
            field = self.field(pose)
            for refinement, feature in zip(self.refinements, reversed(features), strict=True):
                field = refinement(field, feature)
            residual = auto_mask(field) * self.translation_scale
        else:
            residual = torch.zeros_like(image_1)
        return MotionPrediction(
            rotation=pose[:, :3, 0, 0] * self.rotation_scale,
            translation=pose[:, 3:, 0, 0] * self.translation_scale,
            residual=residual,
            K=self._intrinsics(bottleneck, image_1.shape[3], image_1.shape[2]),
        )

    def _bound_scales(self) -> None:
        # A scale at zero would silence its output and its own gradient for good.
        for scale in (self.rotation_scale, self.translation_scale):
            scale.data.clamp_(min=MINIMAL_SCALE)

    def _intrinsics(self, bottleneck: Tensor, width: int, height: int) -> Tensor:
        size = bottleneck.new_tensor((width, height))
        focal = F.softplus(self.focal(bottleneck)[:, :, 0, 0]) * size
        centre = (self.centre(bottleneck)[:, :, 0, 0] + 0.5) * size
        last_row = bottleneck.new_tensor((0.0, 0.0, 1.0)).expand(focal.shape[0], 1, 3)
        upper_rows = torch.cat((torch.diag_embed(focal), centre[:, :, None]), dim=2)
        return torch.cat((upper_rows, last_row), dim=1)


def auto_mask(field: Tensor) -> Tensor:
    """The field, zero where its norm is not above the norm's mean over the image. (B, 3, H, W)."""
    norm = field.detach().square().sum(dim=1, keepdim=True).sqrt()
    return field * (norm > norm.mean(dim=(2, 3), keepdim=True)).to(field.dtype)
