"""The replay buffer: the robot's own past, as diverse as its capacity allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.adaptation.pairing.records import PairRecord


@dataclass(frozen=True, eq=False)
class ReplayEntry:
    """A pair in a buffer.

    record: the pair.
    feature: (F,) float32 of length 1, the network's description of the scene.
    name: unique number for files; rises with every pair.
    """

    record: PairRecord
    feature: Tensor
    name: int


class ReplayBuffer:
    """At most ``capacity`` pairs. A new one replaces the most redundant: of the two most similar
    pairs, the one that is also closer to the rest.

    After an hour in one corridor a robot therefore keeps one picture of it, and all earlier scenes.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._kept: list[ReplayEntry] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[ReplayEntry]:
        return iter(self._kept)

    def __getitem__(self, place: int) -> ReplayEntry:
        return self._kept[place]

    @property
    def bytes(self) -> int:
        """Memory of the images and of what is known of their depth."""
        return sum(kept.record.bytes for kept in self._kept)

    def add(self, kept: ReplayEntry) -> None:
        """Keep a pair; another may go for it, or it may go itself."""
        self._kept.append(kept)
        if len(self._kept) > self.capacity:
            del self._kept[self._most_redundant()]

    def forget(self, unwanted: Callable[[PairRecord], bool]) -> int:
        """Drop pairs; how many."""
        before = len(self._kept)
        self._kept = [kept for kept in self._kept if not unwanted(kept.record)]
        return before - len(self._kept)

    def _most_redundant(self) -> int:
        if len(self._kept) == 1:
            return 0
        features = torch.stack([kept.feature for kept in self._kept])
        similarity = features @ features.T
        similarity.fill_diagonal_(-torch.inf)
        place = int(similarity.argmax())
        closest = [place // len(features), place % len(features)]
        others = similarity[closest]
        others[:, closest] = -torch.inf
        # With two pairs there are no others: the older goes.
        return closest[int(others.max(dim=1).values.argmax())]
