"""The training objective: every term of the method, weighed and summed over both orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.geometry.warp import sample, transform_depth
from depth_motion_ros.losses import regularisers
from depth_motion_ros.losses.consistency import (
    RgbdConsistency,
    rgbd_consistency,
    rotation_cycle_error,
    translation_cycle_error,
)
from depth_motion_ros.losses.masks import gate_residual
from depth_motion_ros.losses.photometric import mean_difference
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.settings import Settings, SettingsError, setting

# The SSIM loss is (1 - SSIM)/2; the authors halve its mean once more.
_SSIM_HALF = 0.5


@dataclass(frozen=True)
class LossWeights(Settings, section="losses"):
    """Weight of every term; the defaults are those of Li et al., arXiv 2010.16404.

    Raises SettingsError for a weight that is negative or not finite, and where no term is left.
    """

    rgb: float = setting(1.0, "absolute difference of the warped image", 0.0)
    ssim: float = setting(3.0, "weighted structural dissimilarity of the warped image", 0.0)
    depth_consistency: float = setting(
        0.0, "absolute difference of the two depths of the same point", 0.0
    )
    depth_smoothness: float = setting(1e-3, "edge-aware gradients of the inverse depth", 0.0)
    rotation_cycle: float = setting(1e-3, "rotation there and back differs from none", 0.0)
    translation_cycle: float = setting(5e-2, "translation there and back differs from none", 0.0)
    motion_smoothness: float = setting(1.0, "gradients of the residual motion field", 0.0)
    motion_sparsity: float = setting(0.2, "size of the residual motion field", 0.0)
    depth_variance: float = setting(
        0.0, "inverse variance of depth; 1e-6 prevents its collapse", 0.0
    )
    factor: float = setting(2.0, "factor on every weight", 0.0)
    scale_normalization: bool = setting(
        False, "divide depth and translations by the batch's mean depth"
    )
    auto_masking: bool = setting(False, "leave out pixels that the unwarped image explains")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor == 0 or not any(getattr(self, name) for name in TERMS):
            raise SettingsError(
                f"losses.factor is {self.factor} and the weights are "
                f"{[getattr(self, name) for name in TERMS]}: nothing would be learned; "
                "set factor and at least one weight above 0"
            )


TERMS = (
    "rgb",
    "ssim",
    "depth_consistency",
    "depth_smoothness",
    "rotation_cycle",
    "translation_cycle",
    "motion_smoothness",
    "motion_sparsity",
    "depth_variance",
)
"""Names of the terms, as in ``LossWeights`` and ``LossBreakdown.terms``."""


@dataclass(frozen=True, eq=False)
class LossBreakdown:
    """What the objective found.

    total: scalar to minimise, the sum of terms. terms: scalar per name of ``TERMS``, weight and
    factor included, 0 for a term whose weight is 0. maps: of frame 1 against frame 2, detached:
    warped (B, 3, H, W), frame 2 sampled where frame 1's points land; valid (B, 1, H, W) bool, what
    lands inside; closer (B, 1, H, W) bool, valid and not hidden; weight (B, 1, H, W), trust in
    [0, 1] by agreement of depths; photometric_error and identity_error (B, 1, H, W), mean abs
    difference of the warped and of the unwarped frame 2 from frame 1.
    """

    total: torch.Tensor
    terms: dict[str, torch.Tensor]
    maps: dict[str, torch.Tensor]


class _Both(NamedTuple):
    """Both orders as one batch of 2B: frame 1 (1→2), then frame 2 (2→1), as the authors do."""

    image: torch.Tensor
    depth: torch.Tensor
    rotation: torch.Tensor
    translation: torch.Tensor
    residual: torch.Tensor
    K: torch.Tensor


class Objective:
    """Loss of predictions for pairs of frames. It has no parameters of its own."""

    def __init__(self, weights: LossWeights | None = None) -> None:
        self.weights = weights or LossWeights()

    def __call__(
        self,
        image_1: torch.Tensor,
        image_2: torch.Tensor,
        pair: PairPrediction,
        K: torch.Tensor,
        mask_1: torch.Tensor | None = None,
        mask_2: torch.Tensor | None = None,
    ) -> LossBreakdown:
        """Judge a batch of pairs.

        image_1, image_2: (B, 3, H, W) in [0, 1]. K: (B, 3, 3) to warp with, known or learned.
        mask_1, mask_2: (B, 1, H, W) of what may move by itself; residual motion elsewhere, 8 px
        further out, is taken as zero. Works in float32 (float64 stays), also under autocast.

        Raises ValueError for shapes that do not fit.
        """
        _check_sizes(image_1, image_2, pair)
        with torch.autocast(device_type=image_1.device.type, enabled=False):
            both = _stack(image_1, image_2, pair, K, mask_1, mask_2)
            if self.weights.scale_normalization:
                both = _scale_normalised(both)
            return self._judge(both)

    def _judge(self, both: _Both) -> LossBreakdown:
        w = self.weights
        warp = transform_depth(both.depth, both.rotation, both.translation, both.K)
        other_image = _other(both.image)
        # One pass over the image fetches all that is taken at p' with coordinates as given.
        fetched = sample(
            torch.cat((_other(both.depth).detach(), _other(both.translation)), dim=1),
            warp.pixel_xy.detach(),
        )
        shares = (w.rgb, _SSIM_HALF * w.ssim) if w.auto_masking else None
        rgbd = rgbd_consistency(both.image, other_image, warp, fetched[:, :1], shares)
        found = {
            "rgb": rgbd.rgb_error,
            "ssim": _SSIM_HALF * rgbd.ssim_error,
            "depth_consistency": rgbd.depth_difference,
        }
        if w.depth_smoothness:
            found["depth_smoothness"] = regularisers.depth_smoothness(both.depth, both.image)
        if w.rotation_cycle:
            # The same for both orders: half the batch says all.
            found["rotation_cycle"] = rotation_cycle_error(*both.rotation.chunk(2))
        if w.translation_cycle:
            found["translation_cycle"] = translation_cycle_error(
                both.rotation, both.translation, fetched[:, 1:], rgbd.closer
            )
        if w.motion_smoothness or w.motion_sparsity:
            motion = regularisers.normalised_motion(both.residual, both.translation)
            # Without sparsity the authors let the field wrap around.
            found["motion_smoothness"] = regularisers.motion_smoothness(
                motion, wrap=w.motion_sparsity == 0
            )
            found["motion_sparsity"] = regularisers.motion_sparsity(motion)
        if w.depth_variance:
            found["depth_variance"] = regularisers.inverse_depth_variance(both.depth)
        return self._weighed(found, _maps(both.image, other_image, rgbd))

    def _weighed(
        self, found: dict[str, torch.Tensor], maps: dict[str, torch.Tensor]
    ) -> LossBreakdown:
        nothing = torch.zeros_like(found["rgb"].detach())
        terms = {}
        for name in TERMS:
            weight = self.weights.factor * getattr(self.weights, name)
            # A product with 0 would keep the graph of the term and pass on its NaN.
            terms[name] = weight * found[name] if weight else nothing
        return LossBreakdown(torch.stack(list(terms.values())).sum(), terms, maps)


def _stack(
    image_1: torch.Tensor,
    image_2: torch.Tensor,
    pair: PairPrediction,
    K: torch.Tensor,
    mask_1: torch.Tensor | None,
    mask_2: torch.Tensor | None,
) -> _Both:
    there, back = pair.motion_12, pair.motion_21
    residual = _joined(gate_residual(there.residual, mask_1), gate_residual(back.residual, mask_2))
    camera = _joined(there.translation, back.translation)
    return _Both(
        image=_joined(image_1, image_2),
        depth=_joined(pair.depth_1, pair.depth_2),
        rotation=euler_to_matrix(_joined(there.rotation, back.rotation)),
        translation=camera[:, :, None, None] + residual,
        residual=residual,
        K=_joined(K, K),
    )


def _scale_normalised(both: _Both) -> _Both:
    scale = 1 / both.depth.mean()
    return both._replace(
        depth=both.depth * scale,
        translation=both.translation * scale,
        residual=both.residual * scale,
    )


def _joined(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """One batch in float32; float64 stays, for gradients checked by finite differences."""
    joined = torch.cat((first, second))
    return joined if joined.dtype == torch.float64 else joined.float()


def _other(stacked: torch.Tensor) -> torch.Tensor:
    """The other frame of each pair: (2B, …) with its halves exchanged."""
    first, second = stacked.chunk(2)
    return torch.cat((second, first))


def _maps(
    image: torch.Tensor, other_image: torch.Tensor, rgbd: RgbdConsistency
) -> dict[str, torch.Tensor]:
    n = len(image) // 2
    return {
        "warped": rgbd.warped[:n].detach(),
        "valid": rgbd.maps.valid[:n],
        "closer": rgbd.closer[:n],
        "weight": rgbd.proximity_weight[:n],
        "photometric_error": rgbd.difference[:n].detach(),
        "identity_error": mean_difference(other_image[:n], image[:n]),
    }


def _check_sizes(image_1: torch.Tensor, image_2: torch.Tensor, pair: PairPrediction) -> None:
    if image_1.ndim != 4 or image_1.shape[1] != 3 or image_1.shape != image_2.shape:
        raise ValueError(
            "images must both be (B, 3, H, W), "
            f"got {tuple(image_1.shape)} and {tuple(image_2.shape)}"
        )
    wanted = (image_1.shape[0], 1, *image_1.shape[2:])
    for name, depth in (("depth_1", pair.depth_1), ("depth_2", pair.depth_2)):
        if depth.shape != wanted:
            raise ValueError(f"{name} must be {wanted} as the images, got {tuple(depth.shape)}")
