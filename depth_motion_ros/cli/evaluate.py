"""``depth_motion evaluate``: depth, trajectory, object motion and focal length against truth."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from depth_motion_ros.models.weights import Weights
    from depth_motion_ros.sources.frame import FrameSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    from depth_motion_ros.evaluation.motion import DEFAULT_THRESHOLD

    parser.add_argument(
        "--weights", default="default", help="file, or default or free: those of the package"
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="sequence folders, sim:NAME, or whatever else frames can come from",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the metrics to this file")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write pictures to this folder")
    parser.add_argument("--panels", type=int, default=4, help="depth pictures per sequence")
    parser.add_argument("--batch", type=int, default=4, help="frames per network call")
    parser.add_argument("--limit", type=int, help="frames of each sequence, default all")
    parser.add_argument(
        "--stride", type=int, default=1, help="motion from frame t to t + STRIDE; depth of all"
    )
    parser.add_argument("--garg-crop", action="store_true", help="score depth in the KITTI crop")
    parser.add_argument(
        "--motion-threshold",
        type=float,
        default=DEFAULT_THRESHOLD,
        help="metres per frame above which a pixel counts as moving",
    )
    parser.add_argument(
        "--object-motion",
        choices=("flow", "network"),
        default="flow",
        help="what the node takes for the motion of objects",
    )
    parser.add_argument(
        "--depth-source",
        choices=("fused", "network"),
        default="fused",
        help="what the node takes for depth",
    )
    parser.add_argument("--device", default="cpu", help="PyTorch device: cpu, cuda, cuda:1")


def run(args: argparse.Namespace) -> int:
    """Score every sequence, print the table, write what was asked for."""
    from depth_motion_ros.evaluation.evaluate import EvaluationOptions, evaluate
    from depth_motion_ros.evaluation.plots import PanelWriter, spread, write_plots
    from depth_motion_ros.evaluation.predictor import NetworkPredictor
    from depth_motion_ros.evaluation.report import table, write_json
    from depth_motion_ros.models.weights import Weights, build_network
    from depth_motion_ros.sources.open import open_source

    options = EvaluationOptions(
        batch=args.batch,
        limit=args.limit,
        stride=args.stride,
        crop=args.garg_crop,
        motion_threshold=args.motion_threshold,
    )
    weights = Weights.from_file(args.weights)
    network = build_network(weights).to(args.device)
    predictor = NetworkPredictor(network)
    results = {}
    for spec in args.sources:
        with open_source(spec) as source:
            # Folders of the same name in different places are different sequences.
            name = spec if source.name in results else source.name
            observer = None
            if args.plots is not None:
                length = min(filter(None, (source.length, args.limit)), default=None)
                observer = PanelWriter(args.plots, name, spread(length, args.panels))
            result = evaluate(predictor, source, options, observer)
            results[name] = result.metrics
            results[name] |= _as_the_node(weights, source, args, result.metrics)
        if args.plots is not None:
            for path in write_plots(args.plots, replace(result, name=name)):
                print(f"wrote {path}", file=sys.stderr)
    print(table(results))
    if args.json is not None:
        write_json(args.json, results)
    return 0


def _as_the_node(
    weights: Weights, source: FrameSource, args: argparse.Namespace, known: Mapping[str, Any]
) -> dict[str, Any]:
    """What the estimator, which the node runs, says of depth and of the motion of objects, where
    ``known`` metrics show that the truth is known. A single image is all the network's."""
    from contextlib import closing

    from depth_motion_ros.engines.select import create_engine
    from depth_motion_ros.estimation.estimator import Estimator
    from depth_motion_ros.estimation.settings import (
        EstimatorSettings,
        depth_relative_std_of,
        unit_of,
    )
    from depth_motion_ros.evaluation.node_depth import node_depth_metrics
    from depth_motion_ros.evaluation.object_motion import object_motion_metrics

    settings = EstimatorSettings(
        unit=unit_of(weights.metadata),
        depth_relative_std=depth_relative_std_of(weights.metadata),
        object_motion=args.object_motion,
        depth_source=args.depth_source,
    )
    metrics: dict[str, Any] = {}
    with closing(create_engine(weights, engine="torch", device=args.device)) as engine:
        if "abs_rel" in known and known["frames"] > 1:
            estimator = Estimator(engine, settings)
            metrics |= node_depth_metrics(estimator, source, args.limit, args.garg_crop)
        if "motion_epe" in known:
            estimator = Estimator(engine, settings)
            metrics |= object_motion_metrics(estimator, source, args.limit)
    return metrics
