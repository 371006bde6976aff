"""Judging predictions of rendered pairs by the exact truth, to start a network off."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.losses.objective import LossBreakdown
from depth_motion_ros.losses.supervised import (
    focal_loss,
    pose_loss,
    residual_loss,
    scale_invariant_log_loss,
)
from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.training.recipe import ExactSection

# Depth of the sky, in units of the network; relative error of the depth that MotionNet is fed, and
# the grid of points between which the error is smooth.
_FAR = 20.0
_DEPTH_ERROR = 0.15
_ERROR_GRID = (3, 6)


@dataclass(frozen=True, eq=False)
class OrderTruth:
    """What is true of one order of a pair; conventions as in ``MotionPrediction``.

    Lengths are in units of the network, NaN where unknown. depth: (B, 1, H, W) of the order's
    first frame. rotation (B, 3, 3) and translation (B, 3) map its points into the axes of the
    other frame. motion: (B, 3, H, W) of objects, in the other frame's axes.
    """

    depth: Tensor
    rotation: Tensor
    translation: Tensor
    motion: Tensor


@dataclass(frozen=True, eq=False)
class PairTruth:
    """Both orders of a batch of pairs, and K (B, 3, 3) in pixels of the batch's images."""

    there: OrderTruth
    back: OrderTruth
    K: Tensor

    def judge(self, pair: PairPrediction, weights: ExactSection) -> LossBreakdown:
        """The weighted sum of all exact terms over both orders; terms include their weights."""
        there = _terms(self.there, pair.depth_1, pair.motion_12)
        back = _terms(self.back, pair.depth_2, pair.motion_21)
        found = {name: there[name] + back[name] for name in there}
        found["focal"] = focal_loss(pair.K, self.K)
        terms = {name: getattr(weights, name) * value for name, value in found.items()}
        return LossBreakdown(torch.stack(list(terms.values())).sum(), terms, {})

    def disturbed_depths(self) -> tuple[Tensor, Tensor]:
        """Depths (B, 1, H, W) of both frames as a DepthNet might see them, from torch's generator.

        Sky, whose depth is unknown, is far away; errors are smooth and relative.
        """
        return _disturbed(self.there.depth), _disturbed(self.back.depth)

    def supervise_depth(
        self, depth_1: Tensor, depth_2: Tensor, weights: ExactSection
    ) -> LossBreakdown:
        """The terms of depth alone; depths (B, 1, H, W)."""
        truth = torch.cat((self.there.depth, self.back.depth))
        # Twice the mean over both frames: one pass in place of a sum of two.
        found = _depth_terms(truth, torch.cat((depth_1, depth_2)))
        terms = {name: 2 * getattr(weights, name) * value for name, value in found.items()}
        return LossBreakdown(torch.stack(list(terms.values())).sum(), terms, {})


def _disturbed(depth: Tensor) -> Tensor:
    known = torch.nan_to_num(depth, nan=_FAR).clamp(max=_FAR)
    coarse = _DEPTH_ERROR * torch.randn(len(depth), 1, *_ERROR_GRID)
    smooth = F.interpolate(coarse.to(depth), depth.shape[2:], mode="bilinear")
    return known * torch.exp(smooth)


def _depth_terms(truth: Tensor, depth: Tensor) -> dict[str, Tensor]:
    return {
        "shape": scale_invariant_log_loss(depth, truth, scale_share=1.0),
        "metric": scale_invariant_log_loss(depth, truth, scale_share=0.0),
    }


def _terms(truth: OrderTruth, depth: Tensor, motion: MotionPrediction) -> dict[str, Tensor]:
    rotation = euler_to_matrix(motion.rotation)
    pose = pose_loss(rotation, motion.translation, truth.rotation, truth.translation)
    return {
        **_depth_terms(truth.depth, depth),
        "rotation": pose.rotation,
        "translation": pose.translation,
        "residual": residual_loss(motion.residual, truth.motion),
    }
