"""``depth_motion bench fusion``: the camera's odometry, wheels and a gyro, alone and fused."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_motion_ros.evaluation.fusion import FilterSettings, Seen
    from depth_motion_ros.sources.frame import Frame

HELP = "what fusing the camera with wheels and a gyro gains on simulated paths, by config/ekf.yaml"

# Those with a robot's or a car's path.
_SCENES = ("sim:drive", "sim:yard", "sim:indoor")
_SETS = (
    ("wheels", ("odom1",)),
    ("wheels, gyro", ("odom1", "imu0")),
    ("camera", ("odom0",)),
    ("camera, wheels", ("odom0", "odom1")),
    ("camera, gyro", ("odom0", "imu0")),
    ("all three", ("odom0", "odom1", "imu0")),
)
_KEYS = ("position", "end", "heading", "inside")
_NOTE = (
    "position: over the path, from where it began, % of its length; end, heading: at its end; all "
    "are root mean squares over the draws of wheels and gyro.\ninside: share of x y yaw inside "
    "their 95 % ellipsoid. The camera has its scale from its height, never from the wheels that it "
    "is fused with."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", nargs="+", default=list(_SCENES), metavar="SIM")
    parser.add_argument("--weights", type=Path, help="without it the truth predicts, disturbed")
    parser.add_argument("--depth-error", type=float, default=0.1, help="of the disturbed truth")
    parser.add_argument("--scene-seed", type=int, help="another scene of a sim: family")
    parser.add_argument("--limit", type=int, default=60, help="frames of each scene")
    parser.add_argument("--draws", type=int, default=20, help="of the noise of wheels and gyro")
    parser.add_argument("--ekf", type=Path, help="parameters of ekf_node; default config/ekf.yaml")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    from depth_motion_ros.evaluation.fusion import FilterSettings
    from depth_motion_ros.evaluation.report import write_json
    from depth_motion_ros.share import config_file

    settings = FilterSettings.from_file(args.ekf or config_file("ekf.yaml"))
    results: dict[str, dict[str, Any]] = {}
    for spec in args.data:
        results[spec] = measured(spec, settings, args)
        _print(spec, results[spec])
    results["all scenes"] = {
        name: {key: _mean([results[spec][name][key] for spec in args.data]) for key in _KEYS}
        for name, _ in _SETS
    }
    _print("all scenes", results["all scenes"])
    print(f"\n{_NOTE}")
    if args.json is not None:
        write_json(args.json, results)
    return 0


def _mean(values: list[float]) -> float:
    """Root mean square."""
    return float(sum(value * value for value in values) / len(values)) ** 0.5


def _print(title: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n| {title} | position % | end % | heading ° | inside 95 % |\n|{'---|' * 5}")
    for name, row in rows.items():
        cells = (format(row[key], ".2f") for key in _KEYS)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def measured(
    spec: str, settings: FilterSettings, args: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Errors of every set of sensors, over all draws."""
    import numpy as np

    from depth_motion_ros.evaluation.fusion import Noise, fuse
    from depth_motion_ros.evaluation.odometry import pose_of
    from depth_motion_ros.evaluation.trajectory import path_length
    from depth_motion_ros.geometry import se3

    frames, seen, base_from_camera = _seen(spec, args)
    camera_from_base = se3.inverse(base_from_camera)
    truth = [pose_of(frame) @ camera_from_base for frame in frames]
    seconds = (frames[1].stamp - frames[0].stamp) * 1e-9
    length = float(path_length(np.stack(truth))[-1])
    rows = {}
    for name, use in _SETS:
        draws = [
            asdict(fuse(truth, seconds, seen, settings, use, Noise(), seed))
            for seed in range(args.draws)
        ]
        row = {key: _mean([draw[key] for draw in draws]) for key in _KEYS}
        for key in ("position", "end"):
            row[key] *= 100 / length
        row["inside"] = float(np.mean([draw["inside"] for draw in draws]))
        rows[name] = row
    return rows


def _seen(spec: str, args: argparse.Namespace) -> tuple[list[Frame], list[Seen], Any]:
    """Frames from where the scale is known, what the camera says of the steps between them, and
    where it sits."""
    from depth_motion_ros.cli.bench_odometry import estimator_settings, predicted
    from depth_motion_ros.estimation.estimator import Estimator, RequestedOutputs
    from depth_motion_ros.evaluation.fusion import Seen
    from depth_motion_ros.evaluation.odometry import ReplayEngine
    from depth_motion_ros.sources.open import open_source

    options = argparse.Namespace(
        weights=args.weights, size="416x128", depth_error=args.depth_error, turn_error=0.3,
        step_error=0.2, assumed_depth_error=None, camera_height=0.0, camera_pitch=0.0,
    )  # fmt: skip
    with open_source(spec, **({} if args.scene_seed is None else {"seed": args.scene_seed})) as s:
        frames = list(itertools.islice(s, args.limit))
    predictions, size = predicted(spec, frames, options)
    settings = replace(estimator_settings(spec, options), scale_source="camera_height")
    estimator = Estimator(ReplayEngine(size, predictions), settings)
    told, first = [], None
    for index, frame in enumerate(frames):
        estimate = estimator.process(frame, RequestedOutputs(object_flow=False))
        if first is None and estimate.scale.is_metric:
            first = index
        state = estimator.pose
        is_seen = estimate.motion is not None
        told.append(
            Seen(
                state.twist if is_seen else None,
                state.twist_covariance if is_seen else None,
            )
        )
    begin = first or 0
    return frames[begin:], told[begin + 1 :], settings.base_from_camera
