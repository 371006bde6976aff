"""A causal filter of depth over a few frames: the network's prior, geometry of the motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.epipolar_field import EpipolarField, Floats
from depth_motion_ros.estimation.depth.fill import corrected_prior
from depth_motion_ros.estimation.depth.keyframes import Keyframes, flow_to
from depth_motion_ros.estimation.depth.output import FusedDepth, fused, prior_alone
from depth_motion_ros.estimation.depth.pose_correction import RelativePose
from depth_motion_ros.estimation.depth.reference import Expected, observe
from depth_motion_ros.estimation.depth.state import GeometryState
from depth_motion_ros.estimation.depth.trust import Trust
from depth_motion_ros.estimation.scene_flow.optical_flow import Bytes, DenseFlow
from depth_motion_ros.geometry.camera import Camera


@dataclass(frozen=True, eq=False)
class Step:
    """The way from the frame before to this one.

    flow: (H, W), from this frame to the one before.
    pose: points of this frame into the axes of the one before; None = tracking is lost.
    moving: (H, W) bool, what is known to move by itself; None = not looked for.
    """

    flow: DenseFlow
    pose: RelativePose | None
    moving: NDArray[np.bool_] | None = None


class DepthFilter:
    """Geometry is triangulated from the previous frame and from one keyframe, and kept per pixel
    with its variance; the network's depth is never part of that state. What comes out is the
    network's depth, corrected where geometry is certain, fused with geometry.

    Not thread-safe. Memory is fixed: one state and at most six keyframes.
    """

    def __init__(self) -> None:
        self._trust = Trust()
        self._keyframes = Keyframes()
        self._state: GeometryState | None = None

    @property
    def off_prior(self) -> float | None:
        """Share of the well measured that is off the network's depth by more than a factor of two;
        None = nothing was well measured yet."""
        return self._trust.share

    def reset(self) -> None:
        """Nothing is known but what the network says."""
        self._state = None
        self._keyframes.clear()
        self._trust.clear()

    def first(self, grey: Bytes, prior: Floats, prior_std: float, camera: Camera) -> FusedDepth:
        """Of a frame that follows none. See ``update``."""
        self.reset()
        self._keyframes.add(grey, prior, camera)
        return prior_alone(prior, prior_std)

    def at_rest(self, prior: Floats, prior_std: float, unit_change: float = 1.0) -> FusedDepth:
        """Of a frame in which nothing has moved since the one before. See ``update``."""
        state = self._state_of(prior, unit_change)
        self._keyframes.in_unit(unit_change)
        return self._told(state, prior, prior_std)

    def update(
        self,
        grey: Bytes,
        prior: Floats,
        prior_std: float,
        camera: Camera,
        step: Step,
        unit_change: float = 1.0,
    ) -> FusedDepth:
        """Of the next frame.

        grey: (H, W) uint8. prior: (H, W) inverse depth > 0 by the network, in the unit of the step.
        prior_std: relative. unit_change: factor by which the same length is longer in
        this frame's unit than in that of the frame before.
        """
        state = self._state_of(prior, unit_change)
        if step.pose is None:
            self._keyframes.clear()
            self._state = state.followed(step.flow)
            return prior_alone(prior, prior_std)
        self._keyframes.in_unit(unit_change)
        state = self._measured(state, grey, prior, prior_std, camera, step, step.pose).finite()
        result = self._told(state, prior, prior_std)
        self._keyframes.add(grey, result.inverse_depth, camera)
        return result

    def _state_of(self, prior: Floats, unit_change: float) -> GeometryState:
        state = self._state
        if state is None or state.inverse_depth.shape != prior.shape:
            return GeometryState.empty(prior.shape)
        return state.in_unit(unit_change)

    def _told(self, state: GeometryState, prior: Floats, prior_std: float) -> FusedDepth:
        self._state = state
        if state.is_empty or not self._trust.hear(state, prior):
            return prior_alone(prior, prior_std)
        return fused(state, corrected_prior(prior, state, prior_std))

    def _measured(
        self,
        state: GeometryState,
        grey: Bytes,
        prior: Floats,
        prior_std: float,
        camera: Camera,
        step: Step,
        pose: RelativePose,
    ) -> GeometryState:
        target, good = step.flow.target(), step.flow.good
        u, v, _ = EpipolarField.of(pose.motion, camera).projected(prior)
        x, y = np.where(good, target[0], u), np.where(good, target[1], v)
        state = state.propagated(x, y, good, pose.motion, camera)
        if step.moving is not None:
            state = state.without(step.moving)
            good = good & ~step.moving
        expected = Expected(prior, corrected_prior(prior, state, prior_std), camera)
        before = observe(pose, target, good, expected)
        self._keyframes.advance(before.pose)
        if before.seen is not None:
            state = state.updated(before.seen)
        r = expected.depth.inverse_depth
        index = self._keyframes.nearest(r, camera)
        if index is None:
            return state
        target, good = flow_to(self._keyframes[index], grey, r, camera)
        if step.moving is not None:
            good &= ~step.moving
        earlier = observe(self._keyframes[index].pose, target, good, expected)
        if earlier.seen is None:
            return state
        self._keyframes.correct(index, earlier.pose.in_unit(1 / earlier.seen.unit))
        return state.updated(earlier.seen)
