"""The whole of online adaptation without ROS: frames in, weights that passed every gate out.

One caller at a time; nothing here starts a thread. A caller's loop:

    observation = adapter.observe(image, stamp_s, K, displacement)
    while (report := adapter.learn()) is not None:
        ...
    release = adapter.consider()
    if release is not None:
        publish(release.weights.to_bytes())
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.adaptation.budget import Budget
from depth_motion_ros.adaptation.pairs import PairRecord
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.models.weights import Weights

# State of an adapter, ``AdaptationStatus.state``.
WAITING, LEARNING, COOLING, OFF = "waiting", "learning", "cooling", "off"


@dataclass(frozen=True)
class Observation:
    """What became of a frame.

    admitted: a pair that ends with it will be learned from (or held back to judge).
    reason: ``admitted``, ``held_back``, or why not: one of ``admission.REASONS``.
    """

    admitted: bool
    reason: str


@dataclass(frozen=True)
class StepReport:
    """One optimiser step. step: how many there have been. loss: of the whole batch; live_loss: of
    its live pairs; terms: by name. gradient_norm: before clipping. skipped: something was not
    finite, and nothing was changed. seconds: processor time."""

    step: int
    loss: float
    live_loss: float
    terms: dict[str, float]
    gradient_norm: float
    skipped: bool
    seconds: float


@dataclass(frozen=True, eq=False)
class Release:
    """Weights that passed every gate.

    weights: metadata ``version`` is ``BASE+N`` and ``parent`` the version before. number: N, rises
    by one with every release and survives save and restore. scores: what the gates saw, by name.
    """

    weights: Weights
    number: int
    scores: dict[str, float]


@dataclass(frozen=True)
class AdaptationStatus:
    """For diagnostics and TensorBoard. Counts are since the start, or that of the saved state.

    state: ``waiting`` (nothing to learn from yet), ``learning``, ``cooling`` (a candidate was
    refused) or ``off`` (too many were). reason: of the last refusal or of being off, for people.
    refused: pairs by reason. losses: ``live``, and of the last candidate ``held_back``,
    ``held_back_running``, ``immutable``, ``immutable_first``, by name; missing until known.
    """

    state: str
    reason: str
    version: str
    frames: int
    admitted: int
    refused: dict[str, int]
    steps: int
    skipped_steps: int
    candidates: int
    released: int
    rolled_back: int
    failures: int
    live_pairs: int
    own_pairs: int
    held_back_pairs: int
    immutable_pairs: int
    cpu_fraction: float
    losses: dict[str, float] = field(default_factory=dict)


class Adapter:
    """Learns from a camera's frames and hands out weights that are no worse.

    weights: what perception runs at the start; also what all bounds are measured from.
    replay: immutable pairs (``immutable.simulated_pairs`` or ``recorded_pairs``).
    budget: None = no limit (offline).
    number: of the newest release so far.
    """

    def __init__(
        self,
        weights: Weights,
        settings: AdaptationSettings,
        replay: Sequence[PairRecord],
        seed: int = 0,
        budget: Budget | None = None,
        number: int = 0,
    ) -> None: ...

    @property
    def running(self) -> Weights:
        """The newest released weights; before the first release those of the start."""

    def observe(
        self,
        image: NDArray[np.uint8],
        stamp_s: float,
        K: NDArray[np.float64] | None = None,
        displacement: Motion | None = None,
    ) -> Observation:
        """Judge the pair that ends with this frame, and keep it where it teaches something.

        image: (H, W, 3) uint8 RGB, rectified, any size (always the same). stamp_s: its time. K:
        (3, 3) in pixels of ``image``; None = the learned intrinsics. displacement: of the camera
        since the previous observed frame, in metres, from odometry; None where there is none.
        """

    def learn(self) -> StepReport | None:
        """One optimiser step; None where there is nothing to learn, no budget, or a cool-down."""

    def consider(self) -> Release | None:
        """When a candidate is due, judge it: release it, or roll the learner back."""

    def rollback(self) -> Release | None:
        """Weights before the newest release, as a new release; None where there were none."""

    def reset(self) -> None:
        """Back to the first weights, on after ``off``; buffers and counts stay."""

    def status(self) -> AdaptationStatus:
        """What there is to tell."""

    def save(self, folder: str | Path) -> None:
        """Write all state into a folder, atomically and durably: a power cut leaves the old."""

    def restore(self, folder: str | Path) -> None:
        """Go on from a saved state.

        Raises AdaptationStateError where it is missing, damaged or of other weights; then nothing
        is changed.
        """
