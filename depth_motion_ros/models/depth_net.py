"""DepthNet: one image in, depth out (Li et al. 2020, section 3.1)."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth_motion_ros.models.config import Widths
from depth_motion_ros.models.norm import RandomizedLayerNorm


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Encoder convolution: no bias, normal initial values of std sqrt(2 / (k^2 outputs))."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.normal_(layer.weight, std=(2 / (kernel * kernel * outputs)) ** 0.5)
    return layer


class BasicBlock(nn.Module):
    """conv-norm-ReLU-conv-norm plus shortcut, then ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, outputs, 3, stride)
        self.norm1 = RandomizedLayerNorm(outputs)
        self.conv2 = _convolution(outputs, outputs, 3)
        self.norm2 = RandomizedLayerNorm(outputs)
        changes_size = stride != 1 or inputs != outputs
        self.shortcut = _convolution(inputs, outputs, 1, stride) if changes_size else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """ResNet-18 without its head: features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size."""

    def __init__(self, widths: tuple[int, int, int, int, int]) -> None:
        super().__init__()
        self.stem = _convolution(3, widths[0], 7, 2)
        self.norm = RandomizedLayerNorm(widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(
                BasicBlock(inputs, outputs, 1 if index == 0 else 2),
                BasicBlock(outputs, outputs, 1),
            )
            for index, (inputs, outputs) in enumerate(itertools.pairwise(widths))
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """image: (B, 3, H, W) in [-1, 1]; returns five feature maps, fine to coarse."""
        x = F.relu(self.norm(self.stem(image)))
        features = [x]
        x = F.max_pool2d(x, 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class DecoderStep(nn.Module):
    """Doubles the size, joins the encoder's feature of that size, and mixes."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
        self.mix = nn.Conv2d(outputs + skip, outputs, 3, padding=1)
        for layer in (self.up, self.mix):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = F.relu(self.up(x))
        if skip is not None:
            x = torch.cat((x, skip), dim=1)
        return F.relu(self.mix(x))


class DepthNet(nn.Module):
    """Image to depth, in a unit of length that training settles."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.encoder = Encoder(widths.encoder)
        inputs = (widths.encoder[-1], *widths.decoder[:-1])
        skips = (*widths.encoder[-2::-1], 0)
        self.decoder = nn.ModuleList(
            DecoderStep(*channels) for channels in zip(inputs, skips, widths.decoder, strict=True)
        )
        self.head = nn.Conv2d(widths.decoder[-1], 1, 3, padding=1)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """image: (B, 3, H, W) in [0, 1], sides multiples of 32; returns depth > 0, (B, 1, H, W)."""
        *skips, x = self.encoder(2 * image - 1)
        for step in self.decoder:
            x = step(x, skips.pop() if skips else None)
        return F.softplus(self.head(x))
