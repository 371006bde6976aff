"""How fast a step could be on this machine: its work over what the machine was measured to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth_motion_ros.engines.step import Step
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet


@dataclass(frozen=True)
class StepWork:
    """One step with motion. flops: of convolutions, a multiplication and an addition counting
    two. values: numbers read or written if each convolution reads its input and weights and
    writes its output once, and nothing else touches memory."""

    flops: int
    values: int


@dataclass(frozen=True)
class MachineRates:
    """What was measured of a device: FLOP/s of a matrix product, bytes/s of a copy."""

    flops_per_s: float
    bytes_per_s: float

    def bound_s(self, work: StepWork, bytes_per_value: int) -> float:
        """No step that goes through memory between convolutions can take less."""
        return max(work.flops / self.flops_per_s, work.values * bytes_per_value / self.bytes_per_s)


def work_of(config: NetworkConfig) -> StepWork:
    """Counted while the networks run on tensors without memory."""
    flops = values = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal flops, values
        weight = layer.weight
        assert isinstance(weight, Tensor)
        # The pixels over which every weight is applied once.
        transposed = isinstance(layer, nn.ConvTranspose2d)
        pixels = (inputs[0] if transposed else output).shape[-2:].numel()
        flops += 2 * weight.numel() * pixels
        values += inputs[0].numel() + output.numel() + weight.numel()

    with torch.device("meta"):
        step = Step(DepthMotionNet(config)).eval()
        for layer in step.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                layer.register_forward_hook(count)
        image = torch.zeros(config.input_height, config.input_width, 3, dtype=torch.uint8)
        with torch.no_grad():
            step(image, image[:, :, 0].float(), image)
    return StepWork(flops, values)


def measure_machine(device: torch.device, dtype: torch.dtype) -> MachineRates:
    """The best of some runs, with as many threads as PyTorch has."""
    on_gpu = device.type == "cuda"
    side, length = (8192, 1 << 28) if on_gpu else (1024, 1 << 25)
    a = torch.ones(side, side, dtype=dtype, device=device)
    product = torch.empty_like(a)
    multiply = _best_s(lambda: torch.mm(a, a, out=product), on_gpu)
    source = torch.ones(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _best_s(lambda: target.copy_(source), on_gpu)
    return MachineRates(2 * side**3 / multiply, 2 * length / copy)


def _best_s(action: Callable[[], object], on_gpu: bool, runs: int = 7) -> float:
    best = float("inf")
    for _ in range(runs):
        begin = time.perf_counter()
        action()
        if on_gpu:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best
