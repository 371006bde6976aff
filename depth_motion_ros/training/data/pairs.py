"""Pairs of frames: which are worth learning from, in what order, and as what tensors.

Everything about a sample is a function of (seed, step, slot), so a run that is resumed at a step
sees exactly the samples it would have seen, whatever the number of workers and devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from depth_motion_ros.training.data.augment import CropWindow, draw_jitter, draw_window, whole
from depth_motion_ros.training.data.frames import FrameSet
from depth_motion_ros.training.recipe import DataSection, Recipe, RecipeError
from depth_motion_ros.training.triangulation.pairs import PairTriangulation, TriangulatedLabel

# Flow is only asked for its median, so a thumbnail is enough.
_THUMBNAIL_WIDTH = 128


class Pairs(NamedTuple):
    """A batch of B pairs at (H, W), as it comes from the loader.

    image_1, image_2: (B, 3, H, W) uint8, or float in [0, 1] where made on the device. K: (B, 3, 3)
    float32 of both, pixels; where ``known`` (B,) is false it says nothing. mask_1, mask_2:
    (B, 1, H, W) bool, where something may move by itself, None where no source says. jitter:
    (B, 3), see ``augment.apply_jitter``. triangulated: None where nothing asks for it.
    """

    image_1: Tensor
    image_2: Tensor
    K: Tensor
    known: Tensor
    mask_1: Tensor | None
    mask_2: Tensor | None
    jitter: Tensor
    triangulated: TriangulatedLabel | None = None

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Pairs:
        """The same with ``function`` applied to every tensor."""
        one, two, K, known, mask_1, mask_2, jitter, label = self
        return Pairs(
            function(one),
            function(two),
            function(K),
            function(known),
            None if mask_1 is None else function(mask_1),
            None if mask_2 is None else function(mask_2),
            function(jitter),
            None if label is None else TriangulatedLabel(*map(function, label)),
        )


class ValidationPair(NamedTuple):
    """``Pairs`` of one pair, and the name of its source."""

    pairs: Pairs
    name: str


def find_pairs(frames: FrameSet, recipe: DataSection) -> NDArray[np.int64]:
    """(P, 2) indices of the pairs of a sequence worth learning from, earlier frame first.

    A pair that hardly differs (``duplicate_threshold``) is dropped. With ``pair_step: motion`` the
    partner is the first later frame that the image has moved ``min_motion`` widths for, in the
    median of a dense flow, and a frame without such a partner within ``max_step`` is dropped.
    """
    thumbnails = [_thumbnail(frames.image(index)) for index in range(len(frames))]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    found = []
    for first, start in enumerate(thumbnails):
        for second in range(first + 1, min(first + recipe.max_step, len(frames) - 1) + 1):
            end = thumbnails[second]
            if np.abs(end.astype(np.float32) - start).mean() / 255 <= recipe.duplicate_threshold:
                continue
            if recipe.pair_step == "motion":
                moved = np.linalg.norm(flow.calc(start, end, None), axis=2)  # type: ignore[call-overload]
                if np.median(moved) < recipe.min_motion * start.shape[1]:
                    continue
            found.append((first, second))
            break
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height = max(16, round(image.shape[0] * _THUMBNAIL_WIDTH / image.shape[1]))
    small = cv2.resize(gray, (_THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


class PairOrder:
    """The endless, shuffled order in which the pairs of several sources are seen.

    One round has as many samples as there are pairs; every source gets its share of a round, and
    within it no pair is seen twice before all have been seen once.

    counts: pairs of each source. weights: relative shares, not negative.
    """

    def __init__(self, counts: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self._counts, self._seed = tuple(counts), seed
        self._round = sum(counts)
        shares = np.asarray(weights, dtype=np.float64)
        if not len(counts) or min(counts) < 1:
            raise RecipeError(f"every source needs at least one pair, got {list(counts)}")
        if not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() == 0:
            raise RecipeError(f"weights must be >= 0 and not all 0, got {list(weights)}")
        ends = np.rint(np.cumsum(shares) / shares.sum() * self._round).astype(int)
        self._quotas = np.diff(ends, prepend=0)
        self._cached: tuple[int, NDArray[np.int64]] = (-1, np.zeros((0, 2), np.int64))

    def __getitem__(self, index: int) -> tuple[int, int]:
        """(source, pair) of the sample with this number, from 0."""
        number, position = divmod(index, self._round)
        if self._cached[0] != number:
            self._cached = (number, self._shuffled(number))
        source, pair = self._cached[1][position]
        return int(source), int(pair)

    def _shuffled(self, number: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((self._seed, number))
        parts = []
        for source, (count, quota) in enumerate(zip(self._counts, self._quotas, strict=True)):
            rounds = [rng.permutation(count) for _ in range(-(-int(quota) // count))]
            picked = np.concatenate([*rounds, np.zeros(0, np.int64)])[:quota].astype(np.int64)
            parts.append(np.stack((np.full(quota, source), picked), axis=1))
        joined = np.concatenate(parts)
        return joined[rng.permutation(len(joined))]


Share = tuple[Sequence[FrameSet], "float | None"]


class PairSample(NamedTuple):
    """One sample: its source, its frames, and how they are cut, coloured and sized."""

    source: int
    first: int
    second: int
    window: CropWindow
    jitter: NDArray[np.float32]
    size: tuple[int, int]


class PairDataset(Dataset[Pairs]):
    """Augmented pairs by (step, slot), slot being the place in the whole batch of all devices.

    sources: groups of frame sets, each with its weight relative to the other groups; within a
    group pairs weigh the same. None, for all groups: every pair weighs the same.

    Raises RecipeError where a group has no pair worth learning from.
    """

    def __init__(self, sources: Sequence[Share], recipe: Recipe, per_step: int) -> None:
        self._recipe, self._per_step = recipe, per_step
        self._sources: list[FrameSet] = []
        self._pairs: list[NDArray[np.int64]] = []
        weights: list[float] = []
        for group, weight in sources:
            found = [(frames, find_pairs(frames, recipe.data)) for frames in group]
            found = [(frames, pairs) for frames, pairs in found if len(pairs)]
            if not found:
                names = ", ".join(frames.name for frames in group)
                raise RecipeError(
                    f"{names}: none of {sum(map(len, group))} frames has a partner that differs "
                    f"by more than {recipe.data.duplicate_threshold} (and has moved enough); a "
                    "nothing can be learned from a standing camera, leave it out"
                )
            total = sum(len(pairs) for _, pairs in found)
            for frames, pairs in found:
                self._sources.append(frames)
                self._pairs.append(pairs)
                weights.append(len(pairs) if weight is None else weight * len(pairs) / total)
        self._order = PairOrder([len(pairs) for pairs in self._pairs], weights, recipe.seed)
        self._masked = any(frames.has_masks for frames in self._sources)
        self._truth = PairTriangulation(recipe) if recipe.data.recorded != "images" else None
        if self._truth is not None:
            self._truth.check(self._sources)
            for frames, pairs in zip(self._sources, self._pairs, strict=True):
                self._truth.gather(frames, [(int(a), int(b)) for a, b in pairs])

    def __len__(self) -> int:
        return sum(len(pairs) for pairs in self._pairs)

    @property
    def sources(self) -> Sequence[FrameSet]:
        """The frame sets that pairs are drawn from; ``PairSample.source`` is a place among them."""
        return self._sources

    def draw(self, key: tuple[int, int]) -> PairSample:
        """Which pair of frames has this (step, slot), and what is changed about it."""
        step, slot = key
        source, pair = self._order[step * self._per_step + slot]
        rng = np.random.default_rng((self._recipe.seed, step, slot))
        first, second = self._pairs[source][pair]
        window = draw_window(rng, *self._sources[source].size, self._recipe.augment)
        jitter = draw_jitter(rng, self._recipe.augment)
        return PairSample(
            source, int(first), int(second), window, jitter, self._recipe.size_at(step)
        )

    def motion(self, drawn: PairSample) -> NDArray[np.float32]:
        """(3, 4) as triangulated, not mirrored; NaN where it is unknown or not asked for."""
        if self._truth is None:
            return np.full((3, 4), np.nan, np.float32)
        return self._truth.motion(self._sources[drawn.source], drawn.first, drawn.second)

    def __getitem__(self, key: tuple[int, int]) -> Pairs:  # type: ignore[override]
        source, first, second, window, jitter, size = self.draw(key)
        frames = self._sources[source]
        found = _tensors(frames, first, second, window, size, jitter, self._masked)
        if self._truth is None:
            return found
        return found._replace(triangulated=self._truth(frames, first, second, window, size))


class ValidationDataset(Dataset[ValidationPair]):
    """Evenly spread, unchanged pairs of every source: at most ``per_source`` of each."""

    def __init__(self, sources: Sequence[FrameSet], recipe: Recipe, per_source: int = 50) -> None:
        self._size = recipe.size_at(recipe.schedule.steps)
        self._items: list[tuple[FrameSet, int, int]] = []
        for frames in sources:
            pairs = find_pairs(frames, recipe.data)
            count = min(per_source, len(pairs))
            picked = np.unique(np.linspace(0, len(pairs) - 1, count).round().astype(int))
            self._items += [(frames, int(a), int(b)) for a, b in pairs[picked]]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> ValidationPair:
        frames, first, second = self._items[index]
        unchanged = np.ones(3, np.float32)
        pair = _tensors(frames, first, second, whole(*frames.size), self._size, unchanged, False)
        return ValidationPair(pair.mapped(lambda tensor: tensor[None]), frames.name)


def _tensors(
    frames: FrameSet,
    first: int,
    second: int,
    window: CropWindow,
    size: tuple[int, int],
    jitter: NDArray[np.float32],
    masked: bool,
) -> Pairs:
    """One pair, without the batch dimension."""

    def image(index: int) -> Tensor:
        pixels = window.of_image(frames.image(index), *size)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def mask(index: int) -> Tensor | None:
        if not masked:
            return None
        labels = frames.mask(index)
        if labels is None:
            return torch.ones(1, size[1], size[0], dtype=torch.bool)
        return torch.from_numpy(window.of_labels(labels.astype(np.uint8), *size)[None] > 0)

    camera = frames.camera
    K = np.eye(3) if camera is None else window.of_camera(camera, *size).K
    return Pairs(
        image_1=image(first),
        image_2=image(second),
        K=torch.from_numpy(K.astype(np.float32)),
        known=torch.tensor(camera is not None),
        mask_1=mask(first),
        mask_2=mask(second),
        jitter=torch.from_numpy(jitter),
    )


def collate(samples: list[Pairs]) -> Pairs:
    """Stack samples into a batch. All have masks, or none has."""
    masks_1 = [s.mask_1 for s in samples if s.mask_1 is not None]
    masks_2 = [s.mask_2 for s in samples if s.mask_2 is not None]
    label = [s.triangulated for s in samples if s.triangulated is not None]
    return Pairs(
        image_1=torch.stack([s.image_1 for s in samples]),
        image_2=torch.stack([s.image_2 for s in samples]),
        K=torch.stack([s.K for s in samples]),
        known=torch.stack([s.known for s in samples]),
        mask_1=torch.stack(masks_1) if masks_1 else None,
        mask_2=torch.stack(masks_2) if masks_2 else None,
        jitter=torch.stack([s.jitter for s in samples]),
        triangulated=TriangulatedLabel(*map(torch.stack, zip(*label, strict=True)))
        if label
        else None,
    )


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (step, slot) keys for one of several devices, from ``start`` to ``steps``.

    Its length is that of the whole run, as Lightning counts the batches before ``start`` too.
    """

    def __init__(self, start: int, steps: int, slots: range) -> None:
        self._start, self._steps, self._slots = start, steps, slots

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self._start, self._steps):
            yield [(step, slot) for slot in self._slots]


class ResumableLoader(DataLoader[Pairs]):
    """A DataLoader that already begins at the right step, and tells Lightning so."""

    def state_dict(self) -> dict[str, int]:
        """Nothing: the step is the trainer's, and all the rest follows from it."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """See ``state_dict``."""


def slots_of(rank: int, world_size: int, per_step: int) -> range:
    """The places in the batch that one of ``world_size`` devices fills.

    Raises RecipeError where they cannot be divided evenly.
    """
    if per_step % world_size:
        raise RecipeError(
            f"{per_step} pairs a step cannot be shared evenly by {world_size} devices; set "
            "data.batch_size (less the simulator's share) to a multiple"
        )
    share = per_step // world_size
    return range(rank * share, (rank + 1) * share)
