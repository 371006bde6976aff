"""What a predictor that does not look at the image reaches on the same frames.

A depth result means something only beside these. Both baselines get per-image median scaling, as
the result does:

- *constant*: the same depth everywhere;
- *row profile*: one depth per image row, fixed for the whole set and fitted to its truth: the
  median of all true depths (m) of that row over all images. Where images differ in height, rows
  at the same fraction of it are one, as many as the lowest image has.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.evaluation.depth import (
    MAX_DEPTH,
    MIN_DEPTH,
    DepthErrors,
    DepthScore,
    Map,
    mean_errors,
    scored_pixels,
)
from depth_motion_ros.evaluation.errors import EvaluationError

# A long sequence does not fit into memory, so medians come from histograms over ln depth. 8192
# bins over 1e-3 … 80 m are 0.14 % wide: no printed digit of a floor depends on that.
_BINS = 8192
_LOG_MIN = np.log(MIN_DEPTH)
_LOG_STEP = (np.log(MAX_DEPTH) - _LOG_MIN) / _BINS


class RowProfile:
    """Median depth of every image row, over any number of images in constant memory.

    crop: use only truth inside the Garg crop.
    """

    def __init__(self, crop: bool = False) -> None:
        self.crop = crop
        # Height of the images → (height, bins): how often each depth was seen in each row.
        self._counts: dict[int, NDArray[np.int64]] = {}

    def add(self, truth: Map) -> None:
        """Count the true depths (H, W), m, NaN = unknown."""
        rows, columns = np.nonzero(scored_pixels(truth, self.crop))
        height = truth.shape[0]
        bins = ((np.log(truth[rows, columns]) - _LOG_MIN) / _LOG_STEP).astype(np.int64)
        flat = rows * _BINS + np.clip(bins, 0, _BINS - 1)
        counts = np.bincount(flat, minlength=height * _BINS).reshape(height, _BINS)
        self._counts[height] = self._counts.get(height, 0) + counts

    def medians(self) -> NDArray[np.float64]:
        """(rows,): m, NaN where a row has no truth. As many rows as the lowest image has.

        Raises EvaluationError where no true depth has been added.
        """
        if not any(counts.any() for counts in self._counts.values()):
            raise EvaluationError("no true depth to fit a row profile to")
        rows = min(self._counts)
        pooled = np.zeros((rows, _BINS), np.int64)
        for height, counts in self._counts.items():
            np.add.at(pooled, np.arange(height) * rows // height, counts)
        totals = pooled.sum(axis=1)
        # The bin in which the cumulative count reaches half of the total.
        middle = np.argmax(2 * pooled.cumsum(axis=1) >= totals[:, None], axis=1)
        medians = np.exp(_LOG_MIN + (middle + 0.5) * _LOG_STEP)
        medians[totals == 0] = np.nan
        return medians


def _profile_map(medians: NDArray[np.float64], height: int, width: int) -> Map:
    """(height, width): a profile drawn out as a depth map."""
    rows = np.arange(height) * len(medians) // height
    return np.repeat(medians[rows, None], width, axis=1).astype(np.float32)


class BaselineScore:
    """Both baselines of one set of images, which has to be gone through twice.

    First ``fit`` every true depth, then ``add`` every one again.
    """

    def __init__(self, crop: bool = False) -> None:
        self._profile = RowProfile(crop)
        self._constant = DepthScore(crop)
        self._row = DepthScore(crop)
        self._medians: NDArray[np.float64] | None = None

    def fit(self, truth: Map) -> None:
        """First pass: learn the row profile, score the constant."""
        self._profile.add(truth)
        self._constant.add(np.ones_like(truth), truth)

    def add(self, truth: Map) -> None:
        """Second pass: score the row profile."""
        if self._medians is None:
            self._medians = self._profile.medians()
        height, width = truth.shape
        self._row.add(_profile_map(self._medians, height, width), truth)

    def errors(self) -> tuple[DepthErrors, DepthErrors]:
        """(constant, row profile), means over images. EvaluationError if none was scored."""
        return (
            mean_errors([image.scaled for image in self._constant.images]),
            mean_errors([image.scaled for image in self._row.images]),
        )

    def metrics(self) -> dict[str, float]:
        """floor_constant_abs_rel … and floor_row_abs_rel …"""
        constant, row = self.errors()
        return {**constant.keyed("floor_constant_"), **row.keyed("floor_row_")}


def baseline_scores(truths: Iterable[Map], crop: bool = False) -> dict[str, float]:
    """Both baselines of depth maps that can be iterated twice (a list, not a generator)."""
    score = BaselineScore(crop)
    for truth in truths:
        score.fit(truth)
    for truth in truths:
        score.add(truth)
    return score.metrics()
