"""The motion between two images, sought from level to level, and what was found of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.depth_correction import (
    WAVES,
    correction,
    depth_jacobian,
    waves,
)
from depth_motion_ros.estimation.alignment.epipolar import TrackedMotion, loss_of, solve
from depth_motion_ros.estimation.alignment.gauss_newton import angle_of, median, moved, rotation_of
from depth_motion_ros.estimation.alignment.template import (
    Floats,
    Template,
    TemplateView,
    gradient_of,
    look,
    sample,
)
from depth_motion_ros.estimation.alignment.tracks import follow
from depth_motion_ros.estimation.alignment.triangulated_points import (
    TriangulatedPoints,
    smooth_error,
)
from depth_motion_ros.geometry.camera import Camera

Doubles = NDArray[np.float64]

WANDER = 0.4
"""Share of what depth is off by, by which the mean of an image's depth wanders."""

# Degrees of freedom of Student's t: its heavy tails are what moves, glitters or is occluded.
_FREEDOM = 4.0
# Intensity, of 255: no camera is better than its quantisation.
_MIN_SPREAD = 1.0
# Residuals of neighbours are not independent (interpolation, aliasing, shading): so many points
# say as much as one.
_CORRELATED = 5.0
# What is left of depth's error when its smooth part is found is still alike over many neighbours:
# so many times as uncertain as if it were each point's own.
_SHARED = 3.0
# Where the search ends before it converges, what the last step was may come so many times again.
_STEPS_LEFT = 1.0
# Share of what remains unexplained, as image displacement, that all points may have in common:
# interpolation, aliasing and edges; and a wrong minimum, which leaves much unexplained.
_COMMON = 0.2
# Where fewer corners are looked for, how many were found says nothing.
_MANY_CORNERS = 120
# Tracked corners are off together by this share of how far each is off its epipolar line.
_TRACKED_COMMON = 0.25
# Pixels by which the principal point is unknown, after a good calibration and the crop: so much the
# direction of travel is turned.
_CALIBRATION = 1.0
# Fewer points, or less certain ones, are left out of the robust spread.
MIN_POINTS = 50
_MIN_WEIGHT = 0.2
# A point this much behind the previous frame's surface, by ratio, was hidden then.
_HIDDEN_RATIO = 1.15
# What the start is worth during the search, as a standard deviation: a share of itself, and a part
# that it always has, in rad and in units of the median depth. It matters only where the image shows
# nothing.
_START_SHARE = 0.5
_START_TURN, _START_STEP = 0.02, 0.02
# Keeps the equations solvable where nothing is seen of a direction.
_DAMPING = 1e-6


@dataclass(frozen=True, eq=False)
class Alignment:
    """The refined motion of a pair, in the convention and unit of ``RawMotion``.

    rotation (3, 3), translation (3,): points of the current camera to the previous one's axes.
    covariance: (6, 6), translation before rotation, of e in motion · exp(e).
    unexplained: pixels; the residual as image displacement, a robust standard deviation.
    points: pixels used at the finest level. iterations: of all levels.
    is_better: whether this is another motion than the start; none that is clearly better may have
        been found.
    depth_error: (WAVES,) the smooth error of depth that was found, for ``correction``.
    structure: the points that were followed and their depth, if corners were.
    agreement: share of the corners looked for that obey this motion; None = there are few corners.
    """

    rotation: Doubles
    translation: Doubles
    covariance: Doubles
    unexplained: float
    points: int
    iterations: int
    is_better: bool
    depth_error: Doubles
    structure: TriangulatedPoints | None = None
    agreement: float | None = None


class AlignmentSearch:
    """The motion sought, from level to level, with the light and the smooth error of depth."""

    def __init__(self, start: Doubles, inverse_depth: float, depth_error: float) -> None:
        """start: (4, 4). inverse_depth: typical of the scene, > 0. depth_error: > 0."""
        self._start = self._motion = start
        length = float(np.linalg.norm(start[:3, 3]))
        turn = _START_TURN + _START_SHARE * angle_of(start)
        step = _START_STEP / inverse_depth + _START_SHARE * length
        # Of the motion, gain and bias (nothing is known of them), and the waves.
        self._prior = np.array(
            [step**-2] * 3 + [turn**-2] * 3 + [0.0] * 2 + [depth_error**-2] * WAVES
        )
        # How far each of them has come from where the prior has it: motion = start · exp(offset),
        # to first order.
        self._offset = np.zeros(8 + WAVES)
        self._information = np.diag(self._prior)
        self._shapes = np.empty((WAVES, 0), np.float32)
        self._spread = _MIN_SPREAD
        self._iterations = 0
        self._last_step = np.zeros(6)
        self.typical, self.depth_error = inverse_depth, depth_error
        self.agreement: float | None = None

    def agrees_better(self, other: AlignmentSearch) -> bool:
        """More corners agree on its motion than on that of another search."""
        return (self.agreement or 0.0) > (other.agreement or 0.0)

    def was_seen(self, template: Template, previous_depth: Floats) -> Floats:
        """(N,) 0 where the previous frame shows something nearer than the point, else 1.

        The two depth maps need not agree on the unit of length.
        """
        at = look(template, template.inverse_depth, self._motion)
        size = template.camera.size
        there = sample(
            np.asarray(cv2.resize(previous_depth, size, interpolation=cv2.INTER_NEAREST)),
            at,
            cv2.INTER_NEAREST,
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            behind = at.ratio / (there * template.inverse_depth)
        usual = median(behind[at.valid]) if at.valid.any() else np.nan
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
        reach = np.array([focal * self.typical] * 3 + [focal] * 3)
        self._shapes = shapes = waves(template)
        J = np.empty((8 + WAVES, template.x.size), np.float32)
        J[:8] = template.jacobian
        surely = seen > _MIN_WEIGHT
        for _ in range(most):
            inverse_depth = self._corrected(template)
            at = look(template, inverse_depth, self._motion)
            difference = self._difference(template, previous, at)
            counts = at.valid & surely
            if np.count_nonzero(counts) < MIN_POINTS:
                return
            self._spread = _robust_spread(difference[counts])
            pull = depth_jacobian(template, inverse_depth, at, self._motion)
            np.multiply(shapes, -pull, out=J[8:])
            step = self._step(J, difference, self._weight(difference, pull, seen * at.valid))
            self._iterations += 1
            if np.abs(reach * step).max() < enough:
                return

    def follow(
        self,
        grey: NDArray[np.uint8],
        previous: NDArray[np.uint8],
        inverse_depth: Floats,
        weight: Floats,
        camera: Camera,
    ) -> Alignment | None:
        """From here on by corners, at full size; None where they show no motion."""
        better_depth = inverse_depth / correction(self._offset[8:], *camera.size)
        tracks = follow(grey, previous, better_depth, weight, self._motion, camera)
        offset, prior = self._offset[:6], self._prior[:6]
        found = solve(tracks, self._motion, offset, prior, camera, self.depth_error)
        if tracks.tried >= _MANY_CORNERS:
            self.agreement = 0.0 if found is None else found.agreement
        if found is None:
            return None
        as_told = replace(tracks, inverse_depth=inverse_depth.ravel()[tracks.index])
        of_start = loss_of(as_told, self._start, camera, found)
        self._information, self._last_step = found.information, found.last_step
        gain = of_start - found.loss + _gain_in_length(self._start, found)
        # As much is gained on mere noise, by so many unknowns.
        is_better = gain > 0.5 * self._last_step.size
        self._motion = found.motion if is_better else self._start
        return Alignment(
            rotation_of(self._motion),
            self._motion[:3, 3].copy(),
            self._covariance(_TRACKED_COMMON * found.spread, camera),
            found.spread,
            tracks.inverse_depth.size,
            self._iterations,
            is_better,
            -smooth_error(as_told, tracks, found, camera, self.depth_error),
            TriangulatedPoints.of(tracks, found, camera),
            self.agreement,
        )

    def result(self, template: Template, previous: Floats, seen: Floats) -> Alignment | None:
        """The start, where the motion found does not explain the finest level clearly better."""
        inverse_depth = self._corrected(template)
        at = look(template, inverse_depth, self._motion)
        before = look(template, template.inverse_depth, self._start)
        difference = self._difference(template, previous, at)
        of_start = self._difference(template, previous, before)
        both = seen * (at.valid & before.valid)
        gain = self._loss(of_start, both) - self._loss(difference, both)
        # As much is gained on mere noise, by so many unknowns.
        is_better = gain > 0.5 * _CORRELATED * len(self._offset)
        if not is_better:
            self._motion, at, difference = self._start, before, of_start
        surely = at.valid & (seen > _MIN_WEIGHT)
        if np.count_nonzero(surely) < MIN_POINTS:
            return None
        unexplained = _robust_spread(difference[surely]) / gradient_of(template)
        return Alignment(
            rotation_of(self._motion),
            self._motion[:3, 3].copy(),
            self._covariance(_COMMON * unexplained, template.camera),
            unexplained,
            template.x.size,
            self._iterations,
            is_better,
            self._offset[8:].copy() if is_better else np.zeros(WAVES),
            agreement=self.agreement,
        )

    def _covariance(self, common: float, camera: Camera) -> Doubles:
        """What the last step's information leaves open, smooth errors of depth included; a
        displacement that all points share (pixels); how far depth's mean may have wandered, along
        the step; and an error of the intrinsics, across it."""
        covariance = np.linalg.inv(self._information)[:6, :6]
        # Still moving when the steps were spent: as many lie ahead.
        left = _STEPS_LEFT * self._last_step
        covariance += np.outer(left, left)
        focal = 0.5 * (camera.fx + camera.fy)
        turn = common / focal
        covariance += np.diag([(turn / self.typical) ** 2] * 3 + [turn**2] * 3)
        # Motion · exp(e): in the axes of this camera.
        step = self._motion[:3, :3].T @ self._motion[:3, 3]
        along = np.outer(step, step)
        covariance[:3, :3] += (WANDER * self.depth_error) ** 2 * along
        across = np.trace(along) * np.eye(3) - along
        covariance[:3, :3] += (_CALIBRATION / focal) ** 2 * across
        return np.asarray(0.5 * (covariance + covariance.T), np.float64)

    def _corrected(self, template: Template) -> Floats:
        """(N,) inverse depth without the smooth error found so far."""
        error = self._offset[8:].astype(np.float32) @ self._shapes
        return np.asarray(template.inverse_depth * np.exp(-error), np.float32)

    def _difference(self, template: Template, previous: Floats, at: TemplateView) -> Floats:
        gain, bias = (np.float32(value) for value in self._offset[6:8])
        return sample(previous, at) - (1 + gain) * template.intensity - bias

    def _weight(self, difference: Floats, pull: Floats, seen: Floats) -> Floats:
        """Information by Student's t, less where depth moves the point along the gradient."""
        by_depth = np.float32(_SHARED * self.depth_error) * pull
        variance = np.float32(self._spread**2) + by_depth * by_depth
        freedom = np.float32(_FREEDOM)
        return seen * (freedom + 1) / (freedom * variance + difference * difference)

    def _loss(self, difference: Floats, seen: Floats) -> float:
        """Negative logarithm of the likelihood, of points that are independent."""
        ratio = difference * np.float32(1 / self._spread)
        return 0.5 * (_FREEDOM + 1) * float(seen @ np.log1p(ratio * ratio / np.float32(_FREEDOM)))

    def _step(self, J: Floats, difference: Floats, weight: Floats) -> Doubles:
        """One step; (6,) what it changed of the motion."""
        weighted = J * weight
        H = (weighted @ J.T).astype(np.float64) / _CORRELATED
        b = (weighted @ difference).astype(np.float64) / _CORRELATED
        every = np.arange(len(H))
        H[every, every] = H[every, every] * (1 + _DAMPING) + _DAMPING + self._prior
        # The motion goes against the step, all others with it.
        b[:6] += self._prior[:6] * self._offset[:6]
        b[6:] -= self._prior[6:] * self._offset[6:]
        step = np.linalg.solve(H, b)
        self._motion = moved(self._motion, -step[:6])
        self._offset[:6] -= step[:6]
        self._offset[6:] += step[6:]
        self._information = H
        self._last_step = step[:6]
        return step[:6]


def _gain_in_length(start: Doubles, found: TrackedMotion) -> float:
    """Negative logarithm of the likelihood of the start's length, by the depths of the tracks.

    Their reprojection hardly shows it: each of them has a depth of its own there.
    """
    before, after = (np.linalg.norm(motion[:3, 3]) for motion in (start, found.motion))
    if before == 0 or after == 0:
        return 0.0
    return 0.5 * float(np.log(after / before)) ** 2 / found.length_variance


def _robust_spread(difference: Floats) -> float:
    """Standard deviation, by the median absolute deviation, of intensities."""
    return max(_MIN_SPREAD, 1.4826 * median(np.abs(difference)))
