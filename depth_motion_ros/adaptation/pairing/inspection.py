"""The network's own prediction for a pair, checked before the pair is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.adaptation.pairing.records import PairRecord, batch_of
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.losses.warped_pair import mean_where, warp_pair
from depth_motion_ros.models.network import DepthMotionNet

_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Inspection:
    """Result of the check.

    reason: one of ``admission.REASONS`` against the pair, or empty.
    feature: (F,) of length 1, the encoder's mean over the first frame.
    K: (3, 3), the predicted intrinsics.
    displacement: ratio of the camera's translation to the median depth.
    warp_ratio: ratio of the photometric errors of the warped and the unwarped image.
    valid: share of pixels that land inside the other image.
    active: share of pixels that seem to move by themselves.
    """

    reason: str
    feature: Tensor
    K: Tensor
    displacement: float
    warp_ratio: float
    valid: float
    active: float


@torch.no_grad()
def inspect(
    network: DepthMotionNet, record: PairRecord, settings: AdaptationSettings
) -> Inspection:
    """Predict a pair and compare it with the settings. network: in evaluation mode."""
    seen: list[Tensor] = []
    handle = network.depth_net.encoder.register_forward_hook(
        lambda _module, _inputs, features: seen.append(features[-1])
    )
    try:
        data = batch_of([record])
        pair = network(data.image_1, data.image_2)
    finally:
        handle.remove()
    feature = torch.nn.functional.normalize(seen[0][0].mean(dim=(1, 2)), dim=0)
    K = torch.where(data.known[:, None, None], data.K, pair.K)
    warped = warp_pair(data.image_2, pair, K)
    inside = warped.valid.expand_as(warped.image)
    warp_error = mean_where(inside, (warped.image - data.image_1).abs())
    identity = mean_where(inside, (data.image_2 - data.image_1).abs())
    length = pair.motion_12.translation.norm()
    numbers = torch.stack(
        (
            length / pair.depth_1.median().clamp(min=_SMALLEST),
            warp_error / identity.clamp(min=_SMALLEST),
            warped.valid.float().mean(),
            warped.active.float().mean(),
        )
    )
    is_finite = bool(torch.isfinite(numbers).all() and torch.isfinite(feature).all())
    displacement, ratio, valid, moving = numbers.tolist()
    reason = _reason(displacement, ratio, valid, moving, settings) if is_finite else "not_finite"
    return Inspection(reason, feature, pair.K[0], displacement, ratio, valid, moving)


def _reason(
    displacement: float, ratio: float, valid: float, active: float, settings: AdaptationSettings
) -> str:
    if not settings.min_displacement <= displacement <= settings.max_displacement:
        return "displacement"
    if valid < settings.min_valid:
        return "valid"
    if active > settings.max_residual:
        return "residual"
    if ratio > settings.max_warp_ratio:
        return "warp"
    return ""
