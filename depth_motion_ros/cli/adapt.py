"""``depth_motion adapt``: the learner of the robot over recorded video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depth_motion_ros.cli.adaptation_options import add_adaptation_arguments

HELP = "adapt weights to recorded video, with the gates that guard the robot"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", default="default", help="file, or default or free: those of the package"
    )
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        metavar="SEQ",
        help="videos, sequence folders, bags, sim:NAME, in this order",
    )
    parser.add_argument("--out", required=True, type=Path, help="weights file to write")
    parser.add_argument("--limit", type=int, help="frames of each sequence, default all")
    parser.add_argument("--passes", type=int, default=1, help="times through the data")
    parser.add_argument(
        "--odometry", action="store_true", help="poses that come with the data serve as odometry"
    )
    parser.add_argument(
        "--state", type=Path, help="folder to go on from, where it exists, and to save to"
    )
    add_adaptation_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Adapt; write the newest released weights. 1 where none were released."""
    import itertools

    from depth_motion_ros.adaptation.offline import adapt_over
    from depth_motion_ros.adaptation.state import FILE
    from depth_motion_ros.cli.adaptation_options import adapter_of, refusals
    from depth_motion_ros.models.packaged import weights_path
    from depth_motion_ros.models.weights import Weights
    from depth_motion_ros.sources.open import open_source

    adapter, clock = adapter_of(Weights.from_file(weights_path(args.weights)), args)
    if args.state is not None and (args.state / FILE).exists():
        adapter.restore(args.state)
    for spec in args.data * args.passes:
        with open_source(spec) as source:
            frames = itertools.islice(source, args.limit)
            for progress in adapt_over(adapter, frames, clock, args.odometry):
                if progress.release is not None:
                    scores = progress.release.scores
                    print(
                        f"{spec}: {progress.release.weights.version}: loss on held-back pairs "
                        f"{scores['held_back_first']:.4f} -> {scores['held_back']:.4f}, on "
                        f"immutable ones {scores['immutable_first']:.4f} -> "
                        f"{scores['immutable']:.4f}",
                        file=sys.stderr,
                    )
        if args.state is not None:
            adapter.save(args.state)
    status = adapter.status()
    print(
        f"{status.frames} frames, {status.admitted} pairs admitted, {status.triangulated} with "
        f"triangulated depth, {status.steps} steps, "
        f"{status.candidates} candidates, {status.released} released, {status.rolled_back} rolled "
        f"back; state {status.state}"
    )
    print(f"refused: {refusals(status.refused)}")
    if status.reason:
        print(f"last candidate: {status.reason}")
    if status.released == 0:
        print("no weights passed the gates: nothing written", file=sys.stderr)
        return 1
    adapter.running.to_file(args.out)
    print(f"wrote {args.out} ({adapter.running.version})")
    return 0
