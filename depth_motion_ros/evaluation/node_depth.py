"""Depth as the node publishes it, fused over frames, and whether its standard deviation is true."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimator import Estimator, RequestedOutputs
from depth_motion_ros.evaluation.depth import DepthScore, median_ratio, scored_pixels
from depth_motion_ros.sources.frame import FrameSource

Map = NDArray[np.float32]

PREFIX = "node_"
# Relative standard deviation below which a pixel counts as sure.
SURE = 0.15
# Shares of the least certain pixels that are left out, one after the other.
_LEFT_OUT = np.arange(0.0, 1.0, 0.05)


def node_depth_metrics(
    estimator: Estimator, source: FrameSource, limit: int | None = None, crop: bool = False
) -> dict[str, float]:
    """``node_*``: those of ``DepthScore`` for ``Estimate.depth``; ``node_sure``, the share of the
    scored pixels whose claimed standard deviation is below ``SURE``, and ``node_sure_abs_rel`` of
    those; ``node_ause``, see ``sparsification_error``. Empty where the source has no depth."""
    score, sure, sure_errors, sparsification = DepthScore(crop), [], [], []
    for frame in islice(source, limit):
        estimate = estimator.process(frame, RequestedOutputs(object_flow=True))
        truth = None if frame.truth is None else frame.truth.depth
        if truth is None:
            continue
        depth, std = _resized(estimate.depth, truth), _resized(estimate.depth_std, truth)
        if score.add(depth, truth) is None:
            continue
        valid = scored_pixels(truth, crop) & np.isfinite(depth) & np.isfinite(std)
        p, g, s = depth[valid], truth[valid], std[valid]
        error = np.abs(p * median_ratio(p, g) - g) / g
        sure.append(float(np.mean(s < SURE)))
        if (s < SURE).any():
            sure_errors.append(float(error[s < SURE].mean()))
        sparsification.append(sparsification_error(error, s))
    if not score.images:
        return {}
    metrics = {
        **score.metrics(),
        "sure": float(np.mean(sure)),
        "sure_abs_rel": float(np.mean(sure_errors)) if sure_errors else float("nan"),
        "ause": float(np.mean(sparsification)),
    }
    return {PREFIX + name: value for name, value in metrics.items()}


def sparsification_error(error: Map, std: Map) -> float:
    """Area between two curves: the mean error of what remains when the pixels that claim to be
    least certain are left out, and when those that truly are worst are; over the mean error.

    0 for a perfect order, about 0.5 for a random one. error, std: (N,). Source: Ilg et al.,
    Uncertainty Estimates and Multi-Hypotheses Networks for Optical Flow, ECCV 2018.
    """
    by_claim, by_error = error[np.argsort(-std)], -np.sort(-error)
    first = (_LEFT_OUT * error.size).astype(np.intp)
    apart = [by_claim[i:].mean() - by_error[i:].mean() for i in first]
    return float(np.mean(apart) / max(float(error.mean()), 1e-12))


def _resized(values: Map, like: Map) -> Map:
    height, width = like.shape
    if values.shape == like.shape:
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR))
