"""The search for the motion between two images, from level to level, and its result."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.depth_correction import (
    DEPTH_COSINES,
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

MEAN_DEPTH_ERROR_SHARE = 0.4
"""Standard deviation of the mean of a depth map, as a share of its relative error."""

# Student's t: its heavy tails stand for what moves, glitters or is occluded.
_STUDENT_T_DOF = 4.0
# Of 255: no camera is better than its quantisation.
_MIN_RESIDUAL_STD_GREY = 1.0
# Number of neighbours whose residuals are correlated (interpolation, aliasing, shading).
_CORRELATED_POINTS = 5.0
# The rest of depth's error, without its smooth part, is still correlated over many neighbours: its
# standard deviation is taken this many times as large.
_SHARED_DEPTH_ERROR_FACTOR = 3.0
# Where the search ends before it converges: updates like the last one that may still be missing.
_REMAINING_STEPS = 1.0
# Share of the residual displacement that may be common to all points: interpolation, aliasing and
# edges; and a wrong minimum, which leaves a large residual.
_COMMON_RESIDUAL_SHARE = 0.2
# With fewer corners the inlier ratio is not known.
_MIN_CORNERS_FOR_RATIO = 120
# Common error of all tracked corners, as a share of their distance from the epipolar lines.
_COMMON_TRACK_ERROR_SHARE = 0.25
# Error of the principal point after a good calibration and the crop: it rotates the direction of
# translation.
_PRINCIPAL_POINT_STD_PX = 1.0
# Fewest points of a robust standard deviation, and the least weight of each.
MIN_POINT_COUNT = 50
_MIN_POINT_WEIGHT = 0.2
# A point behind the previous frame's surface by this ratio was occluded there.
_OCCLUSION_DEPTH_RATIO = 1.15
# Standard deviation of the start during the search: a share of its own size, and a constant part in
# rad and in median depths. It matters only where the image shows nothing.
_START_STD_SHARE = 0.5
_START_ROTATION_STD_RAD, _START_TRANSLATION_STD_DEPTHS = 0.02, 0.02
# Keeps the equations solvable in directions that the images do not show.
_DAMPING_RATIO = 1e-6


@dataclass(frozen=True, eq=False)
class Alignment:
    """The refined motion of a pair, in the convention and unit of ``RawMotion``.

    rotation: (3, 3), from the current camera's axes to the previous one's.
    translation: (3,), position of the current camera in the previous one's axes.
    covariance: (6, 6), translation before rotation, of e in motion · exp(e).
    residual_px: robust standard deviation of the residual, as image displacement.
    points: number of pixels used at the finest level.
    iterations: of all levels.
    is_better: False if no motion clearly better than the start was found, and this is the start.
    smooth_depth_error: (DEPTH_COSINES,) the smooth error of depth found, for ``correction``.
    triangulated: the tracked corners with their triangulated depth; None without tracking.
    inlier_ratio: share of the corners that are inliers of this motion; None = too few corners.
    """

    rotation: Doubles
    translation: Doubles
    covariance: Doubles
    residual_px: float
    points: int
    iterations: int
    is_better: bool
    smooth_depth_error: Doubles
    triangulated: TriangulatedPoints | None = None
    inlier_ratio: float | None = None


class AlignmentSearch:
    """Estimates the motion, gain and bias of brightness, and the smooth error of depth."""

    def __init__(self, start: Doubles, inverse_depth: float, depth_relative_std: float) -> None:
        """start: (4, 4). inverse_depth: typical of the scene, > 0. depth_relative_std: > 0."""
        self._start = self._motion = start
        length = float(np.linalg.norm(start[:3, 3]))
        turn = _START_ROTATION_STD_RAD + _START_STD_SHARE * angle_of(start)
        step = _START_TRANSLATION_STD_DEPTHS / inverse_depth + _START_STD_SHARE * length
        # Of the motion, gain and bias (unknown), and the cosines of depth.
        self._prior = np.array(
            [step**-2] * 3 + [turn**-2] * 3 + [0.0] * 2 + [depth_relative_std**-2] * DEPTH_COSINES
        )
        # Distance of each from the prior's mean: motion = start · exp(offset), to first order.
        self._offset = np.zeros(8 + DEPTH_COSINES)
        self._information = np.diag(self._prior)
        self._shapes = np.empty((DEPTH_COSINES, 0), np.float32)
        self._spread = _MIN_RESIDUAL_STD_GREY
        self._iterations = 0
        self._last_step = np.zeros(6)
        self.typical, self.depth_relative_std = inverse_depth, depth_relative_std
        self.inlier_ratio: float | None = None

    def agrees_better(self, other: AlignmentSearch) -> bool:
        """Whether its inlier ratio is higher than that of another search."""
        return (self.inlier_ratio or 0.0) > (other.inlier_ratio or 0.0)

    def was_seen(self, template: Template, previous_depth: Floats) -> Floats:
        """(N,) 0 where something nearer occludes the point in the previous frame, else 1.

        The two depth maps may have different units of length.
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
        # Where depth is unknown this is NaN, and nothing occludes.
        hidden = at.valid & (behind > _OCCLUSION_DEPTH_RATIO * usual)
        return np.asarray(~hidden, np.float32)

    def descend(
        self, template: Template, previous: Floats, seen: Floats, most: int, enough: float
    ) -> None:
        """At most ``most`` updates at one level, until one is smaller than ``enough`` pixels.

        seen: (N,) weights, without the robust ones.
        """
        focal = 0.5 * (template.camera.fx + template.camera.fy)
        reach = np.array([focal * self.typical] * 3 + [focal] * 3)
        self._shapes = shapes = waves(template)
        J = np.empty((8 + DEPTH_COSINES, template.x.size), np.float32)
        J[:8] = template.jacobian
        surely = seen > _MIN_POINT_WEIGHT
        for _ in range(most):
            inverse_depth = self._corrected(template)
            at = look(template, inverse_depth, self._motion)
            difference = self._difference(template, previous, at)
            counts = at.valid & surely
            if np.count_nonzero(counts) < MIN_POINT_COUNT:
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
        """Continue with tracked corners at full size; None where they show no motion."""
        better_depth = inverse_depth / correction(self._offset[8:], *camera.size)
        tracks = follow(grey, previous, better_depth, weight, self._motion, camera)
        offset, prior = self._offset[:6], self._prior[:6]
        found = solve(tracks, self._motion, offset, prior, camera, self.depth_relative_std)
        if tracks.tried >= _MIN_CORNERS_FOR_RATIO:
            self.inlier_ratio = 0.0 if found is None else found.inlier_ratio
        if found is None:
            return None
        with_map_depth = replace(tracks, inverse_depth=inverse_depth.ravel()[tracks.index])
        of_start = loss_of(with_map_depth, self._start, camera, found)
        self._information, self._last_step = found.information, found.last_step
        gain = of_start - found.loss + _gain_in_length(self._start, found)
        # Noise alone gains as much with this many unknowns.
        is_better = gain > 0.5 * self._last_step.size
        self._motion = found.motion if is_better else self._start
        return Alignment(
            rotation_of(self._motion),
            self._motion[:3, 3].copy(),
            self._covariance(_COMMON_TRACK_ERROR_SHARE * found.spread, camera),
            found.spread,
            tracks.inverse_depth.size,
            self._iterations,
            is_better,
            -smooth_error(with_map_depth, tracks, found, camera, self.depth_relative_std),
            TriangulatedPoints.of(tracks, found, camera),
            self.inlier_ratio,
        )

    def result(self, template: Template, previous: Floats, seen: Floats) -> Alignment | None:
        """The motion found, or the start if the motion is not clearly better."""
        inverse_depth = self._corrected(template)
        at = look(template, inverse_depth, self._motion)
        before = look(template, template.inverse_depth, self._start)
        difference = self._difference(template, previous, at)
        of_start = self._difference(template, previous, before)
        both = seen * (at.valid & before.valid)
        gain = self._loss(of_start, both) - self._loss(difference, both)
        # Noise alone gains as much with this many unknowns.
        is_better = gain > 0.5 * _CORRELATED_POINTS * len(self._offset)
        if not is_better:
            self._motion, at, difference = self._start, before, of_start
        surely = at.valid & (seen > _MIN_POINT_WEIGHT)
        if np.count_nonzero(surely) < MIN_POINT_COUNT:
            return None
        residual_px = _robust_spread(difference[surely]) / gradient_of(template)
        return Alignment(
            rotation_of(self._motion),
            self._motion[:3, 3].copy(),
            self._covariance(_COMMON_RESIDUAL_SHARE * residual_px, template.camera),
            residual_px,
            template.x.size,
            self._iterations,
            is_better,
            self._offset[8:].copy() if is_better else np.zeros(DEPTH_COSINES),
            inlier_ratio=self.inlier_ratio,
        )

    def _covariance(self, common: float, camera: Camera) -> Doubles:
        """Covariance by the last information matrix, smooth errors of depth included; plus a
        displacement common to all points (``common``, pixels); plus the error of the mean depth,
        along the translation; plus an error of the intrinsics, across it."""
        covariance = np.linalg.inv(self._information)[:6, :6]
        # Not converged: as much may be missing.
        left = _REMAINING_STEPS * self._last_step
        covariance += np.outer(left, left)
        focal = 0.5 * (camera.fx + camera.fy)
        turn = common / focal
        covariance += np.diag([(turn / self.typical) ** 2] * 3 + [turn**2] * 3)
        # Motion · exp(e): in the axes of this camera.
        step = self._motion[:3, :3].T @ self._motion[:3, 3]
        along = np.outer(step, step)
        covariance[:3, :3] += (MEAN_DEPTH_ERROR_SHARE * self.depth_relative_std) ** 2 * along
        across = np.trace(along) * np.eye(3) - along
        covariance[:3, :3] += (_PRINCIPAL_POINT_STD_PX / focal) ** 2 * across
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
        by_depth = np.float32(_SHARED_DEPTH_ERROR_FACTOR * self.depth_relative_std) * pull
        variance = np.float32(self._spread**2) + by_depth * by_depth
        freedom = np.float32(_STUDENT_T_DOF)
        return seen * (freedom + 1) / (freedom * variance + difference * difference)

    def _loss(self, difference: Floats, seen: Floats) -> float:
        """Negative log-likelihood, for independent points."""
        ratio = difference * np.float32(1 / self._spread)
        return (
            0.5
            * (_STUDENT_T_DOF + 1)
            * float(seen @ np.log1p(ratio * ratio / np.float32(_STUDENT_T_DOF)))
        )

    def _step(self, J: Floats, difference: Floats, weight: Floats) -> Doubles:
        """One update; returns its (6,) change of the motion."""
        weighted = J * weight
        H = (weighted @ J.T).astype(np.float64) / _CORRELATED_POINTS
        b = (weighted @ difference).astype(np.float64) / _CORRELATED_POINTS
        every = np.arange(len(H))
        H[every, every] = H[every, every] * (1 + _DAMPING_RATIO) + _DAMPING_RATIO + self._prior
        # The motion is updated against the sign of the step, all others with it.
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
    """Negative log-likelihood of the length of the start's translation, by the tracks' depths.

    Reprojection hardly shows it, since each track has its own depth there.
    """
    before, after = (np.linalg.norm(motion[:3, 3]) for motion in (start, found.motion))
    if before == 0 or after == 0:
        return 0.0
    return 0.5 * float(np.log(after / before)) ** 2 / found.length_variance


def _robust_spread(difference: Floats) -> float:
    """Standard deviation, by the median absolute deviation, of intensities."""
    return max(_MIN_RESIDUAL_STD_GREY, 1.4826 * median(np.abs(difference)))
