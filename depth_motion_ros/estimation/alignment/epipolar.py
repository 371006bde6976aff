"""Motion from tracked corners by the epipolar constraint and their depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.gauss_newton import median, moved
from depth_motion_ros.estimation.alignment.template import Floats
from depth_motion_ros.estimation.alignment.tracks import Tracks
from depth_motion_ros.geometry.camera import Camera

Doubles = NDArray[np.float64]

# Three iterations suffice in a static scene; a large moving object is rejected over several. The
# update that counts as converged is a root mean square over the tracks.
_MAX_ITERATIONS, _CONVERGED_STEP_PX = 8, 0.02
# With fewer tracks, a smaller share of the corners, or a larger distance from the epipolar lines
# there is no motion.
_MIN_TRACKS, _MIN_TRACKED_SHARE, _MAX_TRACK_STD_PX = 60, 0.2, 0.5
# Of tracks: assumed at first, and at best.
_INITIAL_TRACK_STD_PX, _MIN_TRACK_STD_PX = 0.15, 0.06
_MIN_PARALLAX_PX = np.float32(1e-6)
_STUDENT_T_DOF = 4.0
# Number of neighbouring corners with correlated errors of the depth map. Taken as independent, a
# smooth error rotated the camera: by 0.02 degrees a frame on a street, with depth wrong by 30 %.
_CORRELATED_DEPTHS = 144.0
# Median parallax below which depth is trusted after all: otherwise any motion explains small
# displacements, and a robot that stops, or that people pass, seemed to travel. And the iterations
# that trust depth at most, before the parallax is known.
_DEPTH_TRUST_PARALLAX_PX, _MAX_DEPTH_TRUST_ITERATIONS = 0.7, 3
# A track with a larger error of ln(depth) is wrong.
_MAX_LOG_DEPTH_ERROR = 2.0
# Windows of neighbouring tracks overlap and share their bias.
_CORRELATED_TRACKS = 10.0
_DAMPING_RATIO = 1e-6
# The prior comes from the network's motion, which is much less certain than tracks.
_PRIOR_WEIGHT = 0.05
# A track farther from its epipolar line is wrong.
_OUTLIER_STDS = 3.0
# A track is an inlier of a motion within this distance, however small the spread, and with an error
# of ln(depth) up to the usual one.
_INLIER_DISTANCE_PX, _USUAL_LOG_DEPTH_ERROR = 0.5, 0.6


@dataclass(frozen=True, eq=False)
class TrackedMotion:
    """The motion of N tracks.

    motion: (4, 4), in the unit of the depth map.
    information: (6, 6), translation before rotation, of e in motion · exp(e).
    last_step: (6,), the last update.
    spread: pixels, robust standard deviation of the distance from the epipolar lines.
    depth_variance: of ln(depth), as assumed of every track.
    length_variance: of ln(length of the translation).
    loss: negative log-likelihood, as by ``loss_of``.
    error: (N,) of ln(inverse depth) of the depth map: triangulated less stated.
    variance: (N,) of ``error``, by the noise of tracking alone.
    good: (N,) bool, inliers whose depth is triangulated.
    inlier_ratio: share of the corners that are inliers of the motion, at a depth near the map's.
    """

    motion: Doubles
    information: Doubles
    last_step: Doubles
    spread: float
    depth_variance: float
    length_variance: float
    loss: float
    error: Floats
    variance: Floats
    good: NDArray[np.bool_]
    inlier_ratio: float


class _Seen(NamedTuple):
    """The projection of each track.

    u: (N,) column in pixels.
    v: (N,) row in pixels.
    over_w: (N,) 1 / depth in the previous camera.
    pull: (N,) pixels of displacement per unit of ln(inverse depth).
    x: (N,) unit direction of that displacement along x.
    y: (N,) unit direction of that displacement along y.
    """

    u: Floats
    v: Floats
    over_w: Floats
    pull: Floats
    x: Floats
    y: Floats


def solve(
    tracks: Tracks,
    start: Doubles,
    offset: Doubles,
    prior: Doubles,
    camera: Camera,
    depth_relative_std: float,
) -> TrackedMotion | None:
    """Gauss-Newton on the reprojection of the tracks over motion and each one's depth.

    Each track's depth is an unknown with the depth map's as prior, and is eliminated (Schur
    complement): across its epipolar line a track has full weight, along it only as much as its
    depth is known. With parallax the epipolar constraint dominates, without it depth does. The
    length of the translation is the median over the tracks' depths.

    start: (4, 4). offset: (6,) from the expected motion to the start. prior: (6,) inverse variances
    of the expected motion, decisive only where no track shows anything. None where the tracks show
    no motion.
    """
    count = tracks.inverse_depth.size
    if count < max(_MIN_TRACKS, _MIN_TRACKED_SHARE * tracks.tried):
        return None
    K = camera.K
    motion, error = start, np.zeros(count, np.float32)
    step, H = np.zeros(6), np.eye(6)
    spread = _INITIAL_TRACK_STD_PX
    depth_variance, prior = np.float32(depth_relative_std**2), _PRIOR_WEIGHT * prior
    J, tied = np.empty((6, 2 * count), np.float32), True
    for iteration in range(_MAX_ITERATIONS):
        rho = tracks.inverse_depth * np.exp(error)
        seen = _look(tracks, rho, motion, K)
        du, dv = tracks.target[0] - seen.u, tracks.target[1] - seen.v
        across = seen.x * dv - seen.y * du
        along = seen.x * du + seen.y * dv + seen.pull * error
        if iteration:
            spread = max(_MIN_TRACK_STD_PX, 1.4826 * median(np.abs(across)))
        noise = np.float32(spread**2)
        if not tied:
            depth_variance = _doubt(depth_relative_std, median(seen.pull))
        total = noise + depth_variance * seen.pull**2
        weight = _student(across**2 / noise + along**2 / total, tracks.weight)
        _jacobian(tracks, rho, seen, (K @ motion[:3, :3]).astype(np.float32), J)
        weights = np.concatenate((weight / noise, weight / total))
        weighted = J * weights
        H = (weighted @ J.T).astype(np.float64) / _CORRELATED_TRACKS
        b = (weighted @ np.concatenate((across, along))).astype(np.float64) / _CORRELATED_TRACKS
        H[np.diag_indices(6)] = H.diagonal() * (1 + _DAMPING_RATIO) + prior
        step = np.linalg.solve(H, b - prior * offset)
        offset = offset + step
        motion = moved(motion, step)
        moved_by = step.astype(np.float32) @ J
        across -= moved_by[:count]
        along -= moved_by[count:]
        error = np.clip(
            depth_variance * seen.pull * along / total, -_MAX_LOG_DEPTH_ERROR, _MAX_LOG_DEPTH_ERROR
        )
        is_short = iteration > 0 and moved_by @ moved_by < 2 * count * _CONVERGED_STEP_PX**2
        if is_short and not tied:
            break
        tied = tied and not is_short and iteration + 1 < _MAX_DEPTH_TRUST_ITERATIONS
    if spread > _MAX_TRACK_STD_PX:
        return None
    loss = _loss(across**2 / noise + along**2 / total, tracks.weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        shown, variance = along / seen.pull, noise / seen.pull**2
    known = seen.pull > spread
    longer, length_variance = _middle(
        shown[known], variance[known] + depth_relative_std**2, tracks.weight[known]
    )
    motion = motion.copy()
    motion[:3, 3] *= np.exp(longer)
    shown -= np.float32(longer)
    good = (
        known & (np.abs(shown) < _MAX_LOG_DEPTH_ERROR) & (np.abs(across) < _OUTLIER_STDS * spread)
    )
    return TrackedMotion(
        motion=motion,
        information=H,
        last_step=step,
        spread=spread,
        depth_variance=float(depth_variance),
        length_variance=length_variance,
        loss=loss,
        error=shown,
        variance=variance,
        good=good,
        inlier_ratio=_agree(across, along - np.float32(longer) * seen.pull, seen.pull, spread)
        / tracks.tried,
    )


def _agree(across: Floats, along: Floats, pull: Floats, spread: float) -> int:
    """Number of inliers: tracks near their projection by the motion, at a depth near the map's."""
    left = np.maximum(np.abs(along) - np.float32(_USUAL_LOG_DEPTH_ERROR) * pull, 0)
    near = max(_INLIER_DISTANCE_PX, _OUTLIER_STDS * spread)
    return int(np.count_nonzero(across**2 + left**2 < near**2))


def loss_of(tracks: Tracks, motion: Doubles, camera: Camera, like: TrackedMotion) -> float:
    """Negative log-likelihood of a motion, with the depths of the map.

    like: gives the spread and the variance of depth.
    """
    seen = _look(tracks, tracks.inverse_depth, motion, camera.K)
    du, dv = tracks.target[0] - seen.u, tracks.target[1] - seen.v
    across, along = seen.x * dv - seen.y * du, seen.x * du + seen.y * dv
    noise = np.float32(like.spread**2)
    total = noise + np.float32(like.depth_variance) * seen.pull**2
    return _loss(across**2 / noise + along**2 / total, tracks.weight)


def _doubt(depth_relative_std: float, parallax: float) -> np.float32:
    """Variance of ln(depth) with which a track counts for the motion.

    parallax: pixels, the median over the tracks.
    """
    share = parallax**4 / (parallax**4 + _DEPTH_TRUST_PARALLAX_PX**4)
    return np.float32((1 + (_CORRELATED_DEPTHS - 1) * share) * depth_relative_std**2)


def _look(tracks: Tracks, inverse_depth: Floats, motion: Doubles, K: Doubles) -> _Seen:
    k = (K @ motion[:3, 3]).astype(np.float32)
    p = (K @ motion[:3, :3]).astype(np.float32) @ tracks.rays + k[:, None] * inverse_depth
    with np.errstate(divide="ignore", invalid="ignore"):
        over_w = 1 / p[2]
    over_w[~(p[2] > 0)] = 0
    u, v = p[0] * over_w, p[1] * over_w
    near = inverse_depth * over_w
    du, dv = (k[0] - u * k[2]) * near, (k[1] - v * k[2]) * near
    pull = np.sqrt(du * du + dv * dv)
    # Without parallax any direction will do.
    none = pull < _MIN_PARALLAX_PX
    pull[none] = _MIN_PARALLAX_PX
    du[none], dv[none] = _MIN_PARALLAX_PX, 0
    return _Seen(u, v, over_w, pull, du / pull, dv / pull)


def _jacobian(tracks: Tracks, inverse_depth: Floats, seen: _Seen, KR: Floats, J: Floats) -> None:
    """Fill J, (6, 2N): displacements across all epipolar lines, then along them."""
    count = inverse_depth.size
    au = (KR[0][:, None] - seen.u * KR[2][:, None]) * seen.over_w
    av = (KR[1][:, None] - seen.v * KR[2][:, None]) * seen.over_w
    x, y, z = tracks.rays
    for a, part in (
        (seen.x * av - seen.y * au, slice(0, count)),
        (seen.x * au + seen.y * av, slice(count, None)),
    ):
        np.multiply(a, inverse_depth, out=J[:3, part])
        J[3, part] = y * a[2] - z * a[1]
        J[4, part] = z * a[0] - x * a[2]
        J[5, part] = x * a[1] - y * a[0]


def _student(squared: Floats, weight: Floats) -> Floats:
    """Weights of residual pairs, whose normalised squares add up to ``squared``."""
    freedom = np.float32(_STUDENT_T_DOF)
    return weight * (freedom + 2) / (freedom + squared)


def _loss(squared: Floats, weight: Floats) -> float:
    """Of Student's t, for tracks whose errors are correlated with their neighbours'."""
    terms = np.log1p(squared * np.float32(1 / _STUDENT_T_DOF))
    return 0.5 * (_STUDENT_T_DOF + 2) / _CORRELATED_TRACKS * float(weight @ terms)


def _middle(values: Floats, variance: Floats, weight: Floats) -> tuple[float, float]:
    """Mean by Student's t, from the median on, and its variance; without values 0 and infinite."""
    if not values.size:
        return 0.0, np.inf
    middle, total = median(values), 0.0
    for _ in range(3):
        w = weight / (np.float32(_STUDENT_T_DOF) * variance + (values - np.float32(middle)) ** 2)
        total = max(float(w.sum()), 1e-12)
        middle = float(w @ values) / total
    return middle, _CORRELATED_TRACKS / (total * (_STUDENT_T_DOF + 1))
