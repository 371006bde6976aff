"""The learner: what perception loses beside it, and what adaptation gains, forgets and withstands.

perception (the default): rate and latency of depth_motion_node, without and with adaptation_node.
gain: an unseen simulated domain, and what is forgotten of the original one.
recorded: the same with recordings. hostile: input that teaches nothing, or the wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.learner import perception
from benchmarks.learner.gain import gain, gain_table, recorded_gain
from benchmarks.learner.hostility import hostility, hostility_table
from benchmarks.learner.plot import write_plot
from benchmarks.report import write
from depth_motion_ros.cli.adapt_options import add_adaptation_arguments
from depth_motion_ros.cli.main import run_command
from depth_motion_ros.models.packaged import weights_path
from depth_motion_ros.models.weights import Weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="experiment", required=True, metavar="EXPERIMENT")
    usual = argparse.ArgumentDefaultsHelpFormatter
    one = kinds.add_parser("perception", formatter_class=usual, help="what perception loses")
    perception.add_arguments(one)

    one = kinds.add_parser("gain", formatter_class=usual, help="on an unseen simulated domain")
    _add_common(one)
    one.add_argument(
        "--domains",
        nargs="+",
        default=["yard", "indoor"],
        metavar="FAMILY",
        help="families of scenes, with a camera, light and textures that are not trained",
    )
    _add_seconds(one)

    one = kinds.add_parser("recorded", formatter_class=usual, help="the same with recordings")
    _add_common(one)
    one.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="recordings with true depth: two thirds teach, over and over",
    )
    _add_seconds(one)

    one = kinds.add_parser("hostile", formatter_class=usual, help="input that teaches the wrong")
    _add_common(one)
    one.add_argument("--minutes", type=float, default=30.0, help="of hostile video")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", default="default", help="file, or default or free: those of the package"
    )
    parser.add_argument(
        "--original",
        nargs="+",
        default=[],
        metavar="SEQ",
        help="recordings of the original domain, for forgetting; default: rendered as in training",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves to this PNG file")
    add_adaptation_arguments(parser)


def _add_seconds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=120.0, help="of 10 Hz video")


def run(args: argparse.Namespace) -> int:
    """Run an experiment, print its tables, write what was asked for."""
    if args.experiment == "perception":
        return perception.run(args)
    weights = Weights.from_file(weights_path(args.weights))
    results: dict[str, dict[str, Any]] = {}
    if args.experiment == "gain":
        for family in args.domains:
            results[f"gain {family}"] = found = gain(weights, family, args)
            print(f"\n{family}: {args.seconds:g} s of 10 Hz video from an unseen domain")
            print(gain_table(found), flush=True)
    elif args.experiment == "recorded":
        for spec in args.sources:
            results[f"recorded {Path(spec).name}"] = found = recorded_gain(weights, spec, args)
            print(f"\n{spec}: {found['teaching_frames']} frames, for {args.seconds:g} s")
            print(gain_table(found), flush=True)
    else:
        results["hostile"] = found = hostility(weights, args)
        print(f"{found['warm_up']:g} s of usual video, then {found['minutes']:g} min hostile")
        print(hostility_table(found))
    write(args.json, results)
    if args.plot is not None:
        write_plot(args.plot, results)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv) or ["perception"]
    return run_command("python -m benchmarks.learner", __doc__, add_arguments, run, given)
