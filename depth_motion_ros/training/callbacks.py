"""What accompanies a run: it keeps the checkpoints, and shows how far the run is."""

from __future__ import annotations

import logging
import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from tqdm.auto import tqdm

from depth_motion_ros.training.guards import TrainingStoppedError
from depth_motion_ros.training.run_folder import RunFolder
from depth_motion_ros.training.stop_request import StopRequest, TrainingInterrupted

_log = logging.getLogger(__name__)


class CheckpointKeeper(Checkpoint):
    """Writes a checkpoint every ``every`` steps, after the last one, and where a run is broken off.

    keep: newest checkpoints that stay. stop: asks for the run to end after the step in hand; the
    run then ends with TrainingInterrupted, its checkpoint written.
    """

    def __init__(self, folder: RunFolder, every: int, keep: int, stop: StopRequest) -> None:
        self._folder, self._every, self._keep, self._stop = folder, every, keep, stop
        self._between_steps = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on a signal waits for the step in hand."""
        # Lightning's own SIGTERM handler leaves in the middle of a step.
        self._stop.listen()
        self._between_steps = self._stop.in_steps = True

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A step has begun: what the weights are is uncertain until it ends."""
        self._between_steps = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write where it is time."""
        self._between_steps = True
        asked = self._asked(trainer)
        step = trainer.global_step
        if asked or step % self._every == 0 or step >= trainer.max_steps:
            self._save(trainer)
        if asked:
            raise TrainingInterrupted

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """A long validation need not end before the run does."""
        if self._stop.in_steps and self._asked(trainer):
            self._save(trainer)
            raise TrainingInterrupted

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last checkpoint is written: a signal need not wait any more."""
        self._stop.in_steps = False

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Keep the steps that were taken where a source broke, a disk filled, a worker died."""
        broken = isinstance(exception, Exception) and not isinstance(
            exception, TrainingStoppedError
        )
        # With several processes nobody knows where the others stand.
        if broken and self._between_steps and trainer.world_size == 1 and trainer.global_step > 0:
            try:
                self._save(trainer)
            except OSError as error:
                _log.info("no checkpoint could be written: %s", error)

    def _asked(self, trainer: Trainer) -> bool:
        """Whether any of the processes was asked to stop, so that all leave after one step."""
        if trainer.world_size == 1:
            return self._stop.asked
        return trainer.strategy.reduce_boolean_decision(self._stop.asked, all=False)

    def _save(self, trainer: Trainer) -> None:
        path = self._folder.checkpoint_of(trainer.global_step)
        if not path.exists():
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                self._folder.prune(self._keep)


class StepBar(ProgressBar):
    """One bar over the steps of the run, and one over each validation."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._steps: tqdm[Any] | None = None
        self._validation: tqdm[Any] | None = None

    def disable(self) -> None:
        """See ProgressBar: on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """See ProgressBar."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps = self._bar("training", trainer.max_steps, trainer.global_step, leave=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._steps is not None:
            metrics = self.get_metrics(trainer, pl_module)
            metrics.pop("v_num", None)
            self._steps.set_postfix(metrics, refresh=False)
            self._steps.n = trainer.global_step
            self._steps.refresh()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = sum(int(count) for count in trainer.num_val_batches)
        self._validation = self._bar("validating", total, 0, leave=False)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        if self._validation is not None:
            self._validation.update()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._validation is not None:
            self._validation.close()

    def _bar(self, title: str, total: int, done: int, leave: bool) -> tqdm[Any]:
        return tqdm(
            desc=title,
            total=total,
            initial=done,
            leave=leave,
            unit="step",
            disable=not self._enabled,
            dynamic_ncols=True,
            file=sys.stdout,
        )

    def _close(self) -> None:
        for bar in (self._validation, self._steps):
            if bar is not None:
                bar.close()
