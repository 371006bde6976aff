"""Rendered pairs as a part of each batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from depth_motion_ros.simulator.batches import (
    KeptPairs,
    PairBatch,
    PairSampler,
    PairSettings,
)
from depth_motion_ros.training.data.augment import draw_jitter
from depth_motion_ros.training.data.pairs import Pairs
from depth_motion_ros.training.module import SimulatedData
from depth_motion_ros.training.recipe import Recipe
from depth_motion_ros.training.rendered_supervision import OrderTruth, PairTruth

# Each device draws from scenes of its own.
_SEEDS_PER_RUN = 4096
# Rendered batches after which one scene is replaced.
_LIFETIME_REUSED = 2


class RenderedPairs:
    """A ``Simulator``: renders on the device that trains, at the size that the step wants.

    families: relative weight of each family of scenes. ``data.supervision`` says whether the exact
    truth judges the predictions, the images alone, or both.

    Rendering a pair costs as much as four steps of DepthNet on it. With ``data.simulated_reuse`` a
    new batch is rendered only every so many steps, and pairs are drawn from those kept, mirrored
    and with other colours. A GPU takes hardly longer to render many pairs at once than few:
    ``data.simulated_batch``.
    """

    def __init__(self, recipe: Recipe, families: Mapping[str, float]) -> None:
        self._recipe = recipe
        reused = recipe.data.simulated_reuse > 1
        # Where few batches are rendered, they should show many scenes.
        lifetime = _LIFETIME_REUSED if reused else PairSettings.lifetime
        self._settings = PairSettings(families=dict(families), lifetime=lifetime)
        self._sampler: PairSampler | None = None
        self._kept = KeptPairs(recipe.data.simulated_kept)
        self._drawn_for: tuple[int, int, torch.device, int] | None = None

    def __call__(self, step: int, slots: range, device: torch.device) -> SimulatedData:
        wanted = (*self._recipe.size_at(step), device, slots.start)
        if self._sampler is None or self._drawn_for != wanted:
            width, height, *_ = wanted
            seed = self._recipe.seed * _SEEDS_PER_RUN + slots.start
            self._sampler = PairSampler(
                width, height, settings=self._settings, device=device, seed=seed
            )
            self._drawn_for = wanted
            self._kept = KeptPairs(self._recipe.data.simulated_kept)
        # Under the autocast of a training step geometry would come out in half precision.
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            batch, jitter = self._drawn(self._sampler, step, slots)
        pairs, supervision = _pairs(batch, jitter.to(device)), self._recipe.data.supervision
        if supervision == "none":
            return SimulatedData(pairs, None)
        truth = truth_of(batch, self._recipe.exact.unit)
        return SimulatedData(pairs, truth, by_images=supervision == "both")

    def _drawn(self, sampler: PairSampler, step: int, slots: range) -> tuple[PairBatch, Tensor]:
        """The pairs of a step and their colour jitter (B, 3)."""
        count, data = len(slots), self._recipe.data
        if data.simulated_reuse == 1:
            # The simulated sensor has varied the colours already.
            return sampler.batch(count, index=step), torch.ones(count, 3)
        rendered = data.simulated_batch or count
        newest = step // data.simulated_reuse
        oldest = max(0, newest - data.simulated_kept + 1)
        rng = np.random.default_rng((self._recipe.seed, step, slots.start))
        rows, mirrored = [], []
        for _ in slots:
            index = int(rng.integers(oldest, newest + 1))
            if index not in self._kept:
                self._kept.put(index, sampler.batch(rendered, index=index))
            rows.append((index, int(rng.integers(rendered))))
            mirrored.append(rng.random() < self._recipe.augment.flip)
        jitter = np.stack([draw_jitter(rng, self._recipe.augment) for _ in slots])
        drawn = self._kept.drawn(rows)
        chosen = torch.tensor(mirrored, device=drawn.K.device)
        return drawn.mirrored(chosen), torch.from_numpy(jitter)


def _pairs(batch: PairBatch, jitter: Tensor) -> Pairs:
    count = len(batch.K)
    return Pairs(
        image_1=batch.image_1,
        image_2=batch.image_2,
        K=batch.K,
        known=torch.ones(count, dtype=torch.bool, device=batch.K.device),
        mask_1=None,
        mask_2=None,
        jitter=jitter,
    )


def truth_of(batch: PairBatch, unit: float) -> PairTruth:
    """What the renderer knows about a batch, with lengths in ``unit`` metres."""
    return PairTruth(
        there=_order(batch.depth_1, batch.valid_1, batch.T_12, batch.motion_12, unit),
        back=_order(batch.depth_2, batch.valid_2, batch.T_21, batch.motion_21, unit),
        K=batch.K,
    )


def _order(
    depth: Tensor, valid: Tensor, transform: Tensor, motion: Tensor, unit: float
) -> OrderTruth:
    """The sky, which has no depth, is unknown."""
    unknown = ~valid
    return OrderTruth(
        depth=depth.masked_fill(unknown, torch.nan) / unit,
        rotation=transform[:, :3, :3],
        translation=transform[:, :3, 3] / unit,
        motion=motion.masked_fill(unknown, torch.nan) / unit,
    )
