"""The motion that tracked corners obey, whatever their depth."""

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

# At most; and pixels (root mean square over the tracks), a step shorter than which is the last.
# Three will do where all is static; what is large and moves by itself is let go step by step.
_ITERATIONS, _ENOUGH = 8, 0.02
# Fewer tracks, a smaller share of the corners looked for, or tracks so many pixels off their
# epipolar lines show no motion.
_FEWEST, _LEAST_SHARE, _MAX_SPREAD = 60, 0.2, 0.5
# Pixels: of tracks before anything is known of them, and at best.
_FIRST_SPREAD, _MIN_SPREAD = 0.15, 0.06
# Pixels.
_NO_PARALLAX = np.float32(1e-6)
# Degrees of freedom of Student's t.
_FREEDOM = 4.0
# Errors of a depth map are alike over so many neighbouring corners, which together say about the
# motion what one of them does. As if they were independent, a smooth error turned the camera: by
# 0.02 degrees a frame on a street, with depth wrong by 30 %.
_ALIKE = 144.0
# Pixels of parallax in the middle, below which depth is believed after all. What hardly moves would
# else be explained by any motion: a robot that stops, or one that people pass, seemed to travel.
# And steps in which depth is believed at most, before the parallax is known.
_PARALLAX, _TIED = 0.7, 3
# ln(depth) may be this wrong; more is a wrong track.
_MOST = 2.0
# Windows of neighbouring tracks overlap, and what biases one biases the next.
_CORRELATED = 10.0
_DAMPING = 1e-6
# The network's motion, from which a prior is made, is much less certain than what tracks show.
_PRIOR = 0.05
# Standard deviations off the epipolar line, beyond which a track is wrong.
_OUTLIER = 3.0
# A track agrees with a motion within so many pixels, however small the spread, with an error of
# ln(depth) that is not unusual.
_NEAR, _USUAL_ERROR = 0.5, 0.6


@dataclass(frozen=True, eq=False)
class TrackedMotion:
    """motion: (4, 4), in the unit of the depth map. information: (6, 6), translation before
    rotation, of e in motion · exp(e). last_step: (6,). spread: pixels off the epipolar lines, a
    robust standard deviation. loss: negative logarithm of the likelihood, as by ``loss_of``.

    error: (N,) of ln(inverse depth) by the depth map, of every track: what the two images say less
    what the map says. variance: (N,) of it, by the noise of tracking alone. good: (N,) bool.
    agreement: share of the corners looked for that were found where the motion, and some depth that
    is not quite the map's, let expect.
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
    agreement: float


class _Seen(NamedTuple):
    """Of each track, by its motion and depth: u, v (pixels), 1/w; the displacement by ln(inverse
    depth): its length and unit direction."""

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
    depth_error: float,
) -> TrackedMotion | None:
    """Gauss-Newton on the reprojection of the tracks over motion and each one's depth.

    Each track's depth is an unknown of its own with the depth map's as prior, and is eliminated
    (Schur complement): across its epipolar line a track says all it knows, along it only as much
    as its depth is known. With parallax the epipolar constraint rules, without it depth does.
    The length of the step is what the tracks' depths say in the middle.

    start: (4, 4). offset: (6,) from the motion expected to the start. prior: (6,) inverse variances
    of what was expected; it decides only what no track shows. None where the tracks show no motion.
    """
    count = tracks.inverse_depth.size
    if count < max(_FEWEST, _LEAST_SHARE * tracks.tried):
        return None
    K = camera.K
    motion, error = start, np.zeros(count, np.float32)
    step, H = np.zeros(6), np.eye(6)
    spread = _FIRST_SPREAD
    depth_variance, prior = np.float32(depth_error**2), _PRIOR * prior
    J, tied = np.empty((6, 2 * count), np.float32), True
    for iteration in range(_ITERATIONS):
        rho = tracks.inverse_depth * np.exp(error)
        seen = _look(tracks, rho, motion, K)
        du, dv = tracks.target[0] - seen.u, tracks.target[1] - seen.v
        across = seen.x * dv - seen.y * du
        along = seen.x * du + seen.y * dv + seen.pull * error
        if iteration:
            spread = max(_MIN_SPREAD, 1.4826 * median(np.abs(across)))
        noise = np.float32(spread**2)
        if not tied:
            depth_variance = _doubt(depth_error, median(seen.pull))
        total = noise + depth_variance * seen.pull**2
        weight = _student(across**2 / noise + along**2 / total, tracks.weight)
        _jacobian(tracks, rho, seen, (K @ motion[:3, :3]).astype(np.float32), J)
        weights = np.concatenate((weight / noise, weight / total))
        weighted = J * weights
        H = (weighted @ J.T).astype(np.float64) / _CORRELATED
        b = (weighted @ np.concatenate((across, along))).astype(np.float64) / _CORRELATED
        H[np.diag_indices(6)] = H.diagonal() * (1 + _DAMPING) + prior
        step = np.linalg.solve(H, b - prior * offset)
        offset = offset + step
        motion = moved(motion, step)
        moved_by = step.astype(np.float32) @ J
        across -= moved_by[:count]
        along -= moved_by[count:]
        error = np.clip(depth_variance * seen.pull * along / total, -_MOST, _MOST)
        is_short = iteration > 0 and moved_by @ moved_by < 2 * count * _ENOUGH**2
        if is_short and not tied:
            break
        tied = tied and not is_short and iteration + 1 < _TIED
    if spread > _MAX_SPREAD:
        return None
    loss = _loss(across**2 / noise + along**2 / total, tracks.weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        shown, variance = along / seen.pull, noise / seen.pull**2
    known = seen.pull > spread
    longer, length_variance = _middle(
        shown[known], variance[known] + depth_error**2, tracks.weight[known]
    )
    motion = motion.copy()
    motion[:3, 3] *= np.exp(longer)
    shown -= np.float32(longer)
    good = known & (np.abs(shown) < _MOST) & (np.abs(across) < _OUTLIER * spread)
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
        agreement=_agree(across, along - np.float32(longer) * seen.pull, seen.pull, spread)
        / tracks.tried,
    )


def _agree(across: Floats, along: Floats, pull: Floats, spread: float) -> int:
    """How many tracks lie where the motion and a depth that is not quite the map's have them."""
    left = np.maximum(np.abs(along) - np.float32(_USUAL_ERROR) * pull, 0)
    near = max(_NEAR, _OUTLIER * spread)
    return int(np.count_nonzero(across**2 + left**2 < near**2))


def loss_of(tracks: Tracks, motion: Doubles, camera: Camera, like: TrackedMotion) -> float:
    """Negative logarithm of the likelihood of a motion, with the depths of the map.

    like: by its spread, and with depth as uncertain as there.
    """
    seen = _look(tracks, tracks.inverse_depth, motion, camera.K)
    du, dv = tracks.target[0] - seen.u, tracks.target[1] - seen.v
    across, along = seen.x * dv - seen.y * du, seen.x * du + seen.y * dv
    noise = np.float32(like.spread**2)
    total = noise + np.float32(like.depth_variance) * seen.pull**2
    return _loss(across**2 / noise + along**2 / total, tracks.weight)


def _doubt(depth_error: float, parallax: float) -> np.float32:
    """Variance of ln(depth) that a track has about the motion.

    parallax: pixels, of the tracks in the middle.
    """
    share = parallax**4 / (parallax**4 + _PARALLAX**4)
    return np.float32((1 + (_ALIKE - 1) * share) * depth_error**2)


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
    # Where there is no parallax any direction will do.
    none = pull < _NO_PARALLAX
    pull[none] = _NO_PARALLAX
    du[none], dv[none] = _NO_PARALLAX, 0
    return _Seen(u, v, over_w, pull, du / pull, dv / pull)


def _jacobian(tracks: Tracks, inverse_depth: Floats, seen: _Seen, KR: Floats, J: Floats) -> None:
    """J: (6, 2N), of the displacements across all epipolar lines, then along them."""
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
    """Of two numbers each, whose normalised squares add up to ``squared``."""
    freedom = np.float32(_FREEDOM)
    return weight * (freedom + 2) / (freedom + squared)


def _loss(squared: Floats, weight: Floats) -> float:
    """Of Student's t, for tracks that share their errors with neighbours."""
    terms = np.log1p(squared * np.float32(1 / _FREEDOM))
    return 0.5 * (_FREEDOM + 2) / _CORRELATED * float(weight @ terms)


def _middle(values: Floats, variance: Floats, weight: Floats) -> tuple[float, float]:
    """Mean by Student's t, from the median on, and its variance; of no values 0, unknown."""
    if not values.size:
        return 0.0, np.inf
    middle, total = median(values), 0.0
    for _ in range(3):
        w = weight / (np.float32(_FREEDOM) * variance + (values - np.float32(middle)) ** 2)
        total = max(float(w.sum()), 1e-12)
        middle = float(w @ values) / total
    return middle, _CORRELATED / (total * (_FREEDOM + 1))
