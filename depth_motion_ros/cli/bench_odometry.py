"""``depth_motion bench odometry``: errors of the odometry, refined and not, by source of scale."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_motion_ros.engines.interface import Engine, RawPrediction
    from depth_motion_ros.estimation.settings import EstimatorSettings
    from depth_motion_ros.sources.frame import Frame

HELP = "drift of the odometry and truth of its covariance, refined or not, by source of scale"

_COLUMNS = (
    ("turn °", "turn", ".4f"),
    ("90 %", "turn_90", ".3f"),
    ("bias °", "bias", ".4f"),
    ("step %", "step", ".2f"),
    ("90 %", "step_90", ".1f"),
    ("t_err %", "t_err", ".2f"),
    ("r_err °/100m", "r_err", ".2f"),
    ("ATE m", "ate", ".3f"),
    ("drift %", "drift", ".2f"),
    ("scale", "scale", ".3f"),
    ("± claimed", "scale_std", ".3f"),
    ("long by %", "scale_error", "+.1f"),
    ("NEES/6", "nees", ".2f"),
    ("inside 95 %", "inside", ".2f"),
    ("jitter °", "jitter", ".3f"),
    ("NEES/6 less", "nees_less", ".2f"),
    ("inside less", "inside_less", ".2f"),
    ("lost", "lost", ".2f"),
    ("ms", "milliseconds", ".1f"),
    ("refine ms", "refinement", ".2f"),
    ("least", "refinement_least", ".2f"),
)
_NOTE = (
    "turn, step: error of one frame's motion, median and 90th percentile; bias: of the mean error "
    "of turning. t_err, r_err: KITTI's "
    "lengths, or 5-50 m on shorter paths.\ndrift: of the last pose. unit: not metric, one factor "
    "for the sequence fitted to the truth. scale: at the end, in metres per unit; long by: of the "
    "metric path.\nNEES/6: mean, 1 is consistent, less is cautious. jitter: of the true "
    "orientations themselves; less: without it.\nms: processor time of a frame without the engine; "
    "refine: of refinement alone, median and least of all pairs."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, nargs="+", metavar="SEQ", help="with poses")
    parser.add_argument(
        "--weights", type=Path, help="without it the truth predicts, disturbed as below"
    )
    parser.add_argument("--size", default="416x128", help="of the images, without weights")
    parser.add_argument("--depth-error", type=float, default=0.1, help="smooth, relative")
    parser.add_argument("--turn-error", type=float, default=0.3, help="degrees a frame")
    parser.add_argument("--step-error", type=float, default=0.2, help="share of the step")
    parser.add_argument(
        "--assumed-depth-error",
        type=float,
        help="what the estimator is told; default: depth-error, or what the weights say",
    )
    parser.add_argument("--limit", type=int, default=100, help="frames of each sequence")
    parser.add_argument("--first", type=int, default=0, help="frame to begin with")
    parser.add_argument("--scene-seed", type=int, help="another scene of a sim: family")
    parser.add_argument(
        "--camera-height", type=float, default=0.0, help="m; simulated scenes know their own"
    )
    parser.add_argument("--camera-pitch", type=float, default=0.0, help="rad, down is positive")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    from depth_motion_ros.evaluation.report import write_json

    results: dict[str, dict[str, Any]] = {}
    for spec in args.data:
        print(f"\n{spec}", flush=True)
        print("".join(f"{heading:>13}" for heading in ("", "", *(c[0] for c in _COLUMNS))))
        for name, metrics in measured(spec, args):
            results[f"{spec} {name}"] = metrics
            cells = [_cell(metrics[key], form) for _, key, form in _COLUMNS]
            print(f"{name:>26}" + "".join(f"{cell:>13}" for cell in cells), flush=True)
    print(f"\n{_NOTE}")
    if args.json is not None:
        write_json(args.json, results)
    return 0


def measured(spec: str, args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, metrics) of a sequence for each source of scale, raw and refined."""
    from dataclasses import replace

    from depth_motion_ros.evaluation.odometry import run_estimator, score
    from depth_motion_ros.sources.open import open_source

    options = {"seed": args.scene_seed} if spec.startswith("sim:") else {}
    with open_source(spec, **options) as source:
        frames = list(itertools.islice(source, args.first, args.first + args.limit))
    predictions, size = predicted(spec, frames, args)
    base = estimator_settings(spec, args)
    kinds = [("unit", "constant"), ("odometry", "odometry")]
    if base.camera_height > 0:
        kinds.insert(1, ("camera_height", "camera_height"))
    for (label, kind), refine in itertools.product(kinds, (False, True)):
        settings = replace(base, scale_source=kind, refine=refine)
        result = run_estimator(frames, predictions, size, settings, kind == "odometry")
        name = f"{label} {'refined' if refine else 'raw'}"
        yield name, score(frames, result)


def predicted(
    spec: str, frames: list[Frame], args: argparse.Namespace
) -> tuple[list[RawPrediction], tuple[int, int]]:
    """What the network says of every frame, or the disturbed truth; and the images' size."""
    from depth_motion_ros.cli.image_size import image_size
    from depth_motion_ros.engines.select import create_engine
    from depth_motion_ros.evaluation.ground_truth_engine import Disturbance, GroundTruthEngine
    from depth_motion_ros.evaluation.odometry import record
    from depth_motion_ros.models.weights import Weights

    if args.weights is not None:
        engine: Engine = create_engine(Weights.from_file(args.weights))
        return record(engine, frames), engine.input_size
    disturbance = Disturbance(args.depth_error, args.turn_error, args.step_error)
    oracle = GroundTruthEngine(image_size(args.size), disturbance, sky=spec.startswith("sim:"))
    return record(oracle, frames, oracle.show), oracle.input_size


def estimator_settings(spec: str, args: argparse.Namespace) -> EstimatorSettings:
    """With the camera where the scene has it, or where the arguments say."""
    from depth_motion_ros.estimation.settings import EstimatorSettings
    from depth_motion_ros.geometry import se3
    from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
    from depth_motion_ros.sources.simulated import PREFIX, SCENES

    x, y, height, pitch = 0.0, 0.0, args.camera_height, args.camera_pitch
    if spec.startswith(PREFIX):
        x, y, height, _, pitch, _ = SCENES[spec.removeprefix(PREFIX)].mount
    # Positive pitch turns the nose down (REP-103).
    mount = se3.exp([0, 0, 0, 0, pitch, 0]) @ BODY_FROM_OPTICAL
    mount[:3, 3] = x, y, height
    return EstimatorSettings(
        base_from_camera=mount,
        camera_height=height,
        depth_relative_std=_assumed_depth_error(args),
        max_depth=1e4,
    )


def _assumed_depth_error(args: argparse.Namespace) -> float:
    from depth_motion_ros.estimation.settings import depth_relative_std_of
    from depth_motion_ros.models.weights import Weights

    if args.assumed_depth_error is not None:
        return float(args.assumed_depth_error)
    if args.weights is not None:
        return depth_relative_std_of(Weights.from_file(args.weights).metadata)
    return float(args.depth_error)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
