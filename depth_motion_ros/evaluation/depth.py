"""Depth metrics: errors of one image, and their mean over images."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.evaluation.errors import EvaluationError

# Eigen et al. 2014 and all who compare with them: nearer or farther truth is not scored.
MIN_DEPTH = 1e-3
MAX_DEPTH = 80.0

# Garg et al. 2016: top, bottom, left, right as fractions of height and width.
_GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DepthErrors:
    """Errors over the scored pixels of one image, or their mean over images.

    abs_rel: mean abs(p - g) / g. sq_rel: mean (p - g)² / g, m. rmse: m. rmse_log: RMS of
    ln p - ln g. d1, d2, d3: fraction of pixels with max(p/g, g/p) < 1.25, 1.25², 1.25³.
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    d1: float
    d2: float
    d3: float

    def keyed(self, prefix: str = "") -> dict[str, float]:
        """Metric name, after ``prefix``, to value."""
        return {f"{prefix}{name}": value for name, value in asdict(self).items()}


def garg_crop(height: int, width: int) -> Mask:
    """(height, width): True inside the crop of Garg et al. 2016, made for KITTI frames."""
    top, bottom, left, right = _GARG
    inside = np.zeros((height, width), np.bool_)
    rows = slice(int(top * height), int(bottom * height))
    inside[rows, int(left * width) : int(right * width)] = True
    return inside


def scored_pixels(truth: Map, crop: bool = False) -> Mask:
    """(H, W): where truth (m, NaN = unknown) lies in (MIN_DEPTH, MAX_DEPTH), in the Garg crop
    if ``crop``."""
    # A comparison with NaN is False: unknown truth is never scored.
    scored = (truth > MIN_DEPTH) & (truth < MAX_DEPTH)
    return scored & garg_crop(*truth.shape) if crop else scored


def median_ratio(prediction: Map, truth: Map) -> float:
    """Median of truth over median of prediction: the factor that makes a prediction metric.

    Both hold the scored pixels only. Source: Zhou et al. 2017.
    """
    return float(np.median(truth) / np.median(prediction))


def depth_errors(prediction: Map, truth: Map) -> DepthErrors:
    """Errors of predicted depths (m) against true ones, both (N,), N > 0, finite and > 0.

    Predictions are clipped to [MIN_DEPTH, MAX_DEPTH] first, as all do who report on KITTI.
    """
    p = np.clip(prediction.astype(np.float64), MIN_DEPTH, MAX_DEPTH)
    g = truth.astype(np.float64)
    difference = p - g
    ratio = np.maximum(p / g, g / p)
    return DepthErrors(
        abs_rel=float(np.mean(np.abs(difference) / g)),
        sq_rel=float(np.mean(difference**2 / g)),
        rmse=float(np.sqrt(np.mean(difference**2))),
        rmse_log=float(np.sqrt(np.mean(np.log(p / g) ** 2))),
        d1=float(np.mean(ratio < 1.25)),
        d2=float(np.mean(ratio < 1.25**2)),
        d3=float(np.mean(ratio < 1.25**3)),
    )


def mean_errors(errors: list[DepthErrors]) -> DepthErrors:
    """The mean over images of every metric. Raises EvaluationError for no images."""
    if not errors:
        raise EvaluationError(
            f"no image has true depth between {MIN_DEPTH} and {MAX_DEPTH} m: nothing to score"
        )
    rows = np.array([list(asdict(error).values()) for error in errors])
    return DepthErrors(*(float(value) for value in rows.mean(axis=0)))


@dataclass(frozen=True)
class ImageScore:
    """One image scored: with per-image median scaling, and as predicted.

    ratio: the factor of median scaling. coverage: fraction of the scored pixels where the
    prediction is finite and positive; the others are left out of the errors.
    """

    scaled: DepthErrors
    unscaled: DepthErrors
    ratio: float
    coverage: float


class DepthScore:
    """Collects images and averages their errors; images without true depth are counted only.

    crop: score inside the Garg crop.
    """

    def __init__(self, crop: bool = False) -> None:
        self.crop = crop
        self.images: list[ImageScore] = []
        self.skipped = 0

    def add(self, prediction: Map, truth: Map | None) -> ImageScore | None:
        """Score one image. prediction, truth: (H, W) m, NaN = unknown; None if not scorable.

        Raises EvaluationError for different shapes, or a prediction without a valid pixel where
        there is truth.
        """
        scored = None if truth is None else scored_pixels(truth, self.crop)
        if truth is None or scored is None or not scored.any():
            self.skipped += 1
            return None
        if prediction.shape != truth.shape:
            raise EvaluationError(
                f"predicted depth is {prediction.shape}, the true one {truth.shape}: resize it"
            )
        valid = scored & np.isfinite(prediction) & (prediction > 0)
        if not valid.any():
            raise EvaluationError(
                f"none of {int(scored.sum())} scored pixels has a finite, positive prediction: "
                "the network has diverged"
            )
        p, g = prediction[valid], truth[valid]
        ratio = median_ratio(p, g)
        score = ImageScore(
            depth_errors(p * ratio, g),
            depth_errors(p, g),
            ratio,
            float(valid.sum() / scored.sum()),
        )
        self.images.append(score)
        return score

    def metrics(self) -> dict[str, float]:
        """Means over images: abs_rel … d3 (median scaling) and unscaled_*, and the counts.

        scale: median of the per-image factors; scale_std: their standard deviation over it, which
        is 0 for a prediction that is right up to one factor. depth_images, depth_skipped: images
        scored, and without truth. Raises EvaluationError for no scored image.
        """
        scaled = mean_errors([image.scaled for image in self.images])
        unscaled = mean_errors([image.unscaled for image in self.images])
        ratios = np.array([image.ratio for image in self.images])
        return {
            **scaled.keyed(),
            **unscaled.keyed("unscaled_"),
            "scale": float(np.median(ratios)),
            "scale_std": float(np.std(ratios) / np.median(ratios)),
            "coverage": float(np.mean([image.coverage for image in self.images])),
            "depth_images": len(self.images),
            "depth_skipped": self.skipped,
        }
