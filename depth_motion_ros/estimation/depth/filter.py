"""A causal filter of depth over a few frames: prior of the network, geometry of the motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.epipolar_field import Doubles, EpipolarField, Floats
from depth_motion_ros.estimation.depth.fill import CorrectedPrior, corrected_prior
from depth_motion_ros.estimation.depth.keyframes import Keyframes, flow_to
from depth_motion_ros.estimation.depth.output import FusedDepth, fused
from depth_motion_ros.estimation.depth.pose_correction import RelativePose, corrected, left_by_a_turn
from depth_motion_ros.estimation.depth.state import GeometryState
from depth_motion_ros.estimation.depth.triangulation import triangulated
from depth_motion_ros.estimation.depth.trust import Trust, is_plausible
from depth_motion_ros.estimation.scene_flow.optical_flow import DenseFlow
from depth_motion_ros.geometry.camera import Camera

# Pixels of median parallax, below which the previous frame measures nothing.
_LEAST_PARALLAX = 0.7
_TWICE = 1
_LEFT, _LEFT_KEY = 0.3, 1.0
_MOST_COMMON = 0.2
_BY_TURN, _BY_PX = 0.01, 0.15
_ANCHOR = 0


@dataclass(frozen=True, eq=False)
class Step:
    """The camera's way from the frame before. pose: points of this frame into its axes; flow: (H, W)
    to it; at_rest: nothing has moved."""

    pose: RelativePose
    flow: DenseFlow
    at_rest: bool = False


class DepthFilter:
    """Not thread-safe. Memory is fixed: one state and at most six keyframes."""

    def __init__(self) -> None:
        self._trust = Trust()
        self._keyframes = Keyframes()
        self._state: GeometryState | None = None

    @property
    def off_prior(self) -> float | None:
        """Share of the well measured that is off the network's depth by more than twice."""
        return self._trust.share

    def reset(self) -> None:
        self._state = None
        self._keyframes.clear()
        self._trust.clear()

    def update(
        self,
        grey: NDArray[np.uint8],
        prior: Floats,
        prior_std: float,
        camera: Camera,
        step: Step | None,
        unit_change: float = 1.0,
    ) -> FusedDepth:
        """Of the next frame.

        grey: (H, W) uint8. prior: (H, W) inverse depth > 0 by the network, in the unit of the step.
        prior_std: relative. step: None = a first frame. unit_change: factor by which the same length
        is told longer than a frame ago.
        """
        if step is None:
            self.reset()
        state = self._state
        if state is None or state.inverse_depth.shape != prior.shape:
            state = GeometryState.empty(prior.shape)
        state = state.in_unit(unit_change)
        if step is not None and not step.at_rest:
            state = self._moved(state, grey, prior, prior_std, camera, step, unit_change)
        self._state = state
        whole = CorrectedPrior(prior, np.full_like(prior, prior_std))
        if step is None:
            self._keyframes.add(grey, prior, camera)
            return FusedDepth(prior, whole.std)
        if not self._trust.hear(state, prior):
            return FusedDepth(prior, whole.std)
        told = corrected_prior(prior, state.inverse_depth, state.variance, prior_std)
        result = fused(state, told)
        if not step.at_rest:
            self._keyframes.add(grey, result.inverse_depth, camera)
        return result

    def _moved(
        self,
        state: GeometryState,
        grey: NDArray[np.uint8],
        prior: Floats,
        prior_std: float,
        camera: Camera,
        step: Step,
        unit_change: float,
    ) -> GeometryState:
        height, width = prior.shape
        column = np.arange(width, dtype=np.float32)
        row = np.arange(height, dtype=np.float32)[:, None]
        target = step.flow.x + column, step.flow.y + row
        good = step.flow.good
        field = EpipolarField.of(step.pose.motion, camera)
        pose = step.pose
        parallax = field.median_parallax(prior)
        u, v, _ = field.projected(prior)
        x, y = np.where(good, target[0], u), np.where(good, target[1], v)
        state = state.propagated(x, y, good, pose.motion, camera)
        expected = corrected_prior(prior, state.inverse_depth, state.variance, prior_std)
        r = expected.inverse_depth
        std = float(np.median(expected.std[::8, ::8]))
        anchor, r0 = r, r
        if _ANCHOR:
            anchor, std = prior, prior_std
        pose = corrected(pose, field, anchor, std, target, good)
        self._keyframes.advance(pose, unit_change)
        left = left_by_a_turn(field, target, good)
        if parallax > _LEAST_PARALLAX and left > _LEFT:
            field = EpipolarField.of(pose.motion, camera)
            common = float(np.hypot(_BY_TURN * np.median(field.turned_by()), _BY_PX) / left)
            seen = triangulated(field, pose.covariance, target, good, r, common, prior)
            if common < _MOST_COMMON and is_plausible(seen):
                state = state.updated(seen)
        found = self._keyframes.nearest(r, camera)
        if found is not None:
            index, field = found
            key = self._keyframes[index]
            target, good = flow_to(key, grey, field, r)
            pose = key.pose
            for _ in range(_TWICE):
                pose = corrected(pose, field, anchor, std, target, good)
                field = EpipolarField.of(pose.motion, camera)
            left = left_by_a_turn(field, target, good)
            common = float(np.hypot(_BY_TURN * np.median(field.turned_by()), _BY_PX) / max(left, 0.1))
            seen = triangulated(field, pose.covariance, target, good, r, common, prior)
            if common < _MOST_COMMON and left > _LEFT_KEY and is_plausible(seen):
                self._keyframes.correct(index, pose.in_unit(1 / seen.unit))
                state = state.updated(seen)
        return state
