"""Judging predictions of recorded pairs by what was triangulated from the same video."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from depth_motion_ros.geometry.rotation import euler_to_matrix, matrix_to_euler
from depth_motion_ros.losses.objective import LossBreakdown, LossWeights, Objective
from depth_motion_ros.losses.supervised import aligned_log_loss, focal_loss, pose_loss
from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.training.data.pairs import Pairs
from depth_motion_ros.training.recipe import TriangulatedSection
from depth_motion_ros.training.triangulation.pairs import TriangulatedLabel

# Smallest depth whose logarithm is taken; a prediction is > 0 but for its rounding.
_SMALLEST = 1e-6


def judge(
    pair: PairPrediction, truth: TriangulatedLabel, pairs: Pairs, weights: TriangulatedSection
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


def supervise_depth(
    depth_1: Tensor,
    depth_2: Tensor,
    truth: TriangulatedLabel,
    weights: TriangulatedSection,
    by_images: Tensor | None = None,
    unit: Tensor | None = None,
) -> LossBreakdown:
    """The terms of depth alone; depths (B, 1, H, W).

    by_images: of ``KnownMotionObjective``. unit: of ``StartingUnit``.
    """
    depth, label = torch.cat((depth_1, depth_2)), torch.cat((truth.depth_1, truth.depth_2))
    others = {"images": by_images, "unit": unit}
    there = {name: value for name, value in others.items() if value is not None}
    # Twice the mean over both frames: one pass in place of a sum of two.
    return _weighed(weights, shape=2 * aligned_log_loss(depth, label).loss, **there)


class StartingUnit(nn.Module):
    """Holds a run to the unit of length in which its network saw recorded video when it began.

    Nothing else does: triangulated depth has no unit, and that of rendered ones comes from them
    alone. depth_net: copied as it is now.
    """

    # Images a step that are looked at again: it is an offset that is to be held, not a shape.
    _IMAGES = 32

    def __init__(self, depth_net: nn.Module) -> None:
        super().__init__()
        self.depth_net = copy.deepcopy(depth_net).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> StartingUnit:
        """Stays as it is."""
        return super().train(False)

    def forward(self, images: Tensor, depth: Tensor) -> Tensor:
        """Scalar: mean over images of the square of the mean log ratio of both depths.

        images: (B, 3, H, W) in [0, 1]. depth: (B, 1, H, W), of the network as it is now.
        """
        images, depth = images[: self._IMAGES], depth[: self._IMAGES]
        with torch.no_grad():
            before = self.depth_net(images).float()
        ratio = depth.clamp(min=_SMALLEST).log() - before.clamp(min=_SMALLEST).log()
        return ratio.mean(dim=(1, 2, 3)).square().mean()


class KnownMotionObjective:
    """Judges depth alone by the images, warped by the motion that was triangulated.

    weights: of the photometric terms and of smoothness; what judges the network's motion is left
    out. A pair whose motion is unknown is judged for smoothness alone.
    """

    def __init__(self, weights: LossWeights) -> None:
        without = replace(
            weights,
            rotation_cycle=0.0,
            translation_cycle=0.0,
            motion_smoothness=0.0,
            motion_sparsity=0.0,
        )
        self._objective = Objective(without)

    def __call__(
        self, image_1: Tensor, image_2: Tensor, depth_1: Tensor, depth_2: Tensor, pairs: Pairs
    ) -> Tensor:
        """Scalar; images (B, 3, H, W) in [0, 1], depths (B, 1, H, W).

        The triangulated motion is in the unit of the triangulated depth: the factor to the
        network's is the median ratio of both depths, taken as given.
        """
        truth = pairs.triangulated
        assert truth is not None
        scale = aligned_log_loss(depth_1.detach(), truth.depth_1).scale
        rotation, translation = truth.rotation, truth.translation * scale[:, None]
        known = torch.isfinite(rotation).all(2).all(1) & torch.isfinite(translation).all(1)
        known = known & pairs.known
        # An unknown motion becomes none at all: then depth moves no pixel and has no gradient.
        still = torch.eye(3, device=rotation.device)
        rotation = torch.where(known[:, None, None], rotation, still)
        translation = torch.where(known[:, None], translation, 0.0)
        K = torch.where(known[:, None, None], pairs.K, _plain_intrinsics(image_1))
        back = rotation.transpose(1, 2)
        returned = -(back @ translation[..., None])[..., 0]
        residual = torch.zeros_like(image_1)
        prediction = PairPrediction(
            depth_1,
            depth_2,
            MotionPrediction(matrix_to_euler(rotation), translation, residual, K),
            MotionPrediction(matrix_to_euler(back), returned, residual, K),
            K,
        )
        return self._objective(image_1, image_2, prediction, K).total


def _plain_intrinsics(image: Tensor) -> Tensor:
    """(3, 3) of a camera that sees 53 degrees of width; for pairs that nothing is warped of."""
    height, width = image.shape[2:]
    values = ((width, 0.0, width / 2), (0.0, width, height / 2), (0.0, 0.0, 1.0))
    return image.new_tensor(values)


def _weighed(weights: TriangulatedSection, **found: Tensor) -> LossBreakdown:
    terms = {name: getattr(weights, name) * value for name, value in found.items()}
    return LossBreakdown(torch.stack(list(terms.values())).sum(), terms, {})
