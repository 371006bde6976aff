"""What several pairs with one frame in common tell about its depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.two_view import TwoView

# Pixels in which two pairs must both know depth to be brought to one scale, the spread of the
# logarithm of their ratio that is still borne, and the spread of all that is known of a pixel.
_COMMON = 200
_SCALE_SPREAD = 0.25
_SPREAD = 0.15
# Pixels of parallax that make a single pair believed.
_ALONE = 3.0


def fused_depth(views: Sequence[TwoView], least: int = 1) -> NDArray[np.float32]:
    """(H, W) depth of the first frame that all views share, with a median of 1, NaN where unknown.

    The scale of each view is that of its own baseline, so that all are brought to that of the one
    that knows most pixels. Where two views see a pixel and do not agree, it is not known; where
    only one does, it is if parallax is large. It may be unknown everywhere, and is where fewer than
    ``least`` views agree on the whole. Raises ValueError without a view.
    """
    if not views:
        raise ValueError("no view: there is nothing to fuse")
    ordered = sorted(views, key=lambda view: -int(np.isfinite(view.depth).sum()))
    logs, weights = [np.log(ordered[0].depth)], [ordered[0].parallax]
    for view in ordered[1:]:
        log = np.log(view.depth)
        ratio = (log - logs[0])[np.isfinite(log) & np.isfinite(logs[0])]
        if len(ratio) < _COMMON:
            continue
        scale = np.median(ratio)
        if np.median(np.abs(ratio - scale)) < _SCALE_SPREAD:
            logs.append(log - scale)
            weights.append(view.parallax)
    if len(logs) < least:
        return np.full(logs[0].shape, np.nan, np.float32)
    return _mean(np.stack(logs), np.stack(weights))


def _mean(logs: NDArray[np.float32], parallax: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth (H, W) from its logarithms (N, H, W), the better known ones counting more."""
    known = np.isfinite(logs)
    weight = np.where(known, parallax, 0) ** 2
    total = np.maximum(weight.sum(axis=0), 1e-9)
    filled = np.where(known, logs, 0)
    mean = (weight * filled).sum(axis=0) / total
    spread = np.sqrt((weight * (filled - mean) ** 2).sum(axis=0) / total)
    count = known.sum(axis=0)
    alone = (count == 1) & (np.where(known, parallax, 0).max(axis=0) > _ALONE)
    believed = alone | ((count > 1) & (spread < _SPREAD))
    if not believed.any():
        return np.full(mean.shape, np.nan, np.float32)
    depth = np.where(believed, np.exp(mean), np.nan)
    return np.asarray(depth / np.nanmedian(depth), np.float32)
