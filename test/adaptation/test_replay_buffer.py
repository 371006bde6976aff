"""The robot's past stays diverse, and within its memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.adaptation_scenes import pair, rehearsal_pairs, settings, untrained

from depth_motion_ros.adaptation.pairing.records import PairRecord
from depth_motion_ros.adaptation.replay.buffer import ReplayBuffer, ReplayEntry
from depth_motion_ros.adaptation.replay.pair_pool import PairPool
from depth_motion_ros.models.weights import build_network

RECORD = pair()


def kept(name: int, angle: float) -> ReplayEntry:
    """A pair whose scene looks like ``angle``: features are alike where angles are close."""
    feature = torch.tensor([np.cos(angle), np.sin(angle)], dtype=torch.float32)
    return ReplayEntry(replace(RECORD, stamp=float(name)), feature, name)


def test_an_hour_in_one_corridor_does_not_push_out_the_rest() -> None:
    buffer = ReplayBuffer(5)
    for name, angle in enumerate((0.0, 1.0, 2.0)):
        buffer.add(kept(name, angle))
    for name in range(3, 300):
        buffer.add(kept(name, 3.0 + 1e-4 * name))
    assert {0, 1, 2} <= {one.name for one in buffer}
    assert len(buffer) == 5


def test_memory_is_bounded() -> None:
    buffer = ReplayBuffer(7)
    depth = torch.ones(1, 64, 128, dtype=torch.float16)
    for name in range(40):
        one = kept(name, 0.1 * name)
        record = replace(one.record, depth_1=depth, depth_2=depth)
        buffer.add(replace(one, record=record))
    # Two images of 3·64·128 bytes, two depths of 2·64·128 and nine numbers of 4 for each pair.
    assert buffer.bytes == 7 * (2 * (3 + 2) * 64 * 128 + 36)


def test_a_buffer_of_one_keeps_one() -> None:
    buffer = ReplayBuffer(1)
    for name in range(3):
        buffer.add(kept(name, float(name)))
    assert len(buffer) == 1


def test_what_may_have_done_harm_can_be_forgotten() -> None:
    buffer = ReplayBuffer(9)
    for name in range(6):
        buffer.add(kept(name, float(name)))
    assert buffer.forget(lambda record: record.stamp > 3) == 2
    assert [one.name for one in buffer] == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def memory() -> PairPool:
    import random

    first = build_network(untrained())
    chosen = settings(hold_back_every=4, held_back_capacity=3, min_held_back=2, own_capacity=5)
    filled = PairPool(rehearsal_pairs(3), first, chosen, random.Random(0))
    for name in range(40):
        filled.add(replace(RECORD, stamp=float(name)), torch.eye(40)[name])
    return filled


def names(records: list[PairRecord]) -> set[float]:
    return {record.stamp for record in records}


def test_every_fourth_pair_judges_and_never_teaches(memory: PairPool) -> None:
    judges = names(memory.held_back)
    # The newest three of 3, 7, 11, …
    assert judges == {31.0, 35.0, 39.0}
    taught: set[float] = set()
    for _ in range(100):
        batch = memory.batch()
        taught |= names([*batch.live, *batch.own])
    assert all(stamp % 4 != 3 for stamp in taught)


def test_each_batch_mixes_live_own_and_rehearsal(memory: PairPool) -> None:
    batch = memory.batch()
    assert batch.live[0].stamp == 38.0
    assert (len(batch.live), len(batch.own), len(batch.rehearsal)) == (1, 1, 2)
    assert batch.first_depths[0].shape == (2, 1, 64, 128)


def test_forgetting_keeps_what_was_judged_to_be_harmless(memory: PairPool) -> None:
    before = len(memory.own)
    memory.forget_after(35.0)
    assert not memory.live
    assert names(memory.held_back) == {31.0, 35.0}
    assert all(one.record.stamp <= 35.0 for one in memory.own)
    assert 0 < len(memory.own) <= before
