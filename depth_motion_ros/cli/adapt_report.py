"""``depth_motion adapt --report``: depth of each sequence before, during and after adapting."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from depth_motion_ros.adaptation.adapter import Adapter
from depth_motion_ros.adaptation.offline import AdaptationProgress, VideoClock, adapt_over
from depth_motion_ros.adaptation.status import AdaptationStatus
from depth_motion_ros.evaluation.evaluate import EvaluationOptions, Metrics, evaluate
from depth_motion_ros.evaluation.predictor import NetworkPredictor
from depth_motion_ros.evaluation.report import table, write_json
from depth_motion_ros.models.weights import Weights, build_network
from depth_motion_ros.sources.base import Source
from depth_motion_ros.sources.frame import Frame, FrameSource
from depth_motion_ros.sources.open import open_source

STAGES = ("before", "during", "after")


class DepthReport:
    """Scores by sequence and stage.

    before, after: the first and the last weights on the whole sequence. during: each frame with
    the weights that ran when it came, before anything learned from it.

    limit: frames of each sequence, None = all. crop: score depth in the Garg crop.
    """

    def __init__(self, limit: int | None, crop: bool) -> None:
        self._limit, self._crop = limit, crop
        self._found: dict[str, dict[str, Metrics]] = {stage: {} for stage in STAGES}

    def is_complete(self, stage: str, spec: str) -> bool:
        return spec in self._found[stage]

    def score(self, stage: str, specs: Sequence[str], weights: Weights) -> None:
        """``before`` or ``after``: sequences with these weights, as they are."""
        options = EvaluationOptions(limit=self._limit, crop=self._crop, motion=False)
        predictor = NetworkPredictor(build_network(weights))
        for spec in specs:
            with open_source(spec) as source:
                self._found[stage][spec] = evaluate(predictor, source, options).metrics

    def score_during(
        self, spec: str, source: FrameSource, adapter: Adapter, clock: VideoClock, odometry: bool
    ) -> list[AdaptationProgress]:
        """Adapt to a sequence and score it meanwhile. Returns what released weights."""
        options = EvaluationOptions(batch=1, crop=self._crop, motion=False, with_baselines=False)
        frames = itertools.islice(source, self._limit)

        def learn(frames: Iterable[Frame]) -> Iterator[AdaptationProgress]:
            return adapt_over(adapter, frames, clock, odometry)

        shown = _AdaptingSource(source, frames, adapter, learn)
        self._found["during"][spec] = evaluate(shown, shown, options).metrics
        return shown.releases

    def table(self) -> str:
        """A row for each stage of each sequence."""
        return table(
            {
                f"{name} {stage}": self._found[stage][spec]
                for spec, name in self._names().items()
                for stage in STAGES
            }
        )

    def write(self, path: Path, status: AdaptationStatus) -> None:
        """Sequence name → metrics by ``STAGE_metric``; ``adaptation``: what the learner did."""
        sequences = {
            name: {
                f"{stage}_{key}": value
                for stage in STAGES
                for key, value in self._found[stage][spec].items()
            }
            for spec, name in self._names().items()
        }
        write_json(path, {**sequences, "adaptation": asdict(status)})

    def _names(self) -> dict[str, str]:
        """The last part of each specification, where no two are alike."""
        specs = list(self._found["before"])
        names = [Path(spec).name for spec in specs]
        return {s: n if names.count(n) == 1 else s for s, n in zip(specs, names, strict=True)}


class _AdaptingSource(Source):
    """Frames of a source, each of which is learned from when the next is asked for; and the
    predictor with the weights that run meanwhile.

    frames: of the source. learn: shows frames to the adapter, one at a time.
    """

    def __init__(
        self,
        source: FrameSource,
        frames: Iterable[Frame],
        adapter: Adapter,
        learn: Callable[[Iterable[Frame]], Iterator[AdaptationProgress]],
    ) -> None:
        super().__init__(source.name, source.rate, source.length)
        self._frames = frames
        self._adapter = adapter
        self._learn = learn
        self._predictor = NetworkPredictor(build_network(adapter.running))
        self.releases: list[AdaptationProgress] = []

    def __iter__(self) -> Iterator[Frame]:
        ahead, shown = itertools.tee(self._frames)
        learning = self._learn(shown)
        for frame in ahead:
            yield frame
            progress = next(learning)
            if progress.release is not None:
                self._predictor = NetworkPredictor(build_network(self._adapter.running))
                self.releases.append(progress)

    def predict(self, images: Any, pairs: Any) -> Any:
        """See ``Predictor``."""
        return self._predictor.predict(images, pairs)
