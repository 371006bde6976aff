"""The pairs that teach and those that judge, and what each step takes of them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from depth_motion_ros.adaptation.learner import LearnerBatch
from depth_motion_ros.adaptation.pairing.records import PairRecord, batch_of
from depth_motion_ros.adaptation.replay.buffer import ReplayBuffer, ReplayEntry
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.models.network import DepthMotionNet

# The newest pairs, of which each step takes some.
_LIVE = 8


class PairPool:
    """Immutable pairs that teach, the robot's own, the newest, and those held back to judge.

    teaching: immutable pairs; first: the network with the first weights, which says where to hold
    the depth of these.
    """

    def __init__(
        self,
        teaching: Sequence[PairRecord],
        first: DepthMotionNet,
        settings: AdaptationSettings,
        chance: random.Random,
    ) -> None:
        self._settings = settings
        self._chance = chance
        self._teaching = list(teaching)
        self._first_depths = [_depths(first, record) for record in self._teaching]
        self.live: deque[PairRecord] = deque(maxlen=_LIVE)
        self.own = ReplayBuffer(settings.own_capacity)
        # As diverse as the own pairs: what a robot sees last must not be all that judges.
        self.judges = ReplayBuffer(settings.held_back_capacity)
        self._admitted = 0

    @property
    def immutable_count(self) -> int:
        return len(self._teaching)

    @property
    def held_back(self) -> list[PairRecord]:
        """The pairs that judge."""
        return [kept.record for kept in self.judges]

    @property
    def next_is_held_back(self) -> bool:
        """Whether the next pair will judge."""
        return (self._admitted + 1) % self._settings.hold_back_every == 0

    @property
    def newest_is_held_back(self) -> bool:
        """Whether the last pair judges."""
        return self._admitted > 0 and self._admitted % self._settings.hold_back_every == 0

    def add(self, record: PairRecord, feature: Tensor) -> None:
        """Keep an admitted pair: to teach, or to judge."""
        kept = ReplayEntry(record, feature, self._admitted)
        self._admitted += 1
        if self.newest_is_held_back:
            self.judges.add(kept)
            return
        self.live.append(record)
        if self._settings.own_capacity:
            self.own.add(kept)

    def batch(self) -> LearnerBatch:
        """What the next step learns from: the newest pair, and some of all others."""
        settings, chance = self._settings, self._chance
        newest = list(self.live)
        live = newest[-1:] + [chance.choice(newest) for _ in range(settings.live_per_step - 1)]
        own = [
            chance.choice(self.own).record for _ in range(settings.own_per_step if self.own else 0)
        ]
        places = [chance.randrange(len(self._teaching)) for _ in range(settings.immutable_per_step)]
        return LearnerBatch(
            live,
            own,
            [self._teaching[place] for place in places],
            [self._first_depths[place] for place in places],
        )

    def forget_after(self, stamp: float) -> None:
        """Drop all live pairs, and what was kept after a time: it may be what did the harm."""
        self.live.clear()
        self.own.forget(lambda record: record.stamp > stamp)
        self.judges.forget(lambda record: record.stamp > stamp)

    def restore(
        self, own: Sequence[ReplayEntry], judges: Sequence[ReplayEntry], admitted: int
    ) -> None:
        """Go on with pairs from a saved state."""
        self.live.clear()
        self.own = ReplayBuffer(self._settings.own_capacity)
        self.judges = ReplayBuffer(self._settings.held_back_capacity)
        for buffer, pairs in ((self.own, own), (self.judges, judges)):
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
