"""``depth_motion bench odometry_tables``: every table of docs/odometry.md, as Markdown."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELP = "the tables of docs/odometry.md: real and simulated sequences, a network and the truth"

DATA_VARIABLE = "DEPTH_MOTION_DATA"
# Metres of the camera above the road: of the KITTI car (Geiger et al. 2012).
_KITTI_HEIGHT = 1.65
_REAL = ("eval/kitti03_dev", "eval/kitti06_start", "eval/kitti_raw_campus_stereo")
# Before that frame the true orientations are interpolated (docs/odometry.md): measured once more
# from there on.
_TRUE_FROM = {"kitti06_start": 12}
_SIMULATED = ("sim:drive", "sim:yard", "sim:indoor", "sim:handheld", "sim:crowd")
# Of these the truth is known by which depth and start are disturbed.
_WITH_DEPTH = (*_SIMULATED, "eval/kitti_raw_campus_stereo")

# Heading, metric, format; "raw → refined" where two are told.
_BOTH = (
    ("turn °", "turn", ".3f"),
    ("step %", "step", ".1f"),
    ("t_err %", "t_err", ".2f"),
    ("r_err °/100 m", "r_err", ".2f"),
    ("ATE m", "ate", ".3f"),
    ("drift m/m", "drift_per_metre", ".3f"),
    ("path too long by %", "scale_error", "+.1f"),
)
_CONSISTENCY = (
    ("mean error of turning °", "bias", ".3f"),
    ("NEES/6, raw → refined", "nees", ".2f"),
    ("inside 95 %, raw → refined", "inside", ".2f"),
    ("jitter of the truth °", "jitter", ".3f"),
    ("NEES/6 without it", "nees_less", ".2f"),
    ("inside without it", "inside_less", ".2f"),
)
_REFINED_ALONE = ("jitter", "nees_less", "inside_less")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, help="the network to measure; none = truth alone")
    parser.add_argument(
        "--data",
        type=Path,
        help=f"folder with eval/kitti03_dev and so on; default ${DATA_VARIABLE}; none = simulator",
    )
    parser.add_argument("--limit", type=int, default=80, help="frames of each sequence")
    parser.add_argument("--assumed-depth-error", type=float, help="default: as the weights say")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(args: argparse.Namespace) -> int:
    from depth_motion_ros.evaluation.report import write_json

    given = args.data or os.environ.get(DATA_VARIABLE)
    root = Path(given) if given else None
    results: dict[str, dict[str, Any]] = {}
    if args.weights is not None:
        assumed = args.assumed_depth_error
        specs = [*_found(_REAL, root), *_SIMULATED]
        rows = list(_measured(specs, args, results, "network", assumed_depth_error=assumed))
        _table(f"The network of {_version(args.weights)}", _BOTH, rows)
        _table("Its covariance", _CONSISTENCY, rows)
    specs = [*_SIMULATED, *_found(_WITH_DEPTH[len(_SIMULATED) :], root)]
    for wrong, assumed in ((0.0, 0.0), (0.1, 0.1), (0.1, None), (0.3, 0.3)):
        said = 0.3 if assumed is None else assumed
        rows = list(
            _measured(
                specs, args, results, f"truth {wrong} {said}", weights=None,
                depth_error=wrong, assumed_depth_error=said,
            )
        )  # fmt: skip
        title = f"The truth, depth wrong by {wrong:.0%}, taken to be wrong by {said:.0%}"
        _table(title, _BOTH, rows)
        _table("Its covariance", _CONSISTENCY, rows)
    if args.json is not None:
        write_json(args.json, results)
    return 0


def _found(names: tuple[str, ...], root: Path | None) -> list[str]:
    if root is None:
        return []
    return [str(root / name) for name in names if (root / name).is_dir()]


def _version(weights: Path) -> str:
    from depth_motion_ros.models.weights import Weights

    return Weights.from_file(weights).version


_Row = tuple[str, str, dict[str, Any], dict[str, Any]]


def _measured(
    specs: list[str],
    args: argparse.Namespace,
    results: dict[str, dict[str, Any]],
    label: str,
    **changes: Any,
) -> Iterator[_Row]:
    """Sequence, source of scale, metrics raw and refined."""
    from depth_motion_ros.cli.bench_odometry import measured

    for spec, first in _with_later(specs):
        is_simulated = spec.startswith("sim:")
        options: dict[str, Any] = {
            "weights": args.weights, "limit": args.limit, "size": "416x128", "scene_seed": None,
            "first": first,
            "depth_error": 0.1, "turn_error": 0.3, "step_error": 0.2, "camera_pitch": 0.0,
            "camera_height": 0.0 if is_simulated else _KITTI_HEIGHT, "assumed_depth_error": None,
            **changes,
        }  # fmt: skip
        found = dict(measured(spec, argparse.Namespace(**options)))
        name = spec if is_simulated else Path(spec).name
        name += f" from frame {first}" if first else ""
        for kind in dict.fromkeys(key.split()[0] for key in found):
            raw, refined = (_with_drift(found[f"{kind} {how}"]) for how in ("raw", "refined"))
            results[f"{label} {name} {kind}"] = {"raw": raw, "refined": refined}
            yield name, kind, raw, refined


def _with_later(specs: list[str]) -> Iterator[tuple[str, int]]:
    """Each, and the frame to begin with."""
    for spec in specs:
        yield spec, 0
        if Path(spec).name in _TRUE_FROM:
            yield spec, _TRUE_FROM[Path(spec).name]


def _with_drift(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metres of drift per metre of path beside the percentage."""
    drift = metrics["drift"]
    return {**metrics, "drift_per_metre": None if drift is None else 0.01 * drift}


def _table(title: str, columns: tuple[tuple[str, str, str], ...], rows: list[_Row]) -> None:
    headings = ["sequence", "scale", *(heading for heading, *_ in columns)]
    print(f"\n{title}\n\n| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    for name, kind, raw, refined in rows:
        cells = [_cells(raw, refined, key, form) for _, key, form in columns]
        print(f"| {name} | {kind} | {' | '.join(cells)} |", flush=True)


def _cells(raw: dict[str, Any], refined: dict[str, Any], key: str, form: str) -> str:
    if refined[key] is None:
        return "–"
    if key in _REFINED_ALONE or raw[key] is None:
        return format(refined[key], form)
    return f"{format(raw[key], form)} → {format(refined[key], form)}"
