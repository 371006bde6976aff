"""The loaders of a run, which begin where the run (or its checkpoint) stands."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from depth_motion_ros.training.data.frames import FrameSet
from depth_motion_ros.training.data.pairs import (
    PairDataset,
    ResumableLoader,
    Share,
    StepSampler,
    ValidationDataset,
    collate,
    slots_of,
)
from depth_motion_ros.training.data.resident import PlanDataset, joined_plans
from depth_motion_ros.training.module import Simulator
from depth_motion_ros.training.recipe import Recipe, RecipeError


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is judged on.

    recorded: groups of frame sets with their weights, see ``PairDataset``.
    simulator: renders ``simulated_per_step`` pairs of each batch; the rest are recorded.
    simulated_names: for the metadata. validation: frame sets kept apart, of each of which at most
    ``validation_frames`` are looked at.
    """

    recorded: Sequence[Share] = ()
    simulator: Simulator | None = None
    simulated_per_step: int = 0
    simulated_names: Sequence[str] = ()
    validation: Sequence[FrameSet] = ()
    validation_frames: int = 50

    @property
    def names(self) -> list[str]:
        """Of everything learned from."""
        recorded = [frames.name for group, _ in self.recorded for frames in group]
        return recorded + list(self.simulated_names)


class _Placeholders(Dataset[Any]):
    """What the loader hands out where every pair comes from the simulator."""

    def __getitem__(self, key: Any) -> Tensor:
        return torch.zeros(())


class PairData(LightningDataModule):
    """Loaders for training and validation.

    workers: loader processes, 0 = load in the training process. resident: batches are ``Plans``,
    for frames that live on the training device.

    Raises RecipeError where the recipe's batch cannot be filled from ``data``.
    """

    def __init__(
        self, recipe: Recipe, data: TrainingData, workers: int, resident: bool = False
    ) -> None:
        super().__init__()
        self._recipe, self._workers, self._resident = recipe, workers, resident
        self._recorded_per_step = recipe.data.batch_size - data.simulated_per_step
        if bool(self._recorded_per_step) != bool(data.recorded):
            raise RecipeError(
                f"of {recipe.data.batch_size} pairs a step {data.simulated_per_step} are simulated "
                f"and {len(data.recorded)} recorded sources are given; give sources for both "
                "parts, or for one part all pairs"
            )
        self.last_step = recipe.schedule.steps - 1
        self.pairs: PairDataset | None = None
        if data.recorded:
            self.pairs = PairDataset(data.recorded, recipe, self._recorded_per_step)
        self.validation = ValidationDataset(data.validation, recipe, data.validation_frames)

    def train_dataloader(self) -> ResumableLoader:
        assert self.trainer is not None
        slots = slots_of(self.trainer.global_rank, self.trainer.world_size, self._recorded_per_step)
        steps = StepSampler(self.trainer.global_step, self._recipe.schedule.steps, slots)
        if self.pairs is None:
            return ResumableLoader(_Placeholders(), batch_sampler=steps, collate_fn=_first)
        dataset: Dataset[Any] = PlanDataset(self.pairs) if self._resident else self.pairs
        return ResumableLoader(
            dataset,
            batch_sampler=steps,
            collate_fn=joined_plans if self._resident else collate,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            worker_init_fn=_leave_interrupts_to_the_run,
            pin_memory=torch.cuda.is_available() and not self._resident,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        # One process: validation is short, and a second set of workers would stay around.
        return DataLoader(self.validation, batch_size=None)


def _leave_interrupts_to_the_run(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the step in hand still needs its loaders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _first(samples: list[Any]) -> Any:
    return samples[0] if samples else torch.zeros(())
