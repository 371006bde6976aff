"""The estimator's odometry against true poses: errors, drift, and truth of its covariance."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from depth_motion_ros.engines.interface import Engine, EngineDescription, EngineError, RawPrediction
from depth_motion_ros.estimation.estimate import Estimate
from depth_motion_ros.estimation.estimator import Estimator, RequestedOutputs
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.trajectory import (
    SHORT_LENGTHS,
    absolute_error,
    align,
    end_drift,
    path_length,
    segment_errors,
)
from depth_motion_ros.geometry import se3
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.sources.frame import Frame

Metrics = dict[str, float | None]
Doubles = NDArray[np.float64]
_FREEDOM = 6


class ReplayEngine(Engine):
    """Answers once more what an engine has said of the frames of a sequence, in order: settings of
    the estimator are compared on the same predictions."""

    def __init__(self, size: tuple[int, int], predictions: Sequence[RawPrediction]) -> None:
        self._size = size
        self._left = iter(predictions)

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        said = next(self._left, None)
        if said is None:
            raise EngineError("nothing more was recorded")
        return RawPrediction(said.depth.copy(), said.motion)

    def load(self, weights: Weights) -> None:
        raise EngineError("a recording takes no weights")

    def describe(self) -> EngineDescription:
        return EngineDescription("replay", "", "cpu", "fp32", "none", *self._size, "")


def record(
    engine: Engine, frames: Sequence[Frame], show: Callable[[Frame], None] | None = None
) -> list[RawPrediction]:
    """What the engine says of every frame. show: called with each frame before its step."""
    recorder = _Recorder(engine)
    estimator = Estimator(recorder, EstimatorSettings(refine=False))
    for frame in frames:
        if frame.camera is None:
            raise EvaluationError("odometry is measured with known intrinsics; this has none")
        if show is not None:
            show(frame)
        estimator.process(frame, RequestedOutputs(object_flow=False))
    return recorder.said


class _Recorder(ReplayEngine):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.input_size, ())
        self._engine = engine
        self.said: list[RawPrediction] = []

    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        said = self._engine.step(previous_image, previous_depth, image)
        self.said.append(said)
        return said


@dataclass(frozen=True, eq=False)
class OdometryRun:
    """estimates: one for every frame. milliseconds: processor time of each, without the engine."""

    estimates: list[Estimate]
    milliseconds: list[float]


def run_estimator(
    frames: Sequence[Frame],
    predictions: Sequence[RawPrediction],
    size: tuple[int, int],
    settings: EstimatorSettings,
    feed_odometry: bool = False,
) -> OdometryRun:
    """feed_odometry: the true poses come as the robot's odometry."""
    estimator = Estimator(ReplayEngine(size, predictions), settings)
    camera_from_base = se3.inverse(settings.base_from_camera)
    estimates, costs = [], []
    for frame in frames:
        if feed_odometry:
            estimator.add_odometry(frame.stamp, pose_of(frame) @ camera_from_base)
        begin = time.thread_time()
        estimates.append(estimator.process(frame, RequestedOutputs(object_flow=False)))
        costs.append(1e3 * (time.thread_time() - begin))
    return OdometryRun(estimates, costs)


def score(frames: Sequence[Frame], run: OdometryRun) -> Metrics:
    """All metrics of a run, from the first frame on whose scale is that of the end: before a
    source knows, lengths are in another unit.

    turn, turn_90 (degrees), step, step_90 (% of the true step): error of one frame's motion, median
    and 90th percentile, over frames in which something moves. bias (degrees): of the mean error of
    turning, which is what does not average out: of the estimate, or of the truth. t_err (%), r_err
    (°/100 m) over the lengths of KITTI that fit, else over 5 to 50 m; ate (m, after the best
    similarity); drift (% of the path, at its end).
    scale: metres per unit at the end; scale_std: what its variance claims; scale_error: % by which
    the path is too long. A run that is not metric is first multiplied by the one factor that fits
    best, which ``factor`` tells.
    nees: mean normalised estimation error squared, over its 6 degrees of freedom; inside: share of
    frames inside the 95 % ellipsoid. jitter (degrees): noise that the true orientations have of
    their own; nees_less, inside_less: the same without what that adds. lost: share of frames.
    milliseconds: median of a frame. refinement, refinement_least: of refining a pair, median and
    least; the latter tells more on a machine that does other work.
    """
    begin = _begin(run.estimates)
    frames, estimates = frames[begin:], run.estimates[begin + 1 :]
    refinements = [1e3 * e.refinement.wall for e in estimates if e.refinement.wall > 0]
    poses = np.stack([pose_of(frame) for frame in frames])
    truths = [se3.inverse(a) @ b for a, b in itertools.pairwise(poses)]
    path = _path(estimates)
    scale = run.estimates[-1].scale
    factor = 1.0 if scale.is_metric else align(path, poses).scale
    errors, covariances, turns, steps = [], [], [], []
    for truth, estimate in zip(truths, estimates, strict=True):
        if estimate.motion is None:
            continue
        error, covariance = _error(estimate, truth, factor)
        length = float(np.linalg.norm(truth[:3, 3]))
        turns.append(np.degrees(np.linalg.norm(error[3:])))
        if length > 1e-3:
            steps.append(100 * np.linalg.norm(error[:3]) / length)
        errors.append(error)
        covariances.append(covariance)
    jitter = jitter_of(np.array(errors))
    nees, inside = _consistency(errors, covariances, np.zeros(3))
    nees_less, inside_less = _consistency(errors, covariances, jitter)
    path[:, :3, 3] *= factor
    segments = segment_errors(path, poses) or segment_errors(path, poses, SHORT_LENGTHS, step=1)
    end = end_drift(path, poses)
    ratio = path_length(path)[-1] / max(path_length(poses)[-1], 1e-9)
    return {
        "turn": _percentile(turns, 50),
        "turn_90": _percentile(turns, 90),
        "step": _percentile(steps, 50),
        "step_90": _percentile(steps, 90),
        "bias": float(np.degrees(np.linalg.norm(np.mean(errors, axis=0)[3:]))) if errors else None,
        "t_err": segments.t_err if segments else None,
        "r_err": segments.r_err if segments else None,
        "ate": absolute_error(align(path, poses).applied_to(path), poses),
        "drift": end[0] if end else None,
        "path": float(path_length(poses)[-1]),
        "factor": factor,
        "scale": scale.value if scale.is_metric else None,
        "scale_std": float(np.sqrt(scale.variance)) if np.isfinite(scale.variance) else None,
        "scale_error": 100 * float(ratio - 1) if scale.is_metric else None,
        "nees": nees,
        "inside": inside,
        "jitter": float(np.degrees(np.sqrt(jitter.sum()))),
        "nees_less": nees_less,
        "inside_less": inside_less,
        "lost": float(np.mean([e.quality.tracking == "lost" for e in estimates])),
        "milliseconds": float(np.median(run.milliseconds[1:])),
        "refinement": _percentile(refinements, 50),
        "refinement_least": _percentile(refinements, 0),
    }


def _begin(estimates: Sequence[Estimate]) -> int:
    """The first frame with the source of scale that the last one has, and one pair at least."""
    source = estimates[-1].scale.source
    first = next(i for i, estimate in enumerate(estimates) if estimate.scale.source == source)
    return max(0, min(first, len(estimates) - 2))


def jitter_of(errors: Doubles) -> Doubles:
    """(3,) variance, rad², of independent noise of the true orientations about each axis.

    Such noise turns up in two successive errors with opposite signs: their covariance is its
    variance. errors: (N, 6).
    """
    if len(errors) < 10:
        return np.zeros(3)
    turns = errors[:, 3:] - errors[:, 3:].mean(axis=0)
    return np.asarray(np.maximum(0.0, -np.mean(turns[1:] * turns[:-1], axis=0)))


def _consistency(
    errors: Sequence[Doubles], covariances: Sequence[Doubles], jitter: Doubles
) -> tuple[float | None, float | None]:
    """NEES per degree of freedom, and the share inside the 95 % ellipsoid."""
    if not errors:
        return None, None
    # Of both poses of a pair.
    extra = np.diag(np.concatenate((np.zeros(3), 2 * jitter)))
    nees = np.array(
        [e @ np.linalg.solve(C + extra, e) for e, C in zip(errors, covariances, strict=True)]
    )
    return float(nees.mean()) / _FREEDOM, float(np.mean(nees < chi2.ppf(0.95, _FREEDOM)))


def pose_of(frame: Frame) -> Doubles:
    """The true pose of a frame. Raises EvaluationError where it is not known."""
    if frame.truth is None or frame.truth.pose is None:
        raise EvaluationError("odometry is measured against poses; this sequence has none")
    return frame.truth.pose


def _path(estimates: Sequence[Estimate]) -> Doubles:
    """Poses of the camera from the identity on; where tracking is lost it stays."""
    poses = [np.eye(4)]
    for estimate in estimates:
        step = np.eye(4)
        if estimate.motion is not None:
            step = se3.transform(estimate.motion.rotation, estimate.motion.translation)
        pose = poses[-1] @ step
        pose[:3, :3] = Rotation.from_matrix(pose[:3, :3]).as_matrix()
        poses.append(pose)
    return np.stack(poses)


def _error(estimate: Estimate, truth: Doubles, factor: float) -> tuple[Doubles, Doubles]:
    """(6,) and its covariance, of e in motion · exp(e) = truth."""
    motion = estimate.motion
    if motion is None:
        raise EvaluationError("there is no motion to compare")
    found = se3.transform(motion.rotation, factor * motion.translation)
    scales = np.array([factor] * 3 + [1.0] * 3)
    return se3.log(se3.inverse(found) @ truth), motion.covariance * np.outer(scales, scales)


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None
