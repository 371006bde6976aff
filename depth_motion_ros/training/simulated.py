"""Rendered pairs as a part of each batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from depth_motion_ros.sources.simulator.batches import PairBatch, PairSampler, PairSettings
from depth_motion_ros.training.exact import OrderTruth, PairTruth
from depth_motion_ros.training.module import Simulated
from depth_motion_ros.training.pairs import Pairs
from depth_motion_ros.training.recipe import Recipe

# Each device draws from scenes of its own.
_SEEDS_PER_RUN = 4096


class RenderedPairs:
    """A ``Simulator``: renders on the device that trains, at the size that the step wants.

    families: relative weight of each family of scenes. With ``supervision: exact`` the exact
    truth judges the predictions, else the images alone do.
    """

    def __init__(self, recipe: Recipe, families: Mapping[str, float]) -> None:
        self._recipe = recipe
        self._settings = PairSettings(families=dict(families))
        self._sampler: PairSampler | None = None
        self._drawn_for: tuple[int, int, torch.device, int] | None = None

    def __call__(self, step: int, slots: range, device: torch.device) -> Simulated:
        wanted = (*self._recipe.size_at(step), device, slots.start)
        if self._sampler is None or self._drawn_for != wanted:
            width, height, *_ = wanted
            seed = self._recipe.seed * _SEEDS_PER_RUN + slots.start
            self._sampler = PairSampler(
                width, height, settings=self._settings, device=device, seed=seed
            )
            self._drawn_for = wanted
        with torch.no_grad():
            batch = self._sampler.batch(len(slots), index=step)
        if self._recipe.data.supervision != "exact":
            return Simulated(_pairs(batch), None)
        weights = self._recipe.exact
        truth = truth_of(batch, weights.unit)
        return Simulated(_pairs(batch), lambda pair: truth.judge(pair, weights))


def _pairs(batch: PairBatch) -> Pairs:
    count = len(batch.K)
    return Pairs(
        image_1=batch.image_1,
        image_2=batch.image_2,
        K=batch.K,
        known=torch.ones(count, dtype=torch.bool, device=batch.K.device),
        mask_1=None,
        mask_2=None,
        # The simulated sensor has varied the colours already.
        jitter=torch.ones(count, 3, device=batch.K.device),
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
