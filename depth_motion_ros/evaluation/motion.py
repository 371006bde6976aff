"""Motion of objects by themselves: 3D end-point error and overlap of the moving pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.evaluation.errors import EvaluationError

# The truth comes in float16 (5e-4 relative at best) and with it what stands still shows less.
TRULY_MOVING = 0.01
"""Metres per frame above which a pixel of the truth counts as moving."""

DEFAULT_THRESHOLD = 0.05
"""Metres per frame above which a predicted pixel counts as moving; fix it on validation."""

THRESHOLDS = tuple(float(value) for value in np.geomspace(0.005, 1.0, 24).round(4))
"""Metres per frame at which the overlap is counted beside the given one, to choose it by."""

Field = NDArray[np.float32]


def end_point_error(prediction: Field, truth: Field) -> NDArray[np.float32]:
    """(H, W): distance in metres between two (H, W, 3) fields; NaN where either is unknown."""
    return np.linalg.norm(prediction - truth, axis=-1)


def _iou(intersection: int, union: int) -> float | None:
    return intersection / union if union else None


class MotionScore:
    """Adds up pixels over a sequence. Fields: (H, W, 3), metres from frame t to t + 1, on the
    pixels of t, in the camera axes of t + 1; NaN = unknown.

    Pixels, not images, are averaged: many frames have no moving pixel at all.

    threshold: m per frame above which a predicted pixel counts as moving.
    """

    def __init__(self, threshold: float = DEFAULT_THRESHOLD) -> None:
        if not threshold > 0:
            raise EvaluationError(f"the motion threshold must be positive, got {threshold} m")
        self.threshold = threshold
        self._thresholds = np.array((threshold, *THRESHOLDS))
        self._intersection = np.zeros(len(self._thresholds), np.int64)
        self._union = np.zeros(len(self._thresholds), np.int64)
        self._error = {"static": 0.0, "moving": 0.0}
        self._true_length = 0.0
        self._pixels = {"static": 0, "moving": 0}
        self.images = 0

    def add(self, prediction: Field, truth: Field) -> None:
        """Score one pair of frames. Raises EvaluationError for different shapes."""
        if prediction.shape != truth.shape:
            raise EvaluationError(
                f"predicted motion is {prediction.shape}, the true one {truth.shape}"
            )
        error = end_point_error(prediction, truth)
        known = np.isfinite(error)
        length = np.linalg.norm(truth, axis=-1)[known]
        self._true_length += float(length.sum(dtype=np.float64))
        moving = length > TRULY_MOVING
        speed = np.linalg.norm(prediction, axis=-1)[known]
        for name, chosen in (("moving", moving), ("static", ~moving)):
            self._error[name] += float(error[known][chosen].sum(dtype=np.float64))
            self._pixels[name] += int(chosen.sum())
        for i, threshold in enumerate(self._thresholds):
            found = speed > threshold
            self._intersection[i] += int((found & moving).sum())
            self._union[i] += int((found | moving).sum())
        self.images += 1

    def metrics(self) -> dict[str, float | None]:
        """motion_epe (m, all pixels), motion_epe_static, motion_epe_moving, motion_iou at
        ``threshold``; None where no pixel is of that kind.

        floor_still_motion_epe: what saying that nothing moves reaches, to print beside it.

        motion_best_threshold, motion_best_iou: the threshold of THRESHOLDS with the largest
        overlap on these very frames. It is for choosing ``threshold`` on validation, not a result.

        Raises EvaluationError where no pixel has known motion.
        """
        total = sum(self._pixels.values())
        if not total:
            raise EvaluationError("no pixel has known motion: nothing to score")
        epe = {
            f"motion_epe_{name}": self._error[name] / count if count else None
            for name, count in self._pixels.items()
        }
        overlaps = [
            _iou(int(i), int(u)) for i, u in zip(self._intersection, self._union, strict=True)
        ]
        best = max(range(1, len(overlaps)), key=lambda i: overlaps[i] or 0.0)
        return {
            "motion_epe": sum(self._error.values()) / total,
            **epe,
            "floor_still_motion_epe": self._true_length / total,
            "motion_iou": overlaps[0],
            "motion_threshold": self.threshold,
            "motion_best_threshold": float(self._thresholds[best]),
            "motion_best_iou": overlaps[best],
            "motion_images": self.images,
        }
