"""Errors of the odometry against true poses, refined and not, by source of scale.

Without weights the ground truth predicts, disturbed as the arguments say. With ``--moving`` also
how many static pixels are falsely said to move by themselves.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.odometry.ground_truth_engine import Disturbance, GroundTruthEngine
from benchmarks.odometry.moving import moving
from benchmarks.odometry.scoring import record, run_estimator, score
from benchmarks.report import number, table, write
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.cli.main import run_command
from depth_motion_ros.engines.interface import RawPrediction
from depth_motion_ros.engines.select import create_engine
from depth_motion_ros.estimation.settings import EstimatorSettings, depth_relative_std_of
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.simulated import PREFIX, SCENES

_COLUMNS = (
    ("rotation °", "turn", ".4f"),
    ("90 %", "turn_90", ".3f"),
    ("bias °", "bias", ".4f"),
    ("transl. %", "step", ".2f"),
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
_NOTE = """\
rotation, transl.: error of one frame's motion, median and 90th percentile; bias: of the mean error
of rotation. t_err, r_err: over KITTI's lengths, or 5-50 m on shorter paths. drift: of the last
pose. unit: not metric, one factor for the sequence fitted to the truth. scale: at the end, in
metres per unit; long by: of the metric path. NEES/6: mean, 1 is consistent, less is cautious.
jitter: of the true orientations themselves; less: without it. ms: processor time of a frame
without the engine; refine: of refinement alone, median and least of all pairs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", default=[f"{PREFIX}{name}" for name in SCENES],
        help="with poses",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, help="without it the truth predicts, disturbed as below"
    )
    parser.add_argument(
        "--size", type=image_size, default="416x128", help="of the images, without weights"
    )
    parser.add_argument("--depth-std", type=float, default=0.1, help="smooth, relative")
    parser.add_argument("--rotation-error", type=float, default=0.3, help="degrees a frame")
    parser.add_argument(
        "--translation-error", type=float, default=0.2, help="share of the translation"
    )
    parser.add_argument(
        "--assumed-depth-std",
        type=float,
        help="as the estimator assumes; default: depth-std, or as the weights state",
    )
    parser.add_argument("--limit", type=int, default=100, help="frames of each sequence")
    parser.add_argument("--first", type=int, default=0, help="frame to begin with")
    parser.add_argument("--scene-seed", type=int, help="another scene of a sim: family")
    parser.add_argument(
        "--camera-height", type=float, default=0.0, help="m; simulated scenes know their own"
    )
    parser.add_argument("--camera-pitch", type=float, default=0.0, help="rad, down is positive")
    moving = parser.add_argument_group("falsely moving pixels")
    moving.add_argument(
        "--moving", action="store_true",
        help="count static pixels that are said to move; needs --weights",
    )  # fmt: skip
    moving.add_argument("--object-flow-threshold", type=float, help="m/s; default: the estimator's")
    moving.add_argument("--object-flow-ratio", type=float, help="1/s; default: the estimator's")
    moving.add_argument(
        "--object-motion", choices=("flow", "network"), help="default: the estimator's"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    if args.moving and args.weights is None:
        raise EvaluationError("--moving measures a network: give --weights FILE")
    odometry: dict[str, dict[str, Any]] = {}
    for spec in args.sources:
        for name, metrics in measured(spec, args):
            odometry[f"{_short(spec)} {name}"] = metrics
    headings = ("sequence, scale", *(heading for heading, _, _ in _COLUMNS))
    rows = (
        (name, *(number(metrics[key], form) for _, key, form in _COLUMNS))
        for name, metrics in odometry.items()
    )
    print(f"{table(headings, rows)}\n{_NOTE}", flush=True)
    pixels: dict[str, dict[str, Any]] = {}
    if args.moving:
        with closing(create_engine(Weights.from_file(args.weights))) as engine:
            for spec in args.sources:
                settings = estimator_settings(spec, args)
                pixels[_short(spec)] = moving(spec, engine, settings, args)
        print(f"\n{moving_table(pixels)}")
    write(args.json, {"odometry": odometry, "falsely_moving": pixels})
    return 0


def moving_table(found: dict[str, dict[str, Any]]) -> str:
    """A row for each sequence."""
    headings = ("sequence", "scale", "false % of static pixels", "p95", "objects a frame")
    return table(
        headings,
        (
            (name, row["scale"], *(number(row[key], ".2f") for key in ("false", "p95", "objects")))
            for name, row in found.items()
        ),
    )


def _short(spec: str) -> str:
    return spec if spec.startswith(PREFIX) else Path(spec).name


def measured(spec: str, args: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, metrics) of a sequence for each source of scale, raw and refined."""
    options = {"seed": args.scene_seed} if spec.startswith(PREFIX) else {}
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
    if args.weights is not None:
        with closing(create_engine(Weights.from_file(args.weights))) as engine:
            return record(engine, frames), engine.input_size
    disturbance = Disturbance(args.depth_std, args.rotation_error, args.translation_error)
    oracle = GroundTruthEngine(args.size, disturbance, sky=spec.startswith(PREFIX))
    return record(oracle, frames, oracle.show), oracle.input_size


def estimator_settings(spec: str, args: argparse.Namespace) -> EstimatorSettings:
    """With the camera where the scene has it, or where the arguments say."""
    x, y, height, pitch = 0.0, 0.0, args.camera_height, args.camera_pitch
    if spec.startswith(PREFIX):
        x, y, height, _, pitch, _ = SCENES[spec.removeprefix(PREFIX)].mount
    # Positive pitch turns the nose down (REP-103).
    mount = se3.exp([0, 0, 0, 0, pitch, 0]) @ BODY_FROM_OPTICAL
    mount[:3, 3] = x, y, height
    return EstimatorSettings(
        base_from_camera=mount,
        camera_height=height,
        depth_relative_std=_assumed_depth_std(args),
        max_depth=1e4,
    )


def _assumed_depth_std(args: argparse.Namespace) -> float:
    if args.assumed_depth_std is not None:
        return float(args.assumed_depth_std)
    if args.weights is not None:
        return depth_relative_std_of(Weights.from_file(args.weights).metadata)
    return float(args.depth_std)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    return run_command("python -m benchmarks.odometry", __doc__, add_arguments, run, argv)
