"""An adapter at work in a node: frames in, optimiser steps, saved state, published releases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from depth_motion_ros.adaptation.adapter import AdaptationStatus, Adapter, Release
from depth_motion_ros.adaptation.budget import Budget
from depth_motion_ros.adaptation.errors import AdaptationError, AdaptationStateError
from depth_motion_ros.adaptation.progress import AdaptationInterruptedError, watched
from depth_motion_ros.adaptation.replay.rehearsal_set import cached_pairs, recorded_pairs
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.adaptation.status import OFF
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.nodes.adaptation.curves import LearningCurves
from depth_motion_ros.nodes.adaptation.observations import LearnerObservation
from depth_motion_ros.nodes.adaptation.state import OrderNumbers, StateFolder
from depth_motion_ros.nodes.weights_exchange.protocol import origin_of, seal
from depth_motion_ros.sources.open import open_source


@dataclass(frozen=True)
class Replay:
    """What must not be forgotten. data: a recording; empty = rendered pairs."""

    data: str
    pairs: int


AdapterBuilder = Callable[[Weights, AdaptationSettings, Replay, Budget], Adapter]


def build_adapter(
    weights: Weights, settings: AdaptationSettings, replay: Replay, budget: Budget
) -> Adapter:
    """Raises AdaptationError or SourceError for a recording that is of no use."""
    size = (weights.config.input_width, weights.config.input_height)
    if replay.data:
        with open_source(replay.data) as source:
            pairs = recorded_pairs(source, *size, count=replay.pairs)
    else:
        pairs = cached_pairs(*size, count=replay.pairs)
    return Adapter(weights, settings, pairs, budget=budget)


class AdapterWorker:
    """Belongs on the learner's thread, but for ``status``, ``saved_at`` and ``stop``.

    publish: publishes sealed weights. report: ``report(cause, message)``, logged once per cause.
    log: logs every message.
    """

    def __init__(
        self,
        adapter: Adapter,
        base: Weights,
        budget: Budget,
        folder: StateFolder | None,
        save_period: float,
        curves: LearningCurves | None,
        publish: Callable[[Weights], None],
        log: Callable[[str], object],
        report: Callable[[str, str], None],
    ) -> None:
        self._adapter = adapter
        self._origin = origin_of(base)
        self._first_version = base.version
        self._budget = budget
        self._folder = folder
        self._orders = OrderNumbers(folder)
        self._save_period = save_period
        self._curves = curves
        self._publish = publish
        self._log = log
        self._report = report
        self._stopping = False
        self.status: AdaptationStatus = adapter.status()
        self.saved_at: float | None = None
        self._save_after = time.monotonic() + save_period
        self._accounted = time.process_time() - budget.spent

    def begin(self) -> None:
        """Continue from the saved state, and publish its last release."""
        if self._folder is not None and self._folder.adapter.exists():
            try:
                self._adapter.restore(self._folder.adapter)
            except AdaptationStateError as error:
                self._report("state refused", f"{error}; learning starts again")
            else:
                self.status = self._adapter.status()
                self._log(
                    f"continuing after {self.status.steps} steps with {self.status.version!r}"
                )
        running = self._adapter.running
        if running.version != self._first_version:
            self._publish_sealed(running)
        # Loading and rendering happen once; the budget counts learning alone.
        self._accounted = time.process_time() - self._budget.spent

    def serve(self, seen: LearnerObservation) -> None:
        """Observe one frame, learn as far as the budget goes, and release what has passed."""
        with watched(self._end_if_stopping):
            self._serve(seen)

    def _serve(self, seen: LearnerObservation) -> None:
        self._charge()
        self._adapter.observe(seen.image, seen.stamp, seen.K, seen.displacement)
        while not self._stopping and (report := self._adapter.learn()) is not None:
            if self._curves is not None:
                self._curves.add_step(report)
        release = self._consider()
        if release is not None:
            self._keep(release)
        elif self._folder is not None and time.monotonic() >= self._save_after:
            self._save()
        self._look()

    def _consider(self) -> Release | None:
        """Judging a candidate takes long: one that is interrupted is judged another time."""
        if self._stopping:
            return None
        try:
            return self._adapter.consider()
        except AdaptationInterruptedError:
            return None

    def _end_if_stopping(self, work: str, done: int, total: int) -> None:
        if self._stopping:
            raise AdaptationInterruptedError(f"stopped after {done} of {total} in {work}")

    def rollback(self) -> str:
        """Withdraw the newest release; returns the version now published.

        Raises AdaptationError.
        """
        release = self._adapter.rollback()
        if release is None:
            raise AdaptationError(f"nothing was released before {self._adapter.running.version!r}")
        self._keep(release)
        self._look()
        return release.weights.version

    def resume(self) -> None:
        """Switch learning on again after too many failures, from the first weights."""
        if self._adapter.status().state == OFF:
            self._keep(self._adapter.reset())
        self._look()

    def save(self) -> Path:
        """Write the state now. Raises AdaptationError where there is no folder or no space."""
        if self._folder is None:
            raise AdaptationError("persist is false: there is no folder to save in")
        if not self._save():
            raise AdaptationError(f"the state cannot be written to {self._folder.path}")
        return self._folder.path

    def stop(self) -> None:
        """From any thread: end after the step in hand."""
        self._stopping = True

    def close(self) -> None:
        """Save once more; then the folder is free for another learner."""
        if self._folder is not None:
            self._save()
            self._folder.close()
        if self._curves is not None:
            self._curves.close()

    def _keep(self, release: Release) -> None:
        """Saved first: a later learner knows every release that was published."""
        if self._folder is not None:
            self._save()
        self._publish_sealed(release.weights)
        scores = ", ".join(f"{name} {score:.4g}" for name, score in release.scores.items())
        self._log(f"released {release.weights.version!r} ({scores})")

    def _publish_sealed(self, weights: Weights) -> None:
        self._publish(seal(weights, self._origin, self._orders.next()))

    def _save(self) -> bool:
        assert self._folder is not None
        self._save_after = time.monotonic() + self._save_period
        try:
            self._adapter.save(self._folder.adapter)
        except OSError as error:
            self._report("state not saved", f"{self._folder.path}: {error.strerror}")
            return False
        self.saved_at = time.monotonic()
        return True

    def _look(self) -> None:
        before, self.status = self.status, self._adapter.status()
        decided = (before.candidates, before.state) != (self.status.candidates, self.status.state)
        if decided and self.status.state != before.state:
            self._log(f"{before.state} -> {self.status.state}: {self.status.reason}".rstrip(": "))
        if self._curves is not None and (decided or self.status.steps // 100 > before.steps // 100):
            self._curves.add_status(self.status)

    def _charge(self) -> None:
        """Receiving, decoding and saving come out of the same budget."""
        beside = time.process_time() - self._budget.spent - self._accounted
        if beside > 0:
            self._budget.charge(beside)
        self._accounted = time.process_time() - self._budget.spent
