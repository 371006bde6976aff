"""The depth filter as the estimator feeds it: frames, pairs and optical flow of the pair."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.filter import DepthFilter, Step
from depth_motion_ros.estimation.depth.output import FusedDepth, calibrated, prior_alone
from depth_motion_ros.estimation.depth.pose_correction import RelativePose
from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.estimation.scene_flow.optical_flow import DenseFlow
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera

Floats = NDArray[np.float32]

# The length of the step is the unit in which depth is measured: certain, but for rounding.
_LENGTH_VARIANCE = 1e-6
# Pixels by which the outlines of moving things are missed.
_RIM = np.ones((5, 5), np.uint8)
# Inverse depth beyond which depth cannot be told from infinity, per unit.
_FARTHEST = np.float32(1e-4)


@dataclass(frozen=True, eq=False)
class FollowedPair:
    """What is known of the way from the previous frame.

    motion: in the unit of the depth that it comes with.
    flow: to the previous frame, of any size.
    moving: (H, W) bool, moving objects; None = not looked for.
    unit_change: length in this frame's unit over the same length in that of the last.
    dt: s.
    """

    motion: PairMotion
    flow: DenseFlow
    moving: NDArray[np.bool_] | None
    unit_change: float
    dt: float


class DepthFusion:
    """Depth of every frame, by its network and by the frames before."""

    def __init__(self) -> None:
        self._filter = DepthFilter()
        self._lost_for = 0.0

    @property
    def off_prior(self) -> float | None:
        """See ``DepthFilter.off_prior``."""
        return self._filter.off_prior

    def reset(self) -> None:
        """The next frame counts as a first one."""
        self._filter.reset()

    def depth(
        self,
        image: NDArray[np.uint8],
        prior: Floats,
        prior_std: float,
        camera: Camera,
        pair: FollowedPair | None,
        max_gap: float,
    ) -> tuple[Floats, Floats]:
        """(H, W) each: depth in the unit of the prior, NaN where the prior is unknown, and its
        relative standard deviation.

        image: (H, W, 3) uint8 RGB. prior: (H, W) depth by the network. pair: None = a first frame.
        max_gap: s for which geometry is kept while tracking is lost.
        """
        known = np.isfinite(prior) & (prior > 0)
        usual = np.float32(np.median(prior[known])) if known.any() else np.float32(1)
        inverse = np.maximum(1 / np.where(known, prior, usual), _FARTHEST, dtype=np.float32)
        try:
            result = self._result(image, inverse, prior_std, camera, pair, max_gap)
        except np.linalg.LinAlgError:
            # Intrinsics or a motion of nonsense: the network's depth needs neither.
            self._filter.reset()
            result = prior_alone(inverse, prior_std)
        if result.inverse_depth is inverse:
            # To the last digit.
            return np.where(known, prior, np.float32(np.nan)), result.std
        depth = np.asarray(1 / result.inverse_depth, np.float32)
        if not known.all():
            depth[~known] = np.nan
        return depth, result.std

    def _result(
        self,
        image: NDArray[np.uint8],
        prior: Floats,
        prior_std: float,
        camera: Camera,
        pair: FollowedPair | None,
        max_gap: float,
    ) -> FusedDepth:
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        if pair is None:
            self._lost_for = 0.0
            return self._filter.first(grey, prior, prior_std, camera)
        tracking = pair.motion.quality.tracking
        if tracking == "static":
            self._lost_for = 0.0
            return self._filter.at_rest(prior, prior_std, pair.unit_change)
        flow = pair.flow.resized(camera.size)
        if tracking == "lost" or not _is_usable(pair.motion):
            self._lost_for += pair.dt
            if self._lost_for > max_gap:
                return self._filter.first(grey, prior, prior_std, camera)
            step = Step(flow, None)
        else:
            self._lost_for = 0.0
            motion = pair.motion.with_length_known(_LENGTH_VARIANCE)
            pose = RelativePose(
                se3.transform(motion.rotation, motion.translation), motion.covariance
            )
            step = Step(flow, pose, _widened(pair.moving))
        return self._filter.update(grey, prior, prior_std, camera, step, pair.unit_change)


def unfused(prior: Floats, prior_std: float) -> tuple[Floats, Floats]:
    """Depth (H, W) of the network alone, and its relative standard deviation."""
    return prior, calibrated(np.full_like(prior, prior_std))


def _is_usable(motion: PairMotion) -> bool:
    parts = motion.rotation, motion.translation, motion.covariance
    return all(bool(np.isfinite(part).all()) for part in parts)


def _widened(moving: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if moving is None or not moving.any():
        return None
    return np.asarray(cv2.dilate(moving.view(np.uint8), _RIM), bool)
