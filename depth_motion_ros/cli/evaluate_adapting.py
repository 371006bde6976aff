"""``depth_motion evaluate --adapt``: what learning from a sequence does to its depth."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from typing import Any

from depth_motion_ros.adaptation.adapter import Adapter
from depth_motion_ros.adaptation.offline import VideoClock, adapt_over
from depth_motion_ros.cli.adaptation_options import adapter_of, refusals
from depth_motion_ros.evaluation.evaluate import EvaluationOptions, Metrics, evaluate
from depth_motion_ros.evaluation.predictor import NetworkPredictor
from depth_motion_ros.evaluation.report import table, write_json
from depth_motion_ros.models.packaged import weights_path
from depth_motion_ros.models.weights import Weights, build_network
from depth_motion_ros.sources.base import Source
from depth_motion_ros.sources.frame import Frame, FrameSource
from depth_motion_ros.sources.open import open_source

STAGES = ("before", "during", "after")


def run_adapting(args: argparse.Namespace) -> int:
    """Each sequence begins with the weights as they were; print a row for every stage."""
    weights = Weights.from_file(weights_path(args.weights))
    results: dict[str, Metrics] = {}
    rows: dict[str, Metrics] = {}
    for spec in args.data:
        with open_source(spec) as source:
            name = spec if source.name in results else source.name
            stages, adapter = evaluate_adapting(weights, source, args)
        results[name] = {
            f"{stage}_{key}": value
            for stage, found in stages.items()
            for key, value in found.items()
        }
        status = adapter.status()
        results[name] |= {
            "steps": status.steps,
            "admitted": status.admitted,
            "triangulated": status.triangulated,
            "released": status.released,
            "rolled_back": status.rolled_back,
            "refused": status.refused,
        }
        rows |= {f"{name} {stage}": found for stage, found in stages.items()}
        print(
            f"{name}: {status.admitted} pairs admitted, {status.triangulated} with triangulated "
            f"depth, {status.steps} steps, {status.released} released, {status.rolled_back} rolled "
            f"back; refused: {refusals(status.refused)}",
            file=sys.stderr,
        )
    print(table(rows))
    if args.json is not None:
        write_json(args.json, results)
    return 0


def evaluate_adapting(
    weights: Weights, source: FrameSource, args: argparse.Namespace
) -> tuple[dict[str, Metrics], Adapter]:
    """Metrics by stage. before, after: the first and the last weights on the whole sequence.
    during: each frame with the weights that ran when it came, before anything learns from it."""
    options = EvaluationOptions(
        batch=args.batch, limit=args.limit, crop=args.garg_crop, motion=False, floors=True
    )
    before = evaluate(NetworkPredictor(build_network(weights)), source, options).metrics
    adapter, clock = adapter_of(weights, args)
    shown = _AdaptingSource(source, adapter, clock)
    one_by_one = EvaluationOptions(
        batch=1, limit=args.limit, crop=args.garg_crop, motion=False, floors=False
    )
    during = evaluate(shown, shown, one_by_one).metrics
    after = evaluate(NetworkPredictor(build_network(adapter.running)), source, options).metrics
    return dict(zip(STAGES, (before, during, after), strict=True)), adapter


class _AdaptingSource(Source):
    """Frames of a source, each of which is learned from when the next is asked for; and the
    predictor with the weights that run meanwhile."""

    def __init__(self, source: FrameSource, adapter: Adapter, clock: VideoClock) -> None:
        super().__init__(source.name, source.rate, source.length)
        self._source = source
        self._adapter = adapter
        self._clock = clock
        self._predictor = NetworkPredictor(build_network(adapter.running))

    def __iter__(self) -> Iterator[Frame]:
        ahead, shown = itertools.tee(self._source)
        learning = adapt_over(self._adapter, shown, self._clock)
        for frame in ahead:
            yield frame
            if next(learning).release is not None:
                self._predictor = NetworkPredictor(build_network(self._adapter.running))

    def predict(self, images: Any, pairs: Any) -> Any:
        """See ``Predictor``."""
        return self._predictor.predict(images, pairs)
