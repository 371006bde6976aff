"""Training and validation pairs, and the batch of each step."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from depth_motion_ros.adaptation.learner import LearnerBatch
from depth_motion_ros.adaptation.pairing.records import PairRecord, batch_of
from depth_motion_ros.adaptation.progress import tell_progress
from depth_motion_ros.adaptation.replay.buffer import ReplayBuffer, ReplayEntry
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.models.network import DepthMotionNet

# Number of newest pairs to draw from.
_LIVE = 8


class PairPool:
    """Pairs for training (rehearsal, the robot's own, the newest) and those held for validation.

    training: rehearsal pairs; first: the network with the first weights, whose depth of these pairs
    is the anchor.
    """

    def __init__(
        self,
        training: Sequence[PairRecord],
        first: DepthMotionNet,
        settings: AdaptationSettings,
        chance: random.Random,
    ) -> None:
        self._settings = settings
        self._chance = chance
        self._training = list(training)
        self._first_depths: list[Tensor] = []
        for record in self._training:
            tell_progress("seeing pairs", len(self._first_depths), len(self._training))
            self._first_depths.append(_depths(first, record))
        self.live: deque[PairRecord] = deque(maxlen=_LIVE)
        self.own = ReplayBuffer(settings.own_capacity)
        # As diverse as the own pairs: validation must not depend on the last view alone.
        self.validation = ReplayBuffer(settings.held_back_capacity)
        self._admitted = 0

    @property
    def rehearsal_count(self) -> int:
        return len(self._training)

    @property
    def held_back(self) -> list[PairRecord]:
        """The live validation pairs."""
        return [kept.record for kept in self.validation]

    @property
    def next_is_held_back(self) -> bool:
        """Whether the next pair is held back."""
        return (self._admitted + 1) % self._settings.hold_back_every == 0

    @property
    def newest_is_held_back(self) -> bool:
        """Whether the last pair was held back."""
        return self._admitted > 0 and self._admitted % self._settings.hold_back_every == 0

    def add(self, record: PairRecord, feature: Tensor) -> None:
        """Keep an admitted pair, for training or for validation."""
        kept = ReplayEntry(record, feature, self._admitted)
        self._admitted += 1
        if self.newest_is_held_back:
            self.validation.add(kept)
            return
        self.live.append(record)
        if self._settings.own_capacity:
            self.own.add(kept)

    def batch(self) -> LearnerBatch:
        """The batch of the next step: the newest pair, and some of all others."""
        settings, chance = self._settings, self._chance
        newest = list(self.live)
        live = newest[-1:] + [chance.choice(newest) for _ in range(settings.live_per_step - 1)]
        own = [
            chance.choice(self.own).record for _ in range(settings.own_per_step if self.own else 0)
        ]
        places = [chance.randrange(len(self._training)) for _ in range(settings.rehearsal_per_step)]
        return LearnerBatch(
            live,
            own,
            [self._training[place] for place in places],
            [self._first_depths[place] for place in places],
        )

    def forget_after(self, stamp: float) -> None:
        """Drop all live pairs, and what was kept after a time: it may be what did the harm."""
        self.live.clear()
        self.own.forget(lambda record: record.stamp > stamp)
        self.validation.forget(lambda record: record.stamp > stamp)

    def restore(
        self, own: Sequence[ReplayEntry], validation: Sequence[ReplayEntry], admitted: int
    ) -> None:
        """Continue with the pairs of a saved state."""
        self.live.clear()
        self.own = ReplayBuffer(self._settings.own_capacity)
        self.validation = ReplayBuffer(self._settings.held_back_capacity)
        for buffer, pairs in ((self.own, own), (self.validation, validation)):
            for kept in pairs:
                buffer.add(kept)
        self._admitted = admitted

    @property
    def admitted(self) -> int:
        """Pairs so far: names the next."""
        return self._admitted


@torch.no_grad()
def _depths(network: DepthMotionNet, record: PairRecord) -> Tensor:
    """(2, 1, H, W), of both frames."""
    data = batch_of([record])
    depth: Tensor = network.depth_net(torch.cat((data.image_1, data.image_2)))
    return depth
