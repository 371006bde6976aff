"""Refines the camera's motion until the two images agree (direct alignment)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from depth_motion_ros.estimation.alignment_covariance import alignment_covariance
from depth_motion_ros.estimation.alignment_template import (
    Floats,
    Look,
    Template,
    edges_to_the_foreground,
    gradient_of,
    look,
    make_template,
    sample,
)
from depth_motion_ros.estimation.point_cloud import rays
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera

Doubles = NDArray[np.float64]

# (halvings of the image, pixels of a cell, most iterations, pixels of the level below which a step
# is the last): few points and large steps first, and no more than the next level needs.
_LEVELS = ((3, 1, 12, 0.03), (2, 2, 8, 0.03), (1, 4, 6, 0.03), (0, 4, 6, 0.02))
# Sensor noise makes gradients; a little blur costs little sharpness.
_BLUR = 0.7
# Degrees of freedom of Student's t: its heavy tails are what moves, glitters or is occluded.
_FREEDOM = 4.0
# Intensity, of 255: no camera is better than its quantisation.
_MIN_SPREAD = 1.0
# Where the search ends before it converges, what the last step was may come so many times again.
_STEPS_LEFT = 3.0
# A residual motion of so many pixels halves a pixel's weight.
_STATIC_PIXELS = 0.3
_OUTLINE = np.ones((5, 5), np.uint8)
# Fewer points, or less certain ones, are left out of the robust spread.
_MIN_POINTS = 50
_MIN_WEIGHT = 0.2
# A point this much behind the previous frame's surface, by ratio, was hidden then.
_HIDDEN_RATIO = 1.15
# What the start is worth during the search, as a standard deviation: a share of itself, and a part
# that it always has, in rad and in units of the median depth. It matters only where the image shows
# nothing.
_START_SHARE = 0.5
_START_TURN, _START_STEP = 0.02, 0.02
# What a network's turn is worth when it is weighed against the one found: rad, and a share of it.
_NETWORK_TURN, _NETWORK_SHARE = 0.003, 0.2
# Its step counts for less than in the search, where it has been counted already.
_FREE = 10.0
# Keeps the equations solvable where nothing is seen of a direction.
_DAMPING = 1e-6


@dataclass(frozen=True, eq=False)
class Alignment:
    """The refined motion of a pair, in the convention and unit of ``RawMotion``.

    rotation (3, 3), translation (3,): points of the current camera to the previous one's axes.
    covariance: (6, 6), translation before rotation, of e in motion · exp(e).
    unexplained: pixels; the residual as image displacement, a robust standard deviation.
    points: pixels used at the finest level. iterations: of all levels.
    is_better: whether this is another motion than the start; no better one may have been found.
    """

    rotation: Doubles
    translation: Doubles
    covariance: Doubles
    unexplained: float
    points: int
    iterations: int
    is_better: bool


def align(
    image: NDArray[np.uint8],
    previous_image: NDArray[np.uint8],
    depth: Floats,
    previous_depth: Floats | None,
    rotation: Doubles,
    translation: Doubles,
    residual: Floats | None,
    camera: Camera,
    depth_error: float,
) -> Alignment | None:
    """Start from a motion; minimise the difference of the images over what is static.

    Gauss-Newton on SE(3), coarse to fine, inverse compositional, with gain and bias of the
    brightness and Student's t for what does not fit (Kerl, Sturm, Cremers, Robust Odometry
    Estimation for RGB-D Cameras, 2013).

    Images (H, W, 3) uint8 RGB. depth, previous_depth: (H, W), NaN = unknown, in the unit of
    translation; the previous one shows what was hidden. residual: (H, W, 3) the network's motion
    of what moves by itself, None = nothing does. camera: of the image, undistorted.
    depth_error: relative, see ``alignment_covariance``.

    None where the images share too little, or show too little.
    """
    count = 1 + max(halvings for halvings, *_ in _LEVELS)
    greys, previous_greys = _pyramid(_grey(image), count), _pyramid(_grey(previous_image), count)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.asarray(1 / depth, np.float32)
    weight = _static_weight(residual, rho, camera)
    rhos, weights = _pyramid(edges_to_the_foreground(rho), count), _pyramid(weight, count)
    search = _Search(rotation, translation, _typical(rhos[-1]))
    template, seen = None, None
    for halvings, cell, most, enough in _LEVELS:
        grey = greys[halvings]
        level = camera.resized(*grey.shape[::-1])
        template = make_template(grey, rhos[halvings], weights[halvings], level, cell)
        if template.x.size < _MIN_POINTS:
            # A coarse level may be empty where depth has gaps.
            continue
        seen = template.weight
        if previous_depth is not None:
            seen = seen * search.was_seen(template, previous_depth)
        search.descend(template, previous_greys[halvings], seen, most, enough)
    if template is None or seen is None or template.x.size < _MIN_POINTS:
        return None
    return search.result(template, previous_greys[0], seen, depth_error)


class _Search:
    """The motion sought, from level to level."""

    def __init__(self, rotation: Doubles, translation: Doubles, inverse_depth: float) -> None:
        """inverse_depth: typical of the scene, > 0."""
        self._start = self._motion = se3.transform(rotation, translation)
        turn = _START_TURN + _START_SHARE * _angle(self._start)
        step = _START_STEP / inverse_depth + _START_SHARE * float(np.linalg.norm(translation))
        self._prior = np.array([step**-2] * 3 + [turn**-2] * 3)
        # start = motion · exp(offset), to first order.
        self._offset = np.zeros(6)
        self._light = np.zeros(2)
        self._spread = _MIN_SPREAD
        self._iterations = 0
        self._last_step = np.zeros(6)
        self._typical = inverse_depth

    def was_seen(self, template: Template, previous_depth: Floats) -> Floats:
        """(N,) 0 where the previous frame shows something nearer than the point, else 1.

        The two depth maps need not agree on the unit of length.
        """
        at = look(template, self._motion)
        size = template.camera.size
        there = sample(
            np.asarray(cv2.resize(previous_depth, size, interpolation=cv2.INTER_NEAREST)),
            at,
            cv2.INTER_NEAREST,
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            behind = at.ratio / (there * template.inverse_depth)
        usual = np.median(behind[at.valid]) if at.valid.any() else np.nan
        # Where depth is unknown this is NaN, and nothing hides.
        hidden = at.valid & (behind > _HIDDEN_RATIO * usual)
        return np.asarray(~hidden, np.float32)

    def descend(
        self, template: Template, previous: Floats, seen: Floats, most: int, enough: float
    ) -> None:
        """At most ``most`` steps at one level, until one is shorter than ``enough`` pixels.

        seen: (N,) weights before robust ones.
        """
        focal = 0.5 * (template.camera.fx + template.camera.fy)
        reach = np.array([focal * self._typical] * 3 + [focal] * 3)
        for _ in range(most):
            at = look(template, self._motion)
            difference = self._difference(template, previous, at)
            surely = at.valid & (seen > _MIN_WEIGHT)
            if np.count_nonzero(surely) < _MIN_POINTS:
                return
            self._spread = _robust_spread(difference[surely])
            step = self._step(template, difference, self._weight(difference, seen * at.valid))
            self._iterations += 1
            if np.abs(reach * step).max() < enough:
                return

    def result(
        self, template: Template, previous: Floats, seen: Floats, depth_error: float
    ) -> Alignment | None:
        """The start, where the motion found explains the finest level worse than it does."""
        at, before = look(template, self._motion), look(template, self._start)
        difference = self._difference(template, previous, at)
        of_start = self._difference(template, previous, before)
        both = seen * (at.valid & before.valid)
        is_better = self._loss(difference, both) < self._loss(of_start, both)
        if not is_better:
            self._motion, at, difference = self._start, before, of_start
        surely = at.valid & (seen > _MIN_WEIGHT)
        if np.count_nonzero(surely) < _MIN_POINTS:
            return None
        self._spread = _robust_spread(difference[surely])
        covariance = alignment_covariance(
            template,
            at,
            self._motion,
            self._weight(difference, seen * at.valid),
            self._spread,
            self._prior,
            depth_error,
        )
        # Still moving when the steps were spent: as many lie ahead.
        left = _STEPS_LEFT * self._last_step
        covariance += np.outer(left, left)
        motion, covariance = self._fused(covariance)
        return Alignment(
            # The steps were approximate.
            Rotation.from_matrix(motion[:3, :3]).as_matrix(),
            motion[:3, 3].copy(),
            covariance,
            self._spread / gradient_of(template),
            template.x.size,
            self._iterations,
            is_better,
        )

    def _fused(self, covariance: Doubles) -> tuple[Doubles, Doubles]:
        """The motion found and the start, each by its covariance: where depth is bad, a network
        knows turns better than an alignment with that depth."""
        turn = _NETWORK_TURN + _NETWORK_SHARE * _angle(self._start)
        of_start = np.diag(np.concatenate((_FREE / self._prior[:3], [turn**2] * 3)))
        gain = covariance @ np.linalg.inv(covariance + of_start)
        apart = se3.log(se3.inverse(self._motion) @ self._start)
        fused = (np.eye(6) - gain) @ covariance
        return self._motion @ se3.exp(gain @ apart), 0.5 * (fused + fused.T)

    def _difference(self, template: Template, previous: Floats, at: Look) -> Floats:
        gain, bias = (np.float32(value) for value in self._light)
        return sample(previous, at) - (1 + gain) * template.intensity - bias

    def _weight(self, difference: Floats, seen: Floats) -> Floats:
        """Student's t."""
        ratio = difference * np.float32(1 / self._spread)
        return seen * np.float32(_FREEDOM + 1) / (np.float32(_FREEDOM) + ratio * ratio)

    def _loss(self, difference: Floats, seen: Floats) -> float:
        ratio = difference * np.float32(1 / self._spread)
        return float(seen @ np.log1p(ratio * ratio / np.float32(_FREEDOM)))

    def _step(self, template: Template, difference: Floats, weight: Floats) -> Doubles:
        """One step; (6,) what it changed of the motion."""
        J = template.jacobian
        weighted = J * weight
        scale = 1 / self._spread**2
        H = scale * (weighted @ J.T).astype(np.float64)
        b = scale * (weighted @ difference).astype(np.float64)
        diagonal = H[range(8), range(8)]
        H[range(8), range(8)] = diagonal * (1 + _DAMPING) + _DAMPING
        H[range(6), range(6)] += self._prior
        b[:6] += self._prior * self._offset
        step = np.linalg.solve(H, b)
        self._motion = _moved(self._motion, -step[:6])
        self._offset -= step[:6]
        self._light += step[6:]
        self._last_step = step[:6]
        return step[:6]


def _moved(motion: Doubles, step: Doubles) -> Doubles:
    """motion · exp(step) to second order in the turn, at a fifth of the cost; a small error is made
    good by the next step."""
    x, y, z = step[3:]
    W = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    moved = motion.copy()
    moved[:3, 3] += motion[:3, :3] @ step[:3]
    moved[:3, :3] += motion[:3, :3] @ (W + 0.5 * W @ W)
    return moved


def _angle(motion: Doubles) -> float:
    return float(np.arccos(np.clip(0.5 * (np.trace(motion[:3, :3]) - 1), -1, 1)))


def _grey(image: NDArray[np.uint8]) -> Floats:
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), _BLUR), np.float32)


def _pyramid(image: Floats, levels: int) -> list[Floats]:
    """Halved again and again, by area. NaN spreads."""
    pyramid = [image]
    while len(pyramid) < levels:
        height, width = (max(1, length // 2) for length in pyramid[-1].shape)
        half = cv2.resize(pyramid[-1], (width, height), interpolation=cv2.INTER_AREA)
        pyramid.append(np.asarray(half, np.float32))
    return pyramid


def _static_weight(residual: Floats | None, inverse_depth: Floats, camera: Camera) -> Floats:
    """(H, W) in [0, 1], by how many pixels the residual motion moves the image of a pixel."""
    if residual is None or not residual.any():
        return np.ones_like(inverse_depth)
    ray_x, ray_y = rays(camera)
    tx, ty, tz = cv2.split(residual)
    dx = (tx - ray_x * tz) * inverse_depth * np.float32(camera.fx / _STATIC_PIXELS)
    dy = (ty - ray_y * tz) * inverse_depth * np.float32(camera.fy / _STATIC_PIXELS)
    weight = 1 / (1 + dx * dx + dy * dy)
    # Where depth is not known there is no point to weigh.
    weight[np.isnan(weight)] = 1
    # What moves has an outline, which is two pixels wide to either side.
    return np.asarray(cv2.erode(weight, _OUTLINE), np.float32)


def _robust_spread(difference: Floats) -> float:
    """Standard deviation, by the median absolute deviation, of intensities."""
    middle = difference.size // 2
    # np.median costs three times as much.
    return max(_MIN_SPREAD, 1.4826 * float(np.partition(np.abs(difference), middle)[middle]))


def _typical(inverse_depth: Floats) -> float:
    """The median of what is known, > 0."""
    known = inverse_depth[inverse_depth > 0]
    return float(np.median(known)) if known.size else 1.0
