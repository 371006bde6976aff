"""What of the networks computes in float16, and PyTorch's networks made so.

The convolutions and what stands between them take float16, and float32 stays where float16 would
be seen in the result: the images' way to the first convolution, the statistics of normalisation
(sums over every pixel), the depth head and its softplus, and everything that becomes rotation,
translation, residual motion or intrinsics.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.step import Step

# Weights of the convolutions that stay in float32.
GEOMETRY = re.compile(
    r"depth_net\.head\.|motion_net\.(pose|field|focal|centre|refinements\.\d+\.out)\."
)


def too_large(name: str) -> EngineError:
    """The error for a weight that float16 cannot hold."""
    return EngineError(f"{name!r} holds a value beyond the 65504 of float16; use precision 'fp32'")


def halve(step: Step) -> Step:
    """The same module, which computes in float16 from now on; inputs and outputs stay float32.

    Raises EngineError where a weight does not fit into float16.
    """
    for name, layer in step.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            continue
        dtype = torch.float32 if GEOMETRY.match(f"{name}.") else torch.float16
        layer.to(dtype)
        for part, tensor in layer.named_parameters():
            if not torch.isfinite(tensor).all():
                raise too_large(f"{name}.{part}")
        layer.register_forward_pre_hook(_takes(dtype))
    # Rotation, translation and K come from the mean of this map.
    step.motion_net.encoder[-1].register_forward_hook(_gives_float32)
    return step


def _takes(dtype: torch.dtype) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    return lambda layer, inputs: (inputs[0].to(dtype),)


def _gives_float32(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.float()
