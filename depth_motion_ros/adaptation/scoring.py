"""Scores of a network on pairs, which decide about releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.adaptation.learner import LOSSES
from depth_motion_ros.adaptation.pairing.records import PairRecord, batch_of, rows_of
from depth_motion_ros.adaptation.progress import tell_progress
from depth_motion_ros.losses.objective import Objective
from depth_motion_ros.losses.warped_pair import active_pixels
from depth_motion_ros.models.network import DepthMotionNet

_BATCH = 4
# Farther ground truth is not scored, as in every evaluation of depth.
_FARTHEST = 80.0
_SMALLEST = 1e-6


@dataclass(frozen=True)
class PairScore:
    """Scores of one pair.

    loss: the objective.
    depth_abs_rel: mean absolute relative error after median scaling; NaN without known depth.
    log_depth: log of the median depth.
    log_step: log of the camera's translation.
    depth_variance: ratio of the spatial variance of depth to its mean.
    active: share of pixels that seem to move by themselves.
    """

    loss: float
    depth_abs_rel: float
    log_depth: float
    log_step: float
    depth_variance: float
    active: float


@torch.no_grad()
def score(network: DepthMotionNet, records: Sequence[PairRecord]) -> list[PairScore]:
    """Scores of pairs; NaN where the prediction is not finite."""
    was_training = network.training
    network.eval()
    try:
        found: list[PairScore] = []
        for start in range(0, len(records), _BATCH):
            tell_progress("judging pairs", start, len(records))
            found += _score_batch(network, records[start : start + _BATCH])
        return found
    finally:
        network.train(was_training)


def _score_batch(network: DepthMotionNet, records: Sequence[PairRecord]) -> list[PairScore]:
    data = batch_of(records)
    pair = network(data.image_1, data.image_2)
    K = torch.where(data.known[:, None, None], data.K, pair.K)
    objective = Objective(LOSSES)
    depths = torch.cat((pair.depth_1, pair.depth_2), dim=1)
    relative = depths / depths.mean(dim=(2, 3), keepdim=True).clamp(min=_SMALLEST)
    variance = (relative - 1).square().mean(dim=(1, 2, 3))
    active = active_pixels(pair, K)
    steps = pair.motion_12.translation.norm(dim=1).clamp(min=_SMALLEST).log()
    medians = depths.flatten(1).median(dim=1).values.clamp(min=_SMALLEST).log()
    scores = []
    for i, record in enumerate(records):
        rows = slice(i, i + 1)
        loss = objective(data.image_1[rows], data.image_2[rows], rows_of(pair, rows), K[rows])
        truths = (record.depth_1, record.depth_2)
        errors = [
            error
            for depth, truth in zip(depths[i], truths, strict=True)
            if truth is not None and (error := _relative_error(depth, truth[0])) is not None
        ]
        scores.append(
            PairScore(
                float(loss.total),
                sum(errors) / len(errors) if errors else float("nan"),
                float(medians[i]),
                float(steps[i]),
                float(variance[i]),
                float(active[i].float().mean()),
            )
        )
    return scores


def _relative_error(depth: Tensor, truth: Tensor) -> float | None:
    """AbsRel of (H, W) depth after median scaling; None where nothing is known."""
    truth = truth.float()
    known = (truth > 0) & (truth < _FARTHEST)
    if not known.any():
        return None
    depth, truth = depth[known], truth[known]
    scaled = depth * (truth.median() / depth.median().clamp(min=_SMALLEST))
    return float(((scaled - truth).abs() / truth).mean())
