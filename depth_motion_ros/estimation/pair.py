"""Ego-motion between two frames, in the network's unit of length."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from depth_motion_ros.engines.interface import RawMotion
from depth_motion_ros.estimation.alignment.depth_correction import correction
from depth_motion_ros.estimation.alignment.refinement import align
from depth_motion_ros.estimation.alignment.search import Alignment
from depth_motion_ros.estimation.alignment.triangulated_points import TriangulatedPoints
from depth_motion_ros.estimation.estimate import Quality
from depth_motion_ros.estimation.quality import (
    WarpErrors,
    motion_covariance,
    texture,
    tracking_of,
    warp_errors,
)
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.estimation.stopwatch import NOTHING, Cost, Stopwatch
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class FrameView:
    """Images and depth of a frame.

    image: (H, W, 3) uint8 RGB, at the network's size.
    depth: (H, W) in network units.
    detail: (h, w, 3) uint8 RGB, with more pixels if the frame has them, else ``image``.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    detail: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PairMotion:
    """Ego-motion of a pair, in the convention of ``RawMotion``.

    rotation: (3, 3); identity if static, not valid if lost.
    translation: (3,); zero if static, not valid if lost.
    covariance: (6, 6), translation before rotation, of e in motion · exp(e).
    quality: tracking state and its evidence.
    depth_factor: (H, W) that corrects the smooth error of depth; None = unknown.
    refinement: cost of aligning the images.
    triangulated: triangulated points; None = none, as at rest.
    inlier_ratio: inlier ratio of the tracked corners; None = unknown.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    quality: Quality
    depth_factor: NDArray[np.float32] | None = None
    refinement: Cost = NOTHING
    triangulated: TriangulatedPoints | None = None
    inlier_ratio: float | None = None

    def in_unit(self, factor: float, more_along: float) -> PairMotion:
        """In another unit of length, ``factor`` times smaller.

        more_along: relative variance to add along the translation.
        """
        factors = np.array([factor] * 3 + [1.0] * 3)
        covariance = self.covariance * np.outer(factors, factors)
        step = factor * (self.rotation.T @ self.translation)
        covariance[:3, :3] += more_along * np.outer(step, step)
        return replace(self, translation=factor * self.translation, covariance=covariance)

    def less_certain(self, angle: float, depth: float) -> PairMotion:
        """With a larger covariance: by a rotation of ``angle`` rad, or a sideways translation that
        looks like it at ``depth``."""
        more = np.array([(angle * depth) ** 2] * 3 + [angle**2] * 3)
        return replace(self, covariance=self.covariance + np.diag(more))

    def lost(self, reason: str) -> PairMotion:
        """As lost, for this reason."""
        quality = replace(self.quality, tracking="lost", reason=reason)
        return replace(_lost(reason), quality=quality, refinement=self.refinement)

    def with_length_known(self, variance: float) -> PairMotion:
        """With this relative variance along the translation, and across it as before.

        Two images leave the length of a translation to the depth of the network. Where its scale
        is measured, the network's error of scale does not count.
        """
        step = self.rotation.T @ self.translation
        length = float(np.linalg.norm(step))
        if length == 0:
            return self
        ahead = step / length
        across = np.eye(6)
        across[:3, :3] -= np.outer(ahead, ahead)
        covariance = across @ self.covariance @ across.T
        covariance[:3, :3] += variance * np.outer(step, step)
        return replace(self, covariance=covariance)


def pair_motion(
    view: FrameView,
    previous: FrameView,
    raw: RawMotion,
    camera: Camera,
    settings: EstimatorSettings,
    expected: NDArray[np.float64] | None = None,
    usual_inlier_ratio: float = 0.0,
) -> PairMotion:
    """The network's motion, refined by aligning the images, and its quality.

    expected: (4, 4), prediction of the constant-velocity model; refinement starts there if it
        explains the images better.
    usual_inlier_ratio: the usual inlier ratio.
    """
    is_finite = all(
        np.isfinite(part).all() for part in (raw.rotation, raw.translation, raw.residual)
    )
    if not is_finite:
        return _lost("the network's motion is not finite")
    seen = min(texture(view.image), texture(previous.image))
    if seen < settings.min_texture:
        return _lost(
            f"no texture (blank wall, fog, covered lens): mean gradient {seen:.4f} per pixel of a "
            f"small image, below {settings.min_texture:g}"
        )
    rotation = Rotation.from_euler("XYZ", raw.rotation.astype(np.float64)).as_matrix()
    translation = raw.translation.astype(np.float64)
    alignment, refinement = None, Stopwatch()
    if settings.refine:
        with refinement:
            starts = [se3.transform(rotation, translation)]
            if expected is not None:
                starts.append(expected)
            alignment = _aligned(view, previous, raw, starts, camera, settings, usual_inlier_ratio)
    if alignment is not None:
        rotation, translation = alignment.rotation, alignment.translation
    errors = warp_errors(
        view.image, previous.image, view.depth, rotation, translation, raw.residual, camera
    )
    tracking, reason = tracking_of(errors, settings, is_aligned=alignment is not None)
    if tracking == "ok" and alignment is not None:
        tracking, reason = _tracking_of_alignment(alignment, settings)
    quality = Quality(
        tracking,
        errors.photometric_error,
        errors.identity_error,
        errors.valid_fraction,
        reason=reason,
    )
    if tracking == "static":
        rotation, translation = np.eye(3), np.zeros(3)
    factor, triangulated, inlier_ratio = None, None, None
    if alignment is not None:
        inlier_ratio = alignment.inlier_ratio
    if tracking == "ok" and alignment is not None:
        covariance, triangulated = alignment.covariance, alignment.triangulated
        factor = correction(alignment.smooth_depth_error, *camera.size)
    else:
        covariance = _heuristic(view, errors, tracking, camera, rotation, translation)
    return PairMotion(
        rotation,
        translation,
        covariance,
        quality,
        factor,
        refinement.cost,
        triangulated,
        inlier_ratio,
    )


def _aligned(
    view: FrameView,
    previous: FrameView,
    raw: RawMotion,
    starts: list[NDArray[np.float64]],
    camera: Camera,
    settings: EstimatorSettings,
    usual_inlier_ratio: float,
) -> Alignment | None:
    size = view.detail.shape[1::-1]
    return align(
        view.detail,
        previous.detail,
        _resized(view.depth, size),
        _resized(previous.depth, size),
        starts,
        _resized(raw.residual, size),
        camera.resized(*size),
        settings.depth_relative_std,
        usual_inlier_ratio,
    )


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if values.shape[1::-1] == size:
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _lost(reason: str) -> PairMotion:
    nothing = np.full((6, 6), np.nan)
    return PairMotion(np.eye(3), np.zeros(3), nothing, Quality("lost", reason=reason))


def _tracking_of_alignment(alignment: Alignment, settings: EstimatorSettings) -> tuple[str, str]:
    if alignment.residual_px > settings.max_residual_px:
        return "lost", (
            f"the best motion leaves a residual of {alignment.residual_px:.2f} pixels, above "
            f"{settings.max_residual_px:g}"
        )
    return "ok", ""


def _heuristic(
    view: FrameView,
    errors: WarpErrors,
    tracking: str,
    camera: Camera,
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
) -> NDArray[np.float64]:
    is_static = tracking == "static"
    # Every fourth row and column is enough for the median.
    some = view.depth[::4, ::4]
    return motion_covariance(
        errors.identity_pixel_error if is_static else errors.pixel_error,
        camera,
        float(np.median(some[np.isfinite(some)])),
        rotation,
        translation,
    )
