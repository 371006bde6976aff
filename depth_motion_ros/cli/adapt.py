"""``depth_motion adapt``: the learner of the robot over recorded video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from depth_motion_ros.cli.adapt_options import add_adaptation_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from depth_motion_ros.adaptation.adapter import Adapter
    from depth_motion_ros.adaptation.offline import AdaptationProgress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", default="default", help="file, or default or free: those of the package"
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="videos, sequence folders, bags, sim:NAME, in this order",
    )
    parser.add_argument("--out", type=Path, help="weights file to write; needed without --report")
    parser.add_argument("--limit", type=int, help="frames of each sequence, default all")
    parser.add_argument("--passes", type=int, default=1, help="times through the data")
    parser.add_argument(
        "--odometry", action="store_true", help="poses that come with the data serve as odometry"
    )
    parser.add_argument(
        "--state", type=Path, help="folder to go on from, where it exists, and to save to"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="score depth against ground truth before, during and after adapting",
    )
    parser.add_argument("--json", type=Path, help="write the scores of --report to this file")
    parser.add_argument("--garg-crop", action="store_true", help="score depth in the KITTI crop")
    add_adaptation_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Adapt; write the newest released weights. 1 where some were asked for and none released."""
    import itertools

    from depth_motion_ros.adaptation.errors import AdaptationError
    from depth_motion_ros.adaptation.offline import adapt_over
    from depth_motion_ros.adaptation.state import FILE
    from depth_motion_ros.cli.adapt_options import adapter_of
    from depth_motion_ros.cli.adapt_report import DepthReport
    from depth_motion_ros.models.packaged import weights_path
    from depth_motion_ros.models.weights import Weights
    from depth_motion_ros.sources.open import open_source

    if args.out is None and not args.report:
        raise AdaptationError("nothing to do: give --out FILE for the weights, or --report")
    adapter, clock = adapter_of(Weights.from_file(weights_path(args.weights)), args)
    if args.state is not None and (args.state / FILE).exists():
        adapter.restore(args.state)
    report = DepthReport(args.limit, args.garg_crop) if args.report else None
    if report is not None:
        report.score("before", args.sources, adapter.running)
    try:
        for spec in args.sources * args.passes:
            with open_source(spec) as source:
                if report is not None and not report.is_complete("during", spec):
                    found: Iterable[AdaptationProgress] = report.score_during(
                        spec, source, adapter, clock, args.odometry
                    )
                else:
                    frames = itertools.islice(source, args.limit)
                    found = adapt_over(adapter, frames, clock, args.odometry)
                for progress in found:
                    _tell_release(spec, progress)
            if args.state is not None:
                adapter.save(args.state)
    except KeyboardInterrupt:
        # What was released has passed every gate; the learner may be in the midst of a step.
        _write_released(adapter, args.out)
        if args.state is not None:
            print(f"{args.state} holds the state after the last whole recording", file=sys.stderr)
        raise
    if report is not None:
        report.score("after", args.sources, adapter.running)
        print(report.table())
        if args.json is not None:
            report.write(args.json, adapter.status())
    _tell_status(adapter)
    if args.out is None:
        return 0
    return 0 if _write_released(adapter, args.out) else 1


def _write_released(adapter: Adapter, out: Path | None) -> bool:
    """Write the newest released weights, where there are any; whether there were."""
    if out is None or adapter.status().released == 0:
        print("no weights passed the gates: nothing written", file=sys.stderr)
        return False
    adapter.running.to_file(out)
    print(f"wrote {out} ({adapter.running.version})")
    return True


def _tell_release(spec: str, progress: AdaptationProgress) -> None:
    if progress.release is None:
        return
    scores = progress.release.scores
    print(
        f"{spec}: {progress.release.weights.version}: loss on held-back pairs "
        f"{scores['held_back_first']:.4f} -> {scores['held_back']:.4f}, on "
        f"rehearsal pairs {scores['rehearsal_first']:.4f} -> {scores['rehearsal']:.4f}",
        file=sys.stderr,
    )


def _tell_status(adapter: Adapter) -> None:
    from depth_motion_ros.cli.adapt_options import refusals

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
