"""Which pairs are learned from, and that every sample follows from (seed, step, slot)."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
from support.training_helpers import Room

from depth_motion_ros.training.data.pairs import (
    PairDataset,
    PairOrder,
    StepSampler,
    collate,
    find_pairs,
    slots_of,
)
from depth_motion_ros.training.recipe import DataSection, Recipe, RecipeError, parse_recipe


class Shifted:
    """Frames of one texture, shifted by given numbers of pixels in all."""

    name = "shifted"
    camera = None
    has_masks = False
    size = (128, 64)

    def __init__(self, *shifts: int) -> None:
        rng = np.random.default_rng(0)
        # 8-pixel blocks, smoothed: enough texture for flow to follow.
        coarse = rng.integers(0, 255, (8, 40)).astype(np.float32)
        fine = np.kron(coarse, np.ones((8, 8)))
        kernel = np.ones(7) / 7
        for axis in (0, 1):
            fine = np.apply_along_axis(np.convolve, axis, fine, kernel, mode="same")
        self._wide = np.repeat(fine.astype(np.uint8)[:, :, None], 3, axis=2)
        self._shifts = shifts

    def __len__(self) -> int:
        return len(self._shifts)

    def image(self, index: int) -> np.ndarray:
        start = self._shifts[index]
        return np.ascontiguousarray(self._wide[:, start : start + 128])

    def mask(self, index: int) -> None:
        return None


def test_duplicates_are_dropped() -> None:
    pairs = find_pairs(Shifted(0, 4, 4, 8), DataSection())
    assert pairs.tolist() == [[0, 1], [2, 3]]


def test_the_partner_is_the_first_frame_that_has_moved_enough() -> None:
    # 2 % of 128 pixels are 2.56: two frames of 2 pixels, or one of 4.
    recipe = DataSection(pair_step="motion", max_step=3, min_motion=0.02)
    pairs = find_pairs(Shifted(0, 2, 4, 8, 8, 8, 8, 8), recipe)
    assert pairs.tolist() == [[0, 2], [1, 3], [2, 3]]


def test_a_standing_camera_is_refused() -> None:
    with pytest.raises(RecipeError, match="shifted: none of 3 frames"):
        PairDataset([([Shifted(0, 0, 0)], None)], Recipe(), 4)


def test_every_pair_is_seen_once_a_round_in_another_order() -> None:
    order = PairOrder([7], [1.0], seed=3)
    first = [order[i][1] for i in range(7)]
    second = [order[i][1] for i in range(7, 14)]
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_weights_set_the_mixture() -> None:
    order = PairOrder([90, 10], [1.0, 3.0], seed=0)
    seen = collections.Counter(order[i] for i in range(1000))
    per_source = collections.Counter(source for source, _ in seen.elements())
    assert per_source == {0: 250, 1: 750}
    # The small source is repeated evenly: 75 of each of its 10 pairs, give or take one a round.
    assert {count for (source, _), count in seen.items() if source == 1} <= set(range(65, 86))


def test_random_access_gives_the_same_order() -> None:
    order, again = PairOrder([20, 5], [1, 1], seed=1), PairOrder([20, 5], [1, 1], seed=1)
    forward = [order[i] for i in range(100)]
    assert [again[i] for i in reversed(range(100))] == forward[::-1]


def test_samples_depend_on_nothing_but_seed_step_and_slot() -> None:
    room = Room(6, 64, 32)
    recipe = parse_recipe(
        "network: {input_width: 64, input_height: 32}\n"
        "augment: {brightness: 0.2, gray: 0.3, min_crop: 0.5}"
    )
    one = PairDataset([([room], None)], recipe, 4)
    other = PairDataset([([room], None)], recipe, 4)
    other[(0, 1)]
    for a, b in zip(one[(5, 2)], other[(5, 2)], strict=True):
        if a is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert not torch.equal(one[(5, 2)].image_1, one[(6, 2)].image_1)


def test_masks_reach_the_batch() -> None:
    class Masked(Room):
        has_masks = True

        def mask(self, index: int) -> np.ndarray:
            return np.pad(np.ones((32, 32), bool), ((0, 0), (0, 32)))

    recipe = parse_recipe(
        "network: {input_width: 64, input_height: 32}\naugment: {min_crop: 1.0, flip: 0.0}"
    )
    # Next to it a source without masks: there anything may move.
    data = PairDataset([([Masked(4, 64, 32)], 1.0), ([Room(4, 64, 32)], 1.0)], recipe, 8)
    batch = collate([data[(0, slot)] for slot in range(8)])
    assert batch.mask_1 is not None
    shares = batch.mask_1.float().mean(dim=(1, 2, 3))
    assert set(shares.tolist()) == {0.5, 1.0}


def test_devices_share_the_slots_of_a_batch() -> None:
    assert [*slots_of(0, 2, 6), *slots_of(1, 2, 6)] == list(range(6))
    with pytest.raises(RecipeError, match="evenly"):
        slots_of(0, 2, 5)


def test_a_resumed_sampler_goes_on_at_its_step() -> None:
    whole = list(StepSampler(0, 6, range(2)))
    assert list(StepSampler(4, 6, range(2))) == whole[4:]
    assert len(StepSampler(4, 6, range(2))) == 6
