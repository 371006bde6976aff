"""The camera's motion between two frames, in the network's unit of length."""

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
    judge,
    motion_covariance,
    texture,
    warp_errors,
)
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.estimation.stopwatch import NOTHING, Cost, Stopwatch
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class FrameView:
    """What is there of a frame: image (H, W, 3) uint8 RGB, depth (H, W) in network units.

    detail: (h, w, 3) uint8, the same view with more pixels, where the frame has more than the
        network takes; else the image. Of all frames of one size.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    detail: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PairMotion:
    """rotation (3, 3), translation (3,), in the convention of ``RawMotion``; no motion at all
    where quality says static, and not to be used where it says lost.
    covariance: (6, 6), translation before rotation, of e in motion · exp(e).
    depth_factor: (H, W) by which depth agrees better with the two images; None = not known.
    structure: points that the two images have triangulated; None = none, and none where the camera
        stands still. agreement: share of the corners that obey the motion; None = not known.
    refinement: what aligning the images has cost."""

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    quality: Quality
    depth_factor: NDArray[np.float32] | None = None
    refinement: Cost = NOTHING
    structure: TriangulatedPoints | None = None
    agreement: float | None = None

    def in_unit(self, factor: float, more_along: float) -> PairMotion:
        """In another unit of length, which is ``factor`` times smaller.

        more_along: relative variance by which the length of the step is less certain then.
        """
        factors = np.array([factor] * 3 + [1.0] * 3)
        covariance = self.covariance * np.outer(factors, factors)
        step = factor * (self.rotation.T @ self.translation)
        covariance[:3, :3] += more_along * np.outer(step, step)
        return replace(self, translation=factor * self.translation, covariance=covariance)

    def doubted(self, turn: float, depth: float) -> PairMotion:
        """With less certainty: rad by which the camera may have turned besides, or have stepped
        aside instead, at a depth of so many units."""
        more = np.array([(turn * depth) ** 2] * 3 + [turn**2] * 3)
        return replace(self, covariance=self.covariance + np.diag(more))

    def lost(self, reason: str) -> PairMotion:
        """Not to be used, for that reason."""
        quality = replace(self.quality, tracking="lost", reason=reason)
        return replace(_lost(reason), quality=quality, refinement=self.refinement)

    def with_length_known(self, variance: float) -> PairMotion:
        """As certain along the step as ``variance`` says, relative, and across it as before.

        Two images leave the length of a step to the depth of the network. Where that is measured by
        other means, what it leaves open is no error of the step.
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
    usual_agreement: float = 0.0,
) -> PairMotion:
    """The network's motion, refined by aligning the images, and how far it is to be believed.

    expected: (4, 4), what the motion before lets expect; refinement starts there where that
        explains the images better. usual_agreement: share of the corners that agreed on the motion
        in earlier pairs.
    """
    is_finite = all(
        np.isfinite(part).all() for part in (raw.rotation, raw.translation, raw.residual)
    )
    if not is_finite:
        return _lost("the network's motion is not finite")
    seen = min(texture(view.image), texture(previous.image))
    if seen < settings.min_texture:
        return _lost(
            f"nothing to see (blank wall, fog, covered lens): mean gradient {seen:.4f} per pixel "
            f"of a small image, less than {settings.min_texture:g}"
        )
    rotation = Rotation.from_euler("XYZ", raw.rotation.astype(np.float64)).as_matrix()
    translation = raw.translation.astype(np.float64)
    alignment, refinement = None, Stopwatch()
    if settings.refine:
        with refinement:
            starts = [se3.transform(rotation, translation)]
            if expected is not None:
                starts.append(expected)
            alignment = _aligned(view, previous, raw, starts, camera, settings, usual_agreement)
    if alignment is not None:
        rotation, translation = alignment.rotation, alignment.translation
    errors = warp_errors(
        view.image, previous.image, view.depth, rotation, translation, raw.residual, camera
    )
    tracking, reason = judge(errors, settings, is_aligned=alignment is not None)
    if tracking == "ok" and alignment is not None:
        tracking, reason = _judge_alignment(alignment, settings)
    quality = Quality(
        tracking,
        errors.photometric_error,
        errors.identity_error,
        errors.valid_fraction,
        reason=reason,
    )
    if tracking == "static":
        rotation, translation = np.eye(3), np.zeros(3)
    factor, structure, agreement = None, None, None
    if alignment is not None:
        agreement = alignment.agreement
    if tracking == "ok" and alignment is not None:
        covariance, structure = alignment.covariance, alignment.structure
        factor = correction(alignment.smooth_depth_error, *camera.size)
    else:
        covariance = _heuristic(view, errors, tracking, camera, rotation, translation)
    return PairMotion(
        rotation, translation, covariance, quality, factor, refinement.cost, structure, agreement
    )


def _aligned(
    view: FrameView,
    previous: FrameView,
    raw: RawMotion,
    starts: list[NDArray[np.float64]],
    camera: Camera,
    settings: EstimatorSettings,
    usual_agreement: float,
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
        usual_agreement,
    )


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if values.shape[1::-1] == size:
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _lost(reason: str) -> PairMotion:
    nothing = np.full((6, 6), np.nan)
    return PairMotion(np.eye(3), np.zeros(3), nothing, Quality("lost", reason=reason))


def _judge_alignment(alignment: Alignment, settings: EstimatorSettings) -> tuple[str, str]:
    if alignment.residual_px > settings.max_residual_px:
        return "lost", (
            f"the best motion leaves {alignment.residual_px:.2f} pixels unexplained, more than "
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
    # Every fourth row and column: the median does not need more.
    some = view.depth[::4, ::4]
    return motion_covariance(
        errors.identity_pixel_error if is_static else errors.pixel_error,
        camera,
        float(np.median(some[np.isfinite(some)])),
        rotation,
        translation,
    )
