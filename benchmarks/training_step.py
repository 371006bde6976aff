"""How long a full training step takes, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from depth_motion_ros.cli.demo.statistics import percentiles
from depth_motion_ros.losses.objective import Objective
from depth_motion_ros.training.data.pairs import Pairs
from depth_motion_ros.training.module import DepthMotionModule
from depth_motion_ros.training.predictions import images_of, predict
from depth_motion_ros.training.recipe import Recipe
from depth_motion_ros.training.run import initial_network

COMPILED = "networks, compiled"
STAGES = (
    "copy and augment",
    "depth",
    "motion",
    COMPILED,
    "losses",
    "backward",
    "clip",
    "optimiser",
)


@dataclass(frozen=True)
class StepTimes:
    """Measured steps, in seconds: whole ones, and others taken apart by stage.

    The parts wait for the device after every stage, which costs overlap: their sum is more than
    a whole step on a GPU. memory: bytes taken after the first and after the last measured step.
    """

    whole: list[float]
    parts: dict[str, list[float]]
    memory: tuple[int, int]

    def summary(self, batch_size: int) -> dict[str, Any]:
        """Median and p95 of everything, and image pairs per second by the median."""
        median = float(np.median(self.whole))
        return {
            "pairs_per_second": batch_size / median,
            "step_ms": _milliseconds(self.whole),
            "stage_ms": {
                name: _milliseconds(seconds) for name, seconds in self.parts.items() if seconds
            },
            "memory_bytes": {"first_step": self.memory[0], "last_step": self.memory[1]},
            "samples_s": self.whole,
        }


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return percentiles([1e3 * value for value in seconds], digits=4)


class TrainingStep:
    """A full step of a recipe as ``DepthMotionModule`` takes it: depths of both images, motion in
    both orders, all losses, backward, clipping, optimiser.

    device: to train on. half: networks under bf16 autocast. compiled: through torch.compile.
    """

    def __init__(
        self, recipe: Recipe, device: torch.device, half: bool = False, compiled: bool = False
    ) -> None:
        self._recipe, self._device, self._half = recipe, device, half
        module = DepthMotionModule(initial_network(recipe), recipe).to(device)
        self._network = module.network
        self._network.set_norm_noise(recipe.schedule.norm_noise)
        self._forward: Callable[..., Any] = self._network
        self._compiled = compiled
        if compiled:
            self._forward = torch.compile(self._network)
        self._optimiser = module.configure_optimizers()["optimizer"]
        self._objective = Objective(recipe.losses)

    def measure(
        self, pairs: Pairs, steps: int, warmup: int, memory: Callable[[], int]
    ) -> StepTimes:
        """Take ``warmup`` steps unseen, then ``steps`` whole and a third as many in parts."""
        for _ in range(warmup):
            self._take(pairs, None)
        whole, taken = [], []
        for _ in range(steps):
            start = self._now()
            self._take(pairs, None)
            whole.append(self._now() - start)
            taken.append(memory())
        parts: dict[str, list[float]] = {name: [] for name in STAGES}
        with nullcontext() if self._compiled else self._networks_timed(parts):
            for _ in range(max(1, steps // 3)):
                self._take(pairs, parts)
        return StepTimes(whole, parts, (taken[0], taken[-1]))

    def _take(self, pairs: Pairs, parts: dict[str, list[float]] | None) -> None:
        with self._timed("copy and augment", parts):
            on_device = pairs.mapped(lambda tensor: tensor.to(self._device, non_blocking=True))
            one, two = images_of(on_device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            if self._compiled:
                with self._timed(COMPILED, parts):
                    pair = predict(self._forward, one, two)
            else:
                pair = predict(self._forward, one, two)
        with self._timed("losses", parts):
            total = self._objective(one, two, pair, pair.K).total
        with self._timed("backward", parts):
            self._optimiser.zero_grad(set_to_none=True)
            total.backward()
        with self._timed("clip", parts):
            norm = clip_grad_norm_(self._network.parameters(), self._recipe.optimiser.clip_norm)
            bool(torch.isfinite(norm))
        with self._timed("optimiser", parts):
            self._optimiser.step()

    def _timed(self, name: str, parts: dict[str, list[float]] | None) -> Any:
        return nullcontext() if parts is None else self._stage(parts[name])

    @contextmanager
    def _stage(self, seconds: list[float]) -> Iterator[None]:
        start = self._now()
        yield
        seconds.append(self._now() - start)

    @contextmanager
    def _networks_timed(self, parts: dict[str, list[float]]) -> Iterator[None]:
        """Time both networks from outside."""
        started: list[float] = []
        hooks = []
        for name, network in (
            ("depth", self._network.depth_net),
            ("motion", self._network.motion_net),
        ):
            seconds = parts[name]
            hooks += [
                network.register_forward_pre_hook(lambda *_: started.append(self._now())),
                network.register_forward_hook(
                    lambda *_, seconds=seconds: seconds.append(self._now() - started.pop())
                ),
            ]
        yield
        for hook in hooks:
            hook.remove()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def random_pairs(recipe: Recipe, seed: int = 0) -> Pairs:
    """A batch of the recipe's size, of smooth random images that differ by a shift."""
    width, height = recipe.size_at(recipe.schedule.steps)
    count = recipe.data.batch_size
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, height // 8, width // 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    pixels = (255 * image.clamp(0, 1)).round().to(torch.uint8)
    return Pairs(
        image_1=pixels,
        image_2=pixels.roll(2, dims=3),
        K=torch.eye(3).expand(count, 3, 3).contiguous(),
        known=torch.zeros(count, dtype=torch.bool),
        mask_1=None,
        mask_2=None,
        jitter=torch.ones(count, 3),
    )
