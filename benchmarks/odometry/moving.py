"""How many static pixels are falsely said to move by themselves."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import Engine
from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.estimation.scene_flow.tracking import ObjectTracker
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry import se3
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.open import open_source

# The true motion says which pixels are static, but not at the pixel on an outline.
_STILL = 1e-3
_OUTLINE = 5
_MAX_DEPTH = 100.0


def moving(
    spec: str, engine: Engine, settings: EstimatorSettings, args: argparse.Namespace
) -> dict[str, Any]:
    """false, p95: % of the static pixels, mean and 95th percentile of frames; objects: told in a
    frame, on the average; scale: where it came from.

    args: limit, and what of the settings is changed. True poses serve as odometry.
    """
    names = ("object_flow_threshold", "object_flow_ratio", "object_motion")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    settings = replace(settings, scale_source="auto", max_depth=_MAX_DEPTH, **given)
    estimator, tracker = Estimator(engine, settings), ObjectTracker()
    camera_from_base = se3.inverse(settings.base_from_camera)
    shares, objects, source = [], [], "unit"
    with open_source(spec) as frames:
        for frame in itertools.islice(frames, args.limit):
            if frame.truth is not None and frame.truth.pose is not None:
                estimator.add_odometry(frame.stamp, frame.truth.pose @ camera_from_base)
            estimate = estimator.process(frame)
            told = tracker.update(estimate)
            if estimate.object_flow is None or not estimate.scale.is_metric:
                continue
            source = estimate.scale.source
            objects.append(len(told))
            moves = np.any(np.nan_to_num(estimate.object_flow) != 0, axis=2)
            counts = static_pixels(frame, moves.shape) & ~np.isnan(estimate.depth)
            if counts.any():
                shares.append(100 * float(moves[counts].mean()))
    known = shares or [float("nan")]
    return {
        "scale": source,
        "frames": len(shares),
        "false": float(np.mean(known)),
        "p95": float(np.percentile(known, 95)),
        "objects": float(np.mean(objects)) if objects else 0.0,
    }


def static_pixels(frame: Frame, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool, what surely does not move by itself; everything where the truth is silent."""
    if frame.truth is None or frame.truth.motion is None:
        return np.ones(shape, bool)
    motion = np.nan_to_num(frame.truth.motion)
    moves = (np.linalg.norm(motion, axis=2) > _STILL).astype(np.uint8)
    moves = np.asarray(cv2.dilate(moves, np.ones((_OUTLINE, _OUTLINE), np.uint8)), np.uint8)
    resized = cv2.resize(moves, shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized == 0)
