"""Judging predictions of recorded pairs by what was triangulated from the same video."""

from __future__ import annotations

import torch
from torch import Tensor

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.losses.objective import LossBreakdown
from depth_motion_ros.losses.supervised import aligned_log_loss, focal_loss, pose_loss
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.training.pair_triangulation import Triangulated
from depth_motion_ros.training.pairs import Pairs
from depth_motion_ros.training.recipe import TriangulatedSection


def judge(
    pair: PairPrediction, truth: Triangulated, pairs: Pairs, weights: TriangulatedSection
) -> LossBreakdown:
    """The weighted sum of all terms over both orders; terms include their weights.

    A video does not tell its unit of length: depth is compared up to a factor, and translation
    after that factor, so that both grow and shrink together. Of ``pairs`` K is used, where known.
    """
    one = aligned_log_loss(pair.depth_1, truth.depth_1)
    two = aligned_log_loss(pair.depth_2, truth.depth_2)
    there, back = pair.motion_12, pair.motion_21
    translation = truth.translation * one.scale[:, None]
    returned = truth.rotation.transpose(1, 2)
    way_back = -(returned @ translation[..., None])[..., 0]
    pose_12 = pose_loss(
        euler_to_matrix(there.rotation), there.translation, truth.rotation, translation
    )
    pose_21 = pose_loss(euler_to_matrix(back.rotation), back.translation, returned, way_back)
    return _weighed(
        weights,
        shape=one.loss + two.loss,
        rotation=pose_12.rotation + pose_21.rotation,
        translation=pose_12.translation + pose_21.translation,
        focal=focal_loss(pair.K, pairs.K.masked_fill(~pairs.known[:, None, None], torch.nan)),
    )


def judge_depth(
    depth_1: Tensor, depth_2: Tensor, truth: Triangulated, weights: TriangulatedSection
) -> LossBreakdown:
    """The terms of depth alone; depths (B, 1, H, W)."""
    one = aligned_log_loss(depth_1, truth.depth_1)
    two = aligned_log_loss(depth_2, truth.depth_2)
    return _weighed(weights, shape=one.loss + two.loss)


def _weighed(weights: TriangulatedSection, **found: Tensor) -> LossBreakdown:
    terms = {name: getattr(weights, name) * value for name, value in found.items()}
    return LossBreakdown(torch.stack(list(terms.values())).sum(), terms, {})
