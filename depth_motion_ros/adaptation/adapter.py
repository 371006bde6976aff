"""The whole of online adaptation without ROS: frames in, weights that passed every gate out.

One caller at a time; nothing here starts a thread. A caller's loop:

    adapter.observe(image, stamp_s, K, displacement)
    while adapter.learn() is not None:
        pass
    release = adapter.consider()
    if release is not None:
        publish(release.weights.to_bytes())
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.adaptation.budget import Budget
from depth_motion_ros.adaptation.errors import AdaptationStateError
from depth_motion_ros.adaptation.learner import Learner, StepReport
from depth_motion_ros.adaptation.pairing.admission import check_images
from depth_motion_ros.adaptation.pairing.frame_pairing import FramePairing
from depth_motion_ros.adaptation.pairing.inspection import inspect
from depth_motion_ros.adaptation.pairing.records import PairRecord
from depth_motion_ros.adaptation.pairing.triangulation import FrameTriangulator
from depth_motion_ros.adaptation.release import (
    REFUSED,
    RELEASED,
    Release,
    ReleaseDecision,
    ReleaseGate,
    ReleaseVersions,
)
from depth_motion_ros.adaptation.replay.pair_pool import PairPool
from depth_motion_ros.adaptation.replay.rehearsal_set import check_sizes, split
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.adaptation.state import SavedState, read_state, write_state
from depth_motion_ros.adaptation.status import (
    ADMITTED,
    COOLING,
    HELD_BACK,
    LEARNING,
    OFF,
    WAITING,
    AdaptationCounts,
    AdaptationStatus,
    AdmissionResult,
)
from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.models.weights import Weights, build_network

__all__ = ["AdaptationStatus", "Adapter", "AdmissionResult", "Release", "StepReport"]

# Learning may be this many pairs behind; examining more of them would only cost time.
_BEHIND = 3
# Shares of the change of a candidate that goes too far.
_SHORTER = (0.5, 0.25)


class Adapter:
    """Learns from a camera's frames and releases weights that are no worse.

    weights: what perception runs at the start; also what all bounds are measured from.
    replay: rehearsal pairs at the network's size (``rehearsal_set.cached_pairs`` or
        ``recorded_pairs``); every second one is trained on, the others are for validation.
    budget: None = no limit (offline).
    number: of the newest release so far; weights of version ``BASE+N`` begin at N or higher.

    Raises AdaptationError for pairs of another size or fewer than two.
    """

    def __init__(
        self,
        weights: Weights,
        settings: AdaptationSettings,
        replay: Sequence[PairRecord],
        seed: int = 0,
        budget: Budget | None = None,
        number: int = 0,
    ) -> None:
        width, height = weights.config.input_width, weights.config.input_height
        check_sizes(replay, width, height)
        rehearsal_training, rehearsal_validation = split(list(replay))
        self.settings = settings
        self._first = self._running = weights
        self._previous: Weights | None = None
        self._running_network = build_network(weights)
        self._versions = ReleaseVersions(weights.version, number)
        self._budget = budget
        self._pairing = FramePairing(width, height)
        self._triangulator = FrameTriangulator(width, height, settings)
        self._learner = Learner(weights, settings)
        self._gate = ReleaseGate(weights, rehearsal_validation, settings)
        self._memory = PairPool(
            rehearsal_training, self._running_network, settings, random.Random(seed)
        )
        self._counts = AdaptationCounts()
        self._losses: dict[str, float] = {}
        self._reason = ""
        # Steps owed to admitted pairs, and the count of steps at the last candidate.
        self._due = self._considered_at = 0
        self._now = self._cool_until = self._evaluated_until = -float("inf")
        self._is_off = False

    @property
    def running(self) -> Weights:
        """The newest released weights; before the first release those of the start."""
        return self._running

    @property
    def number(self) -> int:
        """Of the newest release; 0 before the first."""
        return self._versions.number

    def observe(
        self,
        image: NDArray[np.uint8],
        stamp_s: float,
        K: NDArray[np.float64] | None = None,
        displacement: Motion | None = None,
    ) -> AdmissionResult:
        """Examine the pair that ends with this frame, and keep it if it is worth training on.

        image: (H, W, 3) uint8 RGB, rectified, any size. stamp_s: its time; cool-downs are measured
        by it. K: (3, 3) in pixels of ``image``; None = the learned intrinsics. displacement: of the
        camera since the previous observed frame, in metres, from odometry; None where there is
        none. A frame that is refused changes nothing but counts.
        """
        self._counts.frames += 1
        self._now = stamp_s
        reason = self._look(image, stamp_s, K, displacement)
        if reason:
            self._counts.refused[reason] = self._counts.refused.get(reason, 0) + 1
            return AdmissionResult(False, reason)
        self._counts.admitted += 1
        return AdmissionResult(True, HELD_BACK if self._memory.newest_is_held_back else ADMITTED)

    def learn(self) -> StepReport | None:
        """One optimiser step; None where there is nothing to learn, no budget, or a cool-down."""
        if self._due == 0 or self._is_off or self._is_cooling:
            return None
        if self._budget is not None and self._budget.wait_time() > 0:
            return None
        self._due -= 1
        before = time.process_time()
        with self._spend(is_step=True):
            report = self._learner.step(self._memory.batch())
        self._losses["live"] = report.live_loss
        self._counts.steps += 1
        self._counts.skipped_steps += report.skipped
        return replace(report, step=self._counts.steps, seconds=time.process_time() - before)

    def consider(self) -> Release | None:
        """When a candidate is due, validate it: release it, continue, or roll the learner back."""
        if not self._is_candidate_due:
            return None
        self._considered_at = self._counts.steps
        self._counts.candidates += 1
        with self._spend(is_step=False):
            share, verdict = self._judge()
        self._losses.update(verdict.scores)
        self._reason = verdict.reason
        if verdict.outcome == REFUSED:
            self._refuse()
            return None
        self._evaluated_until = self._now
        if verdict.outcome != RELEASED:
            return None
        self._counts.failures = 0
        if share < 1:
            self._learner.restart(self._learner.weights(share, self._running))
        return self._release(self._learner.weights(), verdict.scores)

    def _judge(self) -> tuple[float, ReleaseDecision]:
        """The verdict on the learner's average, or on a part of the way there.

        What was learned is often good and only goes too far: between the running weights and the
        average (Wortsman et al., arXiv 2109.01903) most of the gain is left and less is forgotten.
        """
        held_back = self._memory.held_back
        whole = self._gate.decide(self._learner.averaged, self._running_network, held_back)
        if whole.outcome != REFUSED:
            return 1.0, whole
        for share in _SHORTER:
            candidate = build_network(self._learner.weights(share, self._running))
            verdict = self._gate.decide(candidate, self._running_network, held_back)
            if verdict.outcome == RELEASED:
                return share, verdict
        return 1.0, whole

    def rollback(self) -> Release | None:
        """The weights before the newest release, as a new release; None where there are none.

        The learner starts over from them after a cool-down.
        """
        if self._previous is None:
            return None
        release = self._release(self._previous, {})
        self._previous = None
        self._reason = "rolled back on request"
        self._start_over()
        return release

    def reset(self) -> Release:
        """Back to the first weights, as a new release, and on again after ``off``."""
        release = self._release(self._first, {})
        self._previous = None
        self._start_over()
        self._is_off, self._reason = False, ""
        self._counts.failures = 0
        self._cool_until = -float("inf")
        return release

    def status(self) -> AdaptationStatus:
        """The status, for diagnostics."""
        return AdaptationStatus(
            state=self._state,
            reason=self._reason,
            version=self._running.version,
            live_pairs=len(self._memory.live),
            own_pairs=len(self._memory.own),
            held_back_pairs=len(self._memory.held_back),
            rehearsal_pairs=self._memory.rehearsal_count + self._gate.rehearsal_count,
            cpu_fraction=self._budget.fraction if self._budget is not None else float("nan"),
            losses=dict(self._losses),
            depth=self._triangulator.status,
            **asdict(self._counts),
        )

    def save(self, folder: str | Path) -> None:
        """Write all state into a folder, durably: a power cut leaves the old state or the new.

        Raises OSError.
        """
        write_state(Path(folder), self._saved())

    def restore(self, folder: str | Path) -> None:
        """Continue from a saved state.

        Raises AdaptationStateError where it is missing, damaged or of other weights; then nothing
        is changed.
        """
        state = read_state(Path(folder), self._first)
        try:
            self._learner.restore(state.learner)
        except (KeyError, RuntimeError) as error:
            self._learner.restart(self._running)
            raise AdaptationStateError(
                f"{folder}: the learner's state does not fit ({error}); remove the folder and "
                "adaptation starts again"
            ) from error
        self._running, self._previous = state.running, state.previous
        self._running_network = build_network(state.running)
        self._gate.running_changed(self._running_network)
        self._memory.restore(state.own, state.held_back, state.admitted)
        self._versions.number = max(self._versions.number, state.number)
        self._counts = state.counts
        self._considered_at = state.counts.steps
        self._due = 0
        self._is_off, self._reason = state.is_off, state.reason
        self._pairing.close()

    def _look(
        self,
        image: NDArray[np.uint8],
        stamp: float,
        K: NDArray[np.float64] | None,
        displacement: Motion | None,
    ) -> str:
        """One of ``admission.REASONS``, or empty where the pair was admitted."""
        if self._is_off or self._is_cooling:
            self._pairing.close()
            self._triangulator.forget()
            return OFF if self._is_off else COOLING
        view_pair = self._pairing.see(image, stamp, K, displacement)
        if view_pair != "bad_image":
            self._triangulator.see(image, stamp, K)
        if isinstance(view_pair, str):
            return view_pair
        reason = check_images(view_pair.first, view_pair.second, view_pair.K, self.settings)
        if not reason and not self._has_time:
            reason = "budget"
        if reason:
            self._pairing.refuse(reason, self.settings)
            return reason
        record = view_pair.record()
        with self._spend(is_step=False):
            found = inspect(self._learner.averaged, record, self.settings)
        self._pairing.add_intrinsics(found.K)
        if found.reason:
            self._pairing.refuse(found.reason, self.settings)
            return found.reason
        record = self._with_depth(record, view_pair.first.stamp)
        self._pairing.advance()
        self._memory.add(record, found.feature)
        if self._memory.newest_is_held_back or self._memory.next_is_held_back:
            # Validation pairs share no image with training pairs.
            self._pairing.close()
        if not self._memory.newest_is_held_back:
            self._due = min(self._due + self.settings.steps_per_pair, self._most_due)
        return ""

    def _with_depth(self, record: PairRecord, first_stamp: float) -> PairRecord:
        """The pair with its triangulated depth, where that is known."""
        with self._spend(is_step=False):
            depth_1, depth_2 = self._triangulator.depths(first_stamp)
        if depth_1 is None and depth_2 is None:
            return record
        self._counts.triangulated += 1
        return replace(record, depth_1=depth_1, depth_2=depth_2)

    def _saved(self) -> SavedState:
        return SavedState(
            first=self._first,
            running=self._running,
            previous=self._previous,
            learner=self._learner.state(),
            own=list(self._memory.own),
            held_back=list(self._memory.validation),
            admitted=self._memory.admitted,
            number=self._versions.number,
            counts=self._counts,
            is_off=self._is_off,
            reason=self._reason,
        )

    def _release(self, weights: Weights, scores: dict[str, float]) -> Release:
        release = self._versions.release(weights, self._running.version, scores)
        self._previous, self._running = self._running, release.weights
        self._running_network = build_network(release.weights)
        self._gate.running_changed(self._running_network)
        self._counts.released += 1
        return release

    def _refuse(self) -> None:
        self._counts.failures += 1
        if self._counts.failures >= self.settings.max_failures:
            self._is_off = True
            self._reason = (
                f"switched off after {self._counts.failures} refused candidates in a row; "
                f"the last: {self._reason}"
            )
        self._start_over()

    def _start_over(self) -> None:
        """The learner goes back to the running weights and waits; what it learned from is gone."""
        self._counts.rolled_back += 1
        self._learner.restart(self._running)
        self._memory.forget_after(self._evaluated_until)
        self._pairing.close()
        self._due = 0
        self._considered_at = self._counts.steps
        self._cool_until = self._now + self.settings.cool_down

    def _spend(self, is_step: bool) -> AbstractContextManager[None]:
        return nullcontext() if self._budget is None else self._budget.spend(is_step)

    @property
    def _most_due(self) -> int:
        return _BEHIND * self.settings.steps_per_pair

    @property
    def _has_time(self) -> bool:
        """To look at one more pair: the budget allows it, and learning is not far behind."""
        if self._budget is not None and self._budget.wait_time(is_step=False) > 0:
            return False
        return self._due < self._most_due

    @property
    def _is_cooling(self) -> bool:
        return self._now < self._cool_until

    @property
    def _is_candidate_due(self) -> bool:
        return (
            not self._is_off
            and not self._is_cooling
            and self._counts.steps - self._considered_at >= self.settings.steps_per_candidate
            and len(self._memory.held_back) >= self.settings.min_held_back
        )

    @property
    def _state(self) -> str:
        if self._is_off:
            return OFF
        if self._is_cooling:
            return COOLING
        return LEARNING if self._memory.live else WAITING
