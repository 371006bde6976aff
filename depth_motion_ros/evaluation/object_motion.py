"""Motion of objects as the node tells it, against the truth: the estimator's, not the network's."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Estimate
from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.evaluation.motion import MotionScore
from depth_motion_ros.sources.frame import Frame, FrameSource

# The estimator has decided what moves; where nothing does it says zero.
_ANYTHING = 1e-6
PREFIX = "node_"
_PUBLISHED = (
    *("motion_images", "motion_epe", "floor_still_motion_epe", "motion_epe_static"),
    *("motion_epe_moving", "motion_iou"),
)


def object_motion_metrics(
    estimator: Estimator, source: FrameSource, limit: int | None = None
) -> dict[str, float | None]:
    """``node_motion_*``: those of ``MotionScore`` for ``Estimate.object_flow``; none where the
    source does not know what moves.

    The estimator looks back: its velocity at a frame comes from that frame and the one before,
    while the truth says where things go next. Lengths get the factor that makes the depth of the
    same frame right in the median. Frames without a motion estimate are left out.
    """
    score = MotionScore(_ANYTHING)
    before: tuple[Frame, Estimate] | None = None
    for frame in islice(source, limit):
        estimate = estimator.process(frame)
        if before is not None:
            _add(score, *before, estimate)
        before = frame, estimate
    if not score.images:
        return {}
    metrics = score.metrics()
    return {PREFIX + name: metrics[name] for name in _PUBLISHED}


def _add(score: MotionScore, frame: Frame, estimate: Estimate, after: Estimate) -> None:
    truth = frame.truth
    flow = estimate.object_flow
    if truth is None or truth.motion is None or flow is None or estimate.motion is None:
        return
    step = flow * np.float32(estimate.motion.dt)
    if after.motion is not None:
        # Ground truth is in the axes of the next frame.
        step = step @ after.motion.rotation.astype(np.float32)
    height, width = truth.motion.shape[:2]
    step, depth = (
        np.asarray(cv2.resize(each, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)
        for each in (step, estimate.depth)
    )
    score.add(np.asarray(step * _factor(depth, truth.depth), np.float32), truth.motion)


def _factor(depth: NDArray[np.float32], truth: NDArray[np.float32] | None) -> np.float32:
    if truth is None:
        return np.float32(1)
    ratio = truth / depth
    known = ratio[np.isfinite(ratio)]
    return np.float32(np.median(known)) if known.size else np.float32(1)
