"""Losses against exact truth, for starting off from the simulator.

Truth that is NaN (or a depth <= 0) is unknown and judges nothing; where all of it is unknown a loss
is 0, with gradients of 0. Like the objective, all work in float32 (float64 stays), also under
autocast.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

# Under square roots: lengths below 1e-6 (rad, or units of depth) count as 0 and have no slope.
_EPSILON = 1e-12
# Smallest depth and focal length (pixels) whose logarithm is taken; a prediction is > 0 anyway.
_SMALLEST = 1e-6


class PoseLoss(NamedTuple):
    """rotation: scalar, mean angle in radians. translation: scalar, mean distance."""

    rotation: torch.Tensor
    translation: torch.Tensor


def scale_invariant_log_loss(
    depth: torch.Tensor,
    true_depth: torch.Tensor,
    valid: torch.Tensor | None = None,
    scale_share: float = 0.5,
) -> torch.Tensor:
    """Scalar: mean over images of mean(d²) - scale_share·(mean d)², d = log D - log D_true.

    depth, true_depth: (B, 1, H, W), the truth NaN or <= 0 where unknown; valid: (B, 1, H, W) bool
    that narrows it further. scale_share: 0 asks for metric depth, 1 forgives one factor per image.
    Source: Eigen et al., arXiv 1406.2283, section 3.2.

    Raises ValueError for shapes that differ or a share outside [0, 1].
    """
    _check_same(depth, true_depth, "depth")
    if not 0 <= scale_share <= 1:
        raise ValueError(f"scale_share must lie in [0, 1], got {scale_share}")
    with _full_precision(depth):
        depth, true_depth = _cast(depth), _cast(true_depth)
        known = torch.isfinite(true_depth) & (true_depth > 0)
        if valid is not None:
            known = known & valid
        truth = torch.where(known, true_depth, 1.0).clamp(min=_SMALLEST)
        d = torch.where(known, torch.log(depth.clamp(min=_SMALLEST)) - torch.log(truth), 0.0)
        count = known.sum(dim=(1, 2, 3))
        square = d.square().sum(dim=(1, 2, 3)) / count.clamp(min=1)
        mean = d.sum(dim=(1, 2, 3)) / count.clamp(min=1)
        return _mean_where(count > 0, square - scale_share * mean.square())


class AlignedLoss(NamedTuple):
    """loss: scalar. scale: (B,), the truth's unit in units of the prediction, NaN where unknown."""

    loss: torch.Tensor
    scale: torch.Tensor


def aligned_log_loss(depth: torch.Tensor, true_depth: torch.Tensor) -> AlignedLoss:
    """Mean over images of mean abs(d - median d), d = log D - log D_true: depth up to a factor.

    depth, true_depth: (B, 1, H, W), the truth NaN or <= 0 where unknown. Unlike the square of
    ``scale_invariant_log_loss`` it bears a truth of which a part is wrong. The factor, exp(median
    d), is taken as given: it has no gradient.
    """
    _check_same(depth, true_depth, "depth")
    with _full_precision(depth):
        depth, true_depth = _cast(depth), _cast(true_depth)
        known = torch.isfinite(true_depth) & (true_depth > 0)
        truth = torch.where(known, true_depth, 1.0).clamp(min=_SMALLEST)
        d = torch.log(depth.clamp(min=_SMALLEST)) - torch.log(truth)
        masked = torch.where(known, d.detach(), torch.nan).flatten(1)
        median = torch.nanmedian(masked, dim=1).values
        offset = torch.nan_to_num(median)[:, None, None, None]
        count = known.sum(dim=(1, 2, 3))
        mean = torch.where(known, (d - offset).abs(), 0.0).sum(dim=(1, 2, 3)) / count.clamp(min=1)
        return AlignedLoss(_mean_where(count > 0, mean), torch.exp(median))


def pose_loss(
    rotation: torch.Tensor,
    translation: torch.Tensor,
    true_rotation: torch.Tensor,
    true_translation: torch.Tensor,
) -> PoseLoss:
    """Angle between the rotations and distance between the translations.

    rotation, true_rotation: (B, 3, 3) matrices; translation, true_translation: (B, 3). A sample of
    which any true number is NaN is left out.
    """
    _check_same(rotation, true_rotation, "rotation")
    _check_same(translation, true_translation, "translation")
    with _full_precision(rotation):
        rotation, true_rotation = _cast(rotation), _cast(true_rotation)
        translation, true_translation = _cast(translation), _cast(true_translation)
        known = torch.isfinite(true_rotation).all(dim=2).all(dim=1)
        known = known & torch.isfinite(true_translation).all(dim=1)
        truth = torch.where(known[:, None, None], true_rotation, 0.0)
        # |R - R*|² = 8 sin²(angle/2): unlike the arc cosine of the trace it keeps its digits, and
        # its slope, at small angles.
        chord = (rotation - truth).square().sum(dim=(1, 2)) / 8
        chord = torch.where(known, chord, 0.0)
        angle = 2 * torch.asin(torch.sqrt(chord + _EPSILON).clamp(max=1 - _SMALLEST))
        truth = torch.where(known[:, None], true_translation, 0.0)
        distance = torch.sqrt((translation - truth).square().sum(dim=1) + _EPSILON)
        return PoseLoss(_mean_where(known, angle), _mean_where(known, distance))


def residual_loss(
    residual: torch.Tensor,
    true_motion: torch.Tensor,
    moving_threshold: float = 0.01,
) -> torch.Tensor:
    """Scalar: L1 distance to the true object motion, moving and static pixels weighing the same.

    residual, true_motion: (B, 3, H, W), metres until the next frame in the next frame's camera
    axes, NaN where unknown. Few pixels move, and a plain mean would be served well by no motion at
    all: the mean over moving pixels (true motion longer than moving_threshold, m) and the mean over
    static ones are averaged. A group without pixels counts as met.
    """
    _check_same(residual, true_motion, "residual")
    with _full_precision(residual):
        residual, true_motion = _cast(residual), _cast(true_motion)
        known = torch.isfinite(true_motion).all(dim=1, keepdim=True)
        truth = torch.where(known, true_motion, 0.0)
        error = (residual - truth).abs().sum(dim=1, keepdim=True)
        moving = truth.square().sum(dim=1, keepdim=True) > moving_threshold**2
        return 0.5 * (_mean_where(known & moving, error) + _mean_where(known & ~moving, error))


def focal_loss(K: torch.Tensor, true_K: torch.Tensor) -> torch.Tensor:
    """Scalar: mean abs log of the ratio of focal lengths, fx and fy alike.

    K, true_K: (B, 3, 3); a sample whose true focal lengths are NaN is left out. A ratio of 1.1 and
    one of 1/1.1 cost the same, whatever the image size.
    """
    _check_same(K, true_K, "K")
    with _full_precision(K):
        focal = torch.diagonal(_cast(K), dim1=1, dim2=2)[:, :2]
        true_focal = torch.diagonal(_cast(true_K), dim1=1, dim2=2)[:, :2]
        known = torch.isfinite(true_focal) & (true_focal > 0)
        truth = torch.where(known, true_focal, 1.0)
        ratio = torch.log(focal.clamp(min=_SMALLEST)) - torch.log(truth)
        return _mean_where(known, ratio.abs())


def _mean_where(mask: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean of the values where the mask is set; 0, still part of the graph, where it is nowhere."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def _cast(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _full_precision(like: torch.Tensor) -> torch.autocast:
    return torch.autocast(device_type=like.device.type, enabled=False)


def _check_same(found: torch.Tensor, truth: torch.Tensor, name: str) -> None:
    if found.shape != truth.shape:
        raise ValueError(
            f"{name} has shape {tuple(found.shape)} but its truth has {tuple(truth.shape)}"
        )
