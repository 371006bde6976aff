"""The folder of one training run: what it holds, who may write there, and where a run goes on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from depth_motion_ros.training.checkpoint import SUFFIX, newest_checkpoint
from depth_motion_ros.training.recipe import RecipeError

FAST_DEV_RUN = "fast_dev_run"
_LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """Paths of everything that a run writes into ``path``."""

    path: Path

    @property
    def weights(self) -> Path:
        """The trained networks; written last."""
        return self.path / "weights.safetensors"

    @property
    def recipe(self) -> Path:
        """The recipe as it is used."""
        return self.path / "recipe.yaml"

    @property
    def report(self) -> Path:
        """Results, curves and examples in one HTML file."""
        return self.path / "report.html"

    @property
    def validation(self) -> Path:
        """Metrics by sequence, as JSON."""
        return self.path / "validation.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the training checkpoints."""
        return self.path / "checkpoints"

    @property
    def curves(self) -> Path:
        """Folder of the TensorBoard events."""
        return self.path / "curves"

    def checkpoint_of(self, step: int) -> Path:
        """The checkpoint after ``step`` steps."""
        return self.checkpoints / f"step_{step:09d}{SUFFIX}"

    def start(self, resume: bool) -> Path | None:
        """The checkpoint to go on from; None for a new run.

        Raises RecipeError where a new run would overwrite another, or there is nothing to resume.
        """
        newest = newest_checkpoint(self.checkpoints)
        if resume and newest is None:
            instead = "start without --resume"
            if self.weights.exists():
                instead = (
                    f"start a new run in another folder from its weights: --weights {self.weights}"
                )
            raise RecipeError(f"{self.checkpoints} holds no checkpoint to resume from; {instead}")
        if not resume and newest is not None:
            raise RecipeError(
                f"{self.path} holds a run already ({newest.name}); go on with --resume, or choose "
                "another folder with --out"
            )
        if not resume and self.weights.exists():
            raise RecipeError(
                f"{self.path} holds the weights of a finished run ({self.weights.name}), which "
                "would be overwritten; choose another folder with --out"
            )
        return newest

    def prune(self, keep: int) -> None:
        """Remove all checkpoints but the ``keep`` newest."""
        found = sorted(self.checkpoints.glob(f"*{SUFFIX}"), key=lambda path: path.stem)
        for path in found[:-keep]:
            path.unlink(missing_ok=True)

    @contextmanager
    def held(self, resume: bool) -> Iterator[None]:
        """Hold the folder for one run. RecipeError where another one writes there right now.

        Raises it like ``start``, too, before anything is made.
        """
        self.start(resume)
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                # No flock: loader processes inherit that, and outlive a killed run for seconds.
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                raise RecipeError(
                    f"{self.path}: another run writes there right now; choose another folder with "
                    "--out"
                ) from error
            self._remove_partial()
            try:
                yield
            finally:
                self._remove_unused()
        finally:
            os.close(handle)

    def _remove_unused(self) -> None:
        """A run that was refused leaves no folder behind."""
        if [path.name for path in self.path.iterdir()] == [_LOCK]:
            (self.path / _LOCK).unlink()
            self.path.rmdir()

    def _remove_partial(self) -> None:
        """What a run that was killed while it wrote a checkpoint left behind."""
        for path in self.checkpoints.glob(f".*{SUFFIX}.*"):
            path.unlink(missing_ok=True)
