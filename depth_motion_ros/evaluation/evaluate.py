"""Runs a predictor over a source of frames and scores whatever the source knows the truth of.

Frames stream: at most ``batch`` + 1 of them are in memory, whatever the length of the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.evaluation.baselines import BaselineScore
from depth_motion_ros.evaluation.depth import DepthScore, ImageScore
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.intrinsics import FocalScore
from depth_motion_ros.evaluation.motion import DEFAULT_THRESHOLD, MotionScore
from depth_motion_ros.evaluation.predictor import PredictedPairMotion, Predictor
from depth_motion_ros.evaluation.trajectory import (
    TrajectoryResult,
    chain,
    evaluate_trajectory,
    require_evo,
)
from depth_motion_ros.sources.frame import Frame, FrameSource

Metrics = dict[str, Any]
Observer = Callable[[int, Frame, NDArray[np.float32], ImageScore], None]
"""Called with index, frame, predicted depth and score of every image that has true depth."""


@dataclass(frozen=True)
class EvaluationOptions:
    """batch: frames per step. limit: frames per sequence, None = all. stride: pairs are frames
    t and t + stride (motion truth is known for 1 only). crop: Garg crop for depth.
    motion_threshold: metres per frame, see MotionScore. motion: False scores depth alone.
    with_baselines: False saves the second pass over the true depth."""

    batch: int = 4
    limit: int | None = None
    stride: int = 1
    crop: bool = False
    motion_threshold: float = DEFAULT_THRESHOLD
    motion: bool = True
    with_baselines: bool = True

    def __post_init__(self) -> None:
        for name in ("batch", "limit", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise EvaluationError(f"{name} must be 1 or more, got {value}")


@dataclass(frozen=True, eq=False)
class SequenceResult:
    """metrics: by name, None where not defined. curves: name → one value per scored frame or pair.
    trajectory: None where there are no poses."""

    name: str
    metrics: Metrics
    curves: dict[str, list[float]]
    trajectory: TrajectoryResult | None


@dataclass
class _Scores:
    """Everything that is collected while the frames go by."""

    options: EvaluationOptions
    depth: DepthScore = field(init=False)
    floor: BaselineScore = field(init=False)
    motion: MotionScore = field(init=False)
    focal: FocalScore = field(default_factory=FocalScore)
    transforms: list[NDArray[np.float64]] = field(default_factory=list)
    poses: list[NDArray[np.float64] | None] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    frames: int = 0

    def __post_init__(self) -> None:
        self.depth = DepthScore(self.options.crop)
        self.floor = BaselineScore(self.options.crop)
        self.motion = MotionScore(self.options.motion_threshold)

    def add_depth(self, frame: Frame, depth: NDArray[np.float32]) -> ImageScore | None:
        truth = frame.truth.depth if frame.truth is not None else None
        score = self.depth.add(depth, truth)
        if score is not None and truth is not None:
            self.floor.fit(truth)
            self.note("abs_rel", score.scaled.abs_rel)
            self.note("scale", score.ratio)
        return score

    def add_pose(self, frame: Frame) -> None:
        pose = frame.truth.pose if frame.truth is not None else None
        if pose is not None and self.options.motion:
            require_evo()
        self.poses.append(pose)

    def add_pair(self, frame: Frame, motion: PredictedPairMotion, score: ImageScore | None) -> None:
        """frame: the first of the pair; score: of its depth."""
        self.transforms.append(motion.transform)
        self.focal.add(motion.K, frame.camera)
        self.note("translation", float(np.linalg.norm(motion.transform[:3, 3])))
        self.note("focal_x", float(motion.K[0, 0]))
        truth = frame.truth.motion if frame.truth is not None else None
        if truth is not None and self.options.stride == 1:
            # The factor that makes the depth metric makes the motion metric.
            scale = score.ratio if score is not None else 1.0
            self.motion.add((motion.residual * scale).astype(np.float32), truth)

    def note(self, name: str, value: float) -> None:
        self.curves.setdefault(name, []).append(value)


def evaluate(
    predictor: Predictor,
    source: FrameSource,
    options: EvaluationOptions | None = None,
    observer: Observer | None = None,
) -> SequenceResult:
    """Score a predictor on one sequence; the source is gone through twice where it has depth.

    Depth gets per-image median scaling (``unscaled_*`` without), object motion the same factor as
    the depth of its first image (1 where that has no truth), the trajectory one factor for the
    whole sequence. Keys: see the ``metrics`` of the scores, ``floor_*`` and ``frames``.

    Raises EvaluationError where the source has no frames, or knows nothing that could be scored.
    """
    options = options or EvaluationOptions()
    scores = _Scores(options)
    for chunk in _chunks(source, options):
        _score_chunk(predictor, chunk, scores, observer)
    if scores.frames == 0:
        raise EvaluationError(f"{source.name}: no frames")
    metrics: Metrics = {"frames": scores.frames}
    if scores.depth.images:
        metrics |= scores.depth.metrics()
        if options.with_baselines:
            metrics |= _baselines(source, scores)
    trajectory = _trajectory(scores)
    if trajectory is not None:
        metrics |= trajectory.metrics
    if scores.motion.images:
        metrics |= scores.motion.metrics()
    if scores.focal.count:
        metrics |= scores.focal.metrics()
    if len(metrics) == 1:
        raise EvaluationError(
            f"{source.name}: none of {scores.frames} frames has true {_wanted(options)}: "
            "there is nothing to compare with"
        )
    return SequenceResult(source.name, metrics, scores.curves, trajectory)


def _wanted(options: EvaluationOptions) -> str:
    return "depth, poses, motion or camera" if options.motion else "depth"


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Consecutive frames. The first ``seen`` of them have been scored before: they only begin a
    pair. pairs: indices into frames."""

    frames: list[Frame]
    start: int
    seen: int
    pairs: list[tuple[int, int]]


def _chunks(source: FrameSource, options: EvaluationOptions) -> Iterator[_Chunk]:
    frames = islice(enumerate(source), options.limit)
    previous: Frame | None = None
    while fresh := list(islice(frames, options.batch)):
        start = fresh[0][0]
        kept = [] if previous is None else [previous]
        chunk = kept + [frame for _, frame in fresh]
        keys = [i + len(kept) for i, (n, _) in enumerate(fresh) if n % options.stride == 0]
        keys = [0] * len(kept) + keys
        pairs = list(pairwise(keys))
        yield _Chunk(chunk, start, len(kept), pairs if options.motion else [])
        if options.motion and keys:
            previous = chunk[keys[-1]]


def _score_chunk(
    predictor: Predictor, chunk: _Chunk, scores: _Scores, observer: Observer | None
) -> None:
    prediction = predictor.predict([frame.image for frame in chunk.frames], chunk.pairs)
    results: list[ImageScore | None] = []
    for i, (frame, depth) in enumerate(zip(chunk.frames, prediction.depths, strict=True)):
        if i < chunk.seen:
            results.append(_again(frame, depth, scores.options.crop))
            continue
        results.append(scores.add_depth(frame, depth))
        index = chunk.start + i - chunk.seen
        if index % scores.options.stride == 0:
            scores.add_pose(frame)
        scores.frames += 1
        score = results[-1]
        if observer is not None and score is not None:
            observer(index, frame, depth, score)
    for (first, _), motion in zip(chunk.pairs, prediction.motions, strict=True):
        scores.add_pair(chunk.frames[first], motion, results[first])


def _again(frame: Frame, depth: NDArray[np.float32], crop: bool) -> ImageScore | None:
    """The score of an image without counting it a second time."""
    return DepthScore(crop).add(depth, frame.truth.depth if frame.truth is not None else None)


def _baselines(source: FrameSource, scores: _Scores) -> Metrics:
    """The second pass: the row profile is known only after the first."""
    for frame in islice(source, scores.options.limit):
        if frame.truth is not None and frame.truth.depth is not None:
            scores.floor.add(frame.truth.depth)
    return dict(scores.floor.metrics())


def _trajectory(scores: _Scores) -> TrajectoryResult | None:
    known = [i for i, pose in enumerate(scores.poses) if pose is not None]
    if not scores.transforms or len(known) < 2:
        return None
    estimate = chain(scores.transforms)[known]
    truth = np.stack([pose for pose in scores.poses if pose is not None])
    return evaluate_trajectory(estimate, truth)
