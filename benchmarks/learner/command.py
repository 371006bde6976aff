"""``depth_motion bench adaptation``: what online adaptation gains, forgets and withstands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from depth_motion_ros.cli.adaptation_options import add_adaptation_arguments

HELP = "gain on an unseen domain, forgetting, and hostile input, of online adaptation"

EXPERIMENTS = ("gain", "recorded", "hostile")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", default="default", help="file, or default or free: those of the package"
    )
    parser.add_argument(
        "--experiment",
        nargs="+",
        choices=EXPERIMENTS,
        default=["gain", "hostile"],
        help="gain: an unseen simulated domain, and what is forgotten of the original one; "
        "recorded: the same with --data; hostile: input that teaches nothing or the wrong",
    )
    parser.add_argument(
        "--domains",
        nargs="+",
        default=["yard", "indoor"],
        metavar="FAMILY",
        help="families of scenes for gain, with a camera, light and textures that are not trained",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        metavar="SEQ",
        help="recordings with true depth, for recorded: two thirds teach, over and over",
    )
    parser.add_argument(
        "--original",
        nargs="+",
        default=[],
        metavar="SEQ",
        help="recordings of the original domain, for forgetting; default: rendered as in training",
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of 10 Hz video, for gain")
    parser.add_argument("--minutes", type=float, default=30.0, help="of hostile video")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves to this PNG file")
    add_adaptation_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the experiments, print their tables, write what was asked for."""
    from depth_motion_ros.cli.adaptation_gain import gain, recorded_gain
    from depth_motion_ros.cli.adaptation_hostility import hostility
    from depth_motion_ros.cli.adaptation_plot import write_plot
    from depth_motion_ros.evaluation.report import write_json
    from depth_motion_ros.models.packaged import weights_path
    from depth_motion_ros.models.weights import Weights

    weights = Weights.from_file(weights_path(args.weights))
    results: dict[str, dict[str, Any]] = {}
    if "gain" in args.experiment:
        for family in args.domains:
            results[f"gain {family}"] = found = gain(weights, family, args)
            title = f"{family}: {args.seconds:g} s of 10 Hz video from an unseen domain"
            print(_gain_text(title, found), flush=True)
    if "recorded" in args.experiment:
        for spec in args.data:
            found = recorded_gain(weights, spec, args)
            results[f"recorded {Path(spec).name}"] = found
            title = f"{spec}: {found['teaching_frames']} frames, for {args.seconds:g} s"
            print(_gain_text(title, found), flush=True)
    if "hostile" in args.experiment:
        results["hostile"] = found = hostility(weights, args)
        print(_hostile_text(found), flush=True)
    if args.json is not None:
        write_json(args.json, results)
    if args.plot is not None:
        write_plot(args.plot, results)
    return 0


def _gain_text(title: str, found: dict[str, Any]) -> str:
    lines = [
        f"\n{title}",
        f"{'':>24}{'before':>9}{'during':>9}{'after':>9}{'change':>9}",
    ]
    for title, key in (
        ("AbsRel, later frames", "later"),
        ("AbsRel, the video itself", "video"),
        ("AbsRel, original domain", "original"),
        ("loss, original domain", "original_loss"),
    ):
        if found[f"before_{key}"] is None:
            continue
        values = [found.get(f"{stage}_{key}") for stage in ("before", "during", "after")]
        cells = "".join("        -" if v is None else f"{v:9.4f}" for v in values)
        change = found[f"after_{key}"] / found[f"before_{key}"] - 1
        lines.append(f"{title:>24}{cells}{change:+9.1%}")
    lines.append(f"{found['learning_seconds']:.0f} s of processor time")
    lines.append(_counts_text(found))
    return "\n".join(lines)


def _hostile_text(found: dict[str, Any]) -> str:
    lines = [
        f"\nhostile: {found['warm_up']:g} s of usual video, then {found['minutes']:g} min hostile",
        f"{'AbsRel':>16}{'first':>9}{'start':>9}{'worst':>9}{'change':>9}",
        f"{'usual video':>16}{found['first_error']:9.4f}{found['start_error']:9.4f}"
        f"{found['worst_error']:9.4f}{found['worst_change']:+9.2%}",
        f"{'original domain':>16}{found['first_original']:9.4f}{found['start_original']:9.4f}"
        f"{found['worst_original']:9.4f}{found['worst_original_change']:+9.2%}",
        f"{found['released_while_hostile']} releases while the input was hostile",
        f"{'':>10}{'frames':>8}{'admitted':>10}  refused",
    ]
    for name, part in found["kinds"].items():
        lines.append(f"{name:>10}{part['frames']:8d}{part['admitted']:10d}  {part['refused']}")
    lines.append(_counts_text(found))
    return "\n".join(lines)


def _counts_text(found: dict[str, Any]) -> str:
    return (
        f"{found['admitted']} of {found['frames']} pairs admitted, {found['triangulated']} with "
        f"triangulated depth, {found['steps']} steps, "
        f"{found['candidates']} candidates, {found['released']} released, "
        f"{found['rolled_back']} rolled back; state {found['state']}; refused: {found['refused']}"
    )
