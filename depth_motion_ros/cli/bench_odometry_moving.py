"""``depth_motion bench odometry_moving``: how many static pixels are said to move by themselves."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

HELP = "share of static pixels, and of frames, in which something is falsely said to move"

# The true motion says which pixels are static, but not at the pixel on an outline.
_STILL = 1e-3
_OUTLINE = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument(
        "--data", required=True, nargs="+", metavar="SEQ",
        help="static where the truth does not say what moves",
    )  # fmt: skip
    parser.add_argument("--camera-height", type=float, default=1.65, help="m, without poses")
    parser.add_argument("--limit", type=int, default=60, help="frames of each sequence")
    parser.add_argument("--object-flow-threshold", type=float, help="m/s; default: the estimator's")
    parser.add_argument("--object-flow-ratio", type=float, help="1/s; default: the estimator's")
    parser.add_argument(
        "--object-motion", choices=("flow", "network"), help="default: the estimator's"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    from contextlib import closing

    from depth_motion_ros.engines.select import create_engine
    from depth_motion_ros.evaluation.report import write_json
    from depth_motion_ros.models.weights import Weights

    weights = Weights.from_file(args.weights)
    results: dict[str, dict[str, Any]] = {}
    print("| sequence | scale | false % of static pixels | 95th percentile | objects a frame |")
    print("|---|---|---|---|---|")
    for spec in args.data:
        with closing(create_engine(weights)) as engine:
            row = measured(spec, engine, args)
        name = spec if spec.startswith("sim:") else Path(spec).name
        results[name] = row
        print(
            f"| {name} | {row['scale']} | {row['false']:.2f} | {row['false_95']:.2f} "
            f"| {row['objects']:.2f} |",
            flush=True,
        )
    if args.json is not None:
        write_json(args.json, results)
    return 0


def measured(spec: str, engine: Any, args: argparse.Namespace) -> dict[str, Any]:
    """false, false_95: % of the static pixels, mean and 95th percentile of frames; objects: told
    in a frame, on the average; scale: where it came from."""
    import numpy as np

    from depth_motion_ros.cli.bench_odometry import estimator_settings
    from depth_motion_ros.estimation.estimator import Estimator
    from depth_motion_ros.estimation.scene_flow.tracking import ObjectTracker
    from depth_motion_ros.geometry import se3
    from depth_motion_ros.sources.open import open_source

    options = argparse.Namespace(
        weights=args.weights, camera_height=args.camera_height, camera_pitch=0.0,
        assumed_depth_error=None, depth_error=0.1,
    )  # fmt: skip
    settings = _changed(estimator_settings(spec, options), args)
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
        "false_95": float(np.percentile(known, 95)),
        "objects": float(np.mean(objects)) if objects else 0.0,
    }


def _changed(settings: Any, args: argparse.Namespace) -> Any:
    from dataclasses import replace

    names = ("object_flow_threshold", "object_flow_ratio", "object_motion")
    wanted = {name: getattr(args, name) for name in names}
    given = {name: value for name, value in wanted.items() if value is not None}
    return replace(settings, scale_source="auto", max_depth=100.0, **given)


def static_pixels(frame: Any, shape: tuple[int, int]) -> Any:
    """(H, W) bool, what surely does not move by itself; everything where the truth is silent."""
    import cv2
    import numpy as np

    if frame.truth is None or frame.truth.motion is None:
        return np.ones(shape, bool)
    motion = np.nan_to_num(frame.truth.motion)
    moves = (np.linalg.norm(motion, axis=2) > _STILL).astype(np.uint8)
    moves = cv2.dilate(moves, np.ones((_OUTLINE, _OUTLINE), np.uint8))
    return cv2.resize(moves, shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
