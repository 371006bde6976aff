"""Trajectory metrics. Poses are (N, 4, 4) float64, camera to world, metres, one per frame."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.geometry import se3

Poses = NDArray[np.float64]

KITTI_LENGTHS = (100, 200, 300, 400, 500, 600, 700, 800)
"""Metres of path over which the KITTI odometry benchmark measures drift."""

KITTI_STEP = 10
"""The benchmark starts a segment at every tenth frame (one second)."""

SHORT_LENGTHS = (5, 10, 20, 50)
"""Metres, for sequences in which no segment of 100 m fits; a segment starts at every frame."""

SNIPPET = 5
"""Frames of a snippet in the protocol of Zhou et al. 2017."""


@dataclass(frozen=True)
class SegmentErrors:
    """Drift over segments of path, the mean of all.

    t_err: % of the length. r_err: degrees per 100 m. lengths: m, those that fit. count: segments.
    """

    t_err: float
    r_err: float
    lengths: tuple[float, ...]
    count: int


def chain(motions: Sequence[NDArray[np.float64]]) -> Poses:
    """Poses from the identity on. motions: (4, 4) each, points of frame t to axes of t + 1."""
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ se3.inverse(motion))
    return np.stack(poses)


def straight_ahead(count: int) -> Poses:
    """``count`` poses, one unit forward from each to the next: what a guess would say of a car."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 2, 3] = np.arange(count)
    return poses


def scaled(poses: Poses, scale: float) -> Poses:
    """The same with positions multiplied by ``scale``."""
    result = poses.copy()
    result[:, :3, 3] *= scale
    return result


def path_length(poses: Poses) -> NDArray[np.float64]:
    """(N,): metres of path from the first frame to each."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    return np.concatenate(([0.0], np.cumsum(steps)))


def segment_errors(
    estimate: Poses,
    truth: Poses,
    lengths: Sequence[float] = KITTI_LENGTHS,
    step: int = KITTI_STEP,
) -> SegmentErrors | None:
    """Relative pose error over segments of true path, as in the KITTI odometry devkit.

    From every ``step``-th frame to the first frame farther than the length along the true path.
    No alignment: scale the estimate first where it is known up to a factor. None where no segment
    fits. Source: Geiger et al. 2012, ``evaluate_odometry``.
    """
    _check(estimate, truth)
    distance = path_length(truth)
    errors, fit = [], set()
    for first in range(0, len(truth), step):
        for length in lengths:
            last = int(np.searchsorted(distance, distance[first] + length, side="right"))
            if last >= len(truth):
                continue
            error = se3.inverse(_between(estimate, first, last)) @ _between(truth, first, last)
            angle = np.degrees(_angle(error))
            errors.append((np.linalg.norm(error[:3, 3]) / length, angle / length))
            fit.add(length)
    if not errors:
        return None
    t_err, r_err = np.mean(errors, axis=0) * 100
    return SegmentErrors(float(t_err), float(r_err), tuple(sorted(fit)), len(errors))


def end_drift(estimate: Poses, truth: Poses) -> tuple[float, float] | None:
    """Error of the last pose, both trajectories starting alike: (% of the path, degrees/100 m).

    None where the true path has no length.
    """
    _check(estimate, truth)
    length = path_length(truth)[-1]
    if length <= 0:
        return None
    last = len(truth) - 1
    error = se3.inverse(_between(estimate, 0, last)) @ _between(truth, 0, last)
    translation = 100 * np.linalg.norm(error[:3, 3]) / length
    return float(translation), float(100 * np.degrees(_angle(error)) / length)


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale · rotation · x + translation."""

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def applied_to(self, poses: Poses) -> Poses:
        """The poses moved, turned and scaled."""
        result = poses.copy()
        result[:, :3, :3] = self.rotation @ poses[:, :3, :3]
        result[:, :3, 3] = self.scale * poses[:, :3, 3] @ self.rotation.T + self.translation
        return result


def align(estimate: Poses, truth: Poses) -> Similarity:
    """The Sim(3) that brings estimated positions nearest to the true ones (least squares).

    Source: Umeyama 1991, by evo. Where one path is straight or a point, the rotation about it
    is free and evo refuses; robots do drive straight, so any best rotation is taken there.
    """
    geometry = _evo("geometry")
    _check(estimate, truth)
    x, y = estimate[:, :3, 3], truth[:, :3, 3]
    spread = np.sum((x - x.mean(axis=0)) ** 2)
    if spread <= 0:
        # It never moves: no scale makes it better than a point in the middle.
        return Similarity(0.0, np.eye(3), y.mean(axis=0))
    try:
        rotation, translation, scale = geometry.umeyama_alignment(x.T, y.T, with_scale=True)
    except geometry.GeometryException:
        return _align_straight(x, y)
    return Similarity(float(scale), rotation, translation)


def _align_straight(x: NDArray[np.float64], y: NDArray[np.float64]) -> Similarity:
    """A minimiser where it is not unique. x, y: (N, 3)."""
    dx, dy = x - x.mean(axis=0), y - y.mean(axis=0)
    u, _, v = np.linalg.svd(dy.T @ dx)
    rotation = u @ np.diag((1, 1, np.linalg.det(u @ v))) @ v
    scale = float(np.sum(dy * (dx @ rotation.T)) / np.sum(dx**2))
    return Similarity(scale, rotation, y.mean(axis=0) - scale * rotation @ x.mean(axis=0))


def absolute_error(estimate: Poses, truth: Poses) -> float:
    """ATE: RMSE of the positions (m), by evo. Align first. Source: Sturm et al. 2012."""
    _check(estimate, truth)
    metrics, path = _evo("metrics"), _evo("trajectory").PosePath3D
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((path(poses_se3=list(truth)), path(poses_se3=list(estimate))))
    return float(ape.get_statistic(metrics.StatisticsType.rmse))


def snippet_errors(estimate: Poses, truth: Poses, frames: int = SNIPPET) -> NDArray[np.float64]:
    """(N - frames + 1,): error of every run of ``frames`` frames (m); empty if there is none.

    Both start at the identity, the estimate gets the factor that fits best, and the error is the
    norm of all differences of position divided by the number of frames: so do Zhou et al. 2017
    and all who compare with them, although an RMSE would be √frames times that.
    """
    _check(estimate, truth)
    errors = []
    for first in range(len(truth) - frames + 1):
        x, y = (
            np.stack([_between(poses, first, first + i)[:3, 3] for i in range(frames)])
            for poses in (estimate, truth)
        )
        energy = np.sum(x**2)
        scale = np.sum(x * y) / energy if energy > 0 else 0.0
        errors.append(np.linalg.norm(scale * x - y) / frames)
    return np.array(errors)


@dataclass(frozen=True, eq=False)
class TrajectoryResult:
    """metrics: see ``evaluate_trajectory``. aligned, truth: (N, 4, 4), to draw."""

    metrics: dict[str, float | list[float] | None]
    aligned: Poses
    truth: Poses


def evaluate_trajectory(estimate: Poses, truth: Poses) -> TrajectoryResult:
    """All trajectory metrics of a sequence.

    One factor makes the whole estimate metric, that of the Sim(3) alignment (``track_scale``).
    With it: t_err (%) and r_err (°/100 m) over KITTI_LENGTHS, None where the path is shorter;
    then t_err_short and r_err_short over SHORT_LENGTHS, and t_drift (%), r_drift (°/100 m) of the
    last pose; ``lengths`` and ``lengths_short``: those that fit (m). ate: m, after Sim(3).
    snippet_ate, snippet_ate_std: mean and deviation over 5-frame snippets, each with a factor of
    its own (m). unscaled_t_err, unscaled_t_drift: without the factor. path: true metres.
    floor_straight_*: the same of driving straight ahead at constant speed, without looking: on a
    straight road that has a small ATE, and so does every network, trained or not.

    Raises EvaluationError for fewer than two poses, or not equally many.
    """
    similarity = align(estimate, truth)
    raw, raw_drift = segment_errors(estimate, truth), end_drift(estimate, truth)
    metrics: dict[str, float | list[float] | None] = {
        **_after_scale(estimate, truth, similarity),
        "unscaled_t_err": raw.t_err if raw else None,
        "unscaled_t_drift": raw_drift[0] if raw_drift else None,
        "track_scale": similarity.scale,
        "path": float(path_length(truth)[-1]),
    }
    guess = straight_ahead(len(truth))
    floor = _after_scale(guess, truth, align(guess, truth))
    metrics |= {f"floor_straight_{name}": floor[name] for name in _BASELINE_METRICS}
    return TrajectoryResult(metrics, similarity.applied_to(estimate), truth)


_BASELINE_METRICS = (
    "t_err",
    "r_err",
    "t_err_short",
    "r_err_short",
    "t_drift",
    "ate",
    "snippet_ate",
)


def _after_scale(
    estimate: Poses, truth: Poses, similarity: Similarity
) -> dict[str, float | list[float] | None]:
    metric = scaled(estimate, similarity.scale)
    long = segment_errors(metric, truth)
    short = segment_errors(metric, truth, SHORT_LENGTHS, step=1)
    drift = end_drift(metric, truth)
    snippets = snippet_errors(estimate, truth)
    return {
        "t_err": long.t_err if long else None,
        "r_err": long.r_err if long else None,
        "lengths": list(long.lengths) if long else [],
        "t_err_short": short.t_err if short else None,
        "r_err_short": short.r_err if short else None,
        "lengths_short": list(short.lengths) if short else [],
        "t_drift": drift[0] if drift else None,
        "r_drift": drift[1] if drift else None,
        "ate": absolute_error(similarity.applied_to(estimate), truth),
        "snippet_ate": float(snippets.mean()) if len(snippets) else None,
        "snippet_ate_std": float(snippets.std()) if len(snippets) else None,
    }


def require_evo() -> None:
    """Raise EvaluationError now, not after the last frame, where trajectories cannot be scored."""
    _evo("metrics")


def _evo(module: str) -> Any:
    """A module of evo.core, which only trajectory evaluation needs."""
    try:
        return importlib.import_module(f"evo.core.{module}")
    except ImportError as error:
        raise EvaluationError(
            f"trajectories are scored with evo, which is missing ({error}): pip install evo"
        ) from error


def _between(poses: Poses, first: int, last: int) -> NDArray[np.float64]:
    """Pose of frame ``last`` in the axes of frame ``first``."""
    return se3.inverse(poses[first]) @ poses[last]


def _angle(T: NDArray[np.float64]) -> float:
    return float(Rotation.from_matrix(T[:3, :3]).magnitude())


def _check(estimate: Poses, truth: Poses) -> None:
    if estimate.shape != truth.shape or estimate.shape[1:] != (4, 4) or len(truth) < 2:
        raise EvaluationError(
            "need two or more poses (N, 4, 4), equally many estimated and true, "
            f"got shapes {estimate.shape} and {truth.shape}"
        )
    if not (np.isfinite(estimate).all() and np.isfinite(truth).all()):
        raise EvaluationError("a trajectory holds NaN or infinity: the network has diverged")
