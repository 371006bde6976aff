"""Frame in, Estimate out, with the state from frame to frame.

estimator = Estimator(create_engine(Weights.from_file("weights.safetensors")))
for frame in open_source("video.mp4"):
    estimate = estimator.process(frame)
    print(estimate.depth.shape, estimate.quality.tracking, estimator.pose.pose[:3, 3])
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import Engine, EngineError, RawMotion
from depth_motion_ros.estimation.alignment.constant_velocity import ConstantVelocity
from depth_motion_ros.estimation.alignment.inlier_ratio import InlierRatio
from depth_motion_ros.estimation.depth.fusion import DepthFusion, FollowedPair, unfused
from depth_motion_ros.estimation.estimate import SKIPPED, Estimate, Motion, Quality, Scale
from depth_motion_ros.estimation.extrapolation import LastMotion
from depth_motion_ros.estimation.inference import Inference, Inferrer, StampedView
from depth_motion_ros.estimation.intrinsics import LearnedIntrinsics
from depth_motion_ros.estimation.odometry import Odometry, OdometryState
from depth_motion_ros.estimation.pair import PairMotion, pair_motion
from depth_motion_ros.estimation.quality import metric_covariance
from depth_motion_ros.estimation.scale.choice import choose_scale_source
from depth_motion_ros.estimation.scale.drift_filter import ScaleDriftFilter
from depth_motion_ros.estimation.scale.observation import observation
from depth_motion_ros.estimation.scale.odometry import OdometryScale
from depth_motion_ros.estimation.scale.source import UNKNOWN_SCALE, ScaleSource
from depth_motion_ros.estimation.scene_flow.detection import FlowMotionDetector
from depth_motion_ros.estimation.scene_flow.object_flow import ObjectFlow, object_flow
from depth_motion_ros.estimation.settings import EXTRAPOLATE, FLOW, FUSED, EstimatorSettings
from depth_motion_ros.estimation.stopwatch import NOTHING
from depth_motion_ros.estimation.time_line import LeftOut
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.frame import Frame

_NO_INTRINSICS = "the network finds no intrinsics in these images; give the frames a camera"


@dataclass(frozen=True)
class RequestedOutputs:
    """What to compute beyond depth, ego-motion and quality, which every frame has.

    object_flow: ``Estimate.object_flow`` and ``Quality.moving_fraction``.
    fused_depth: depth fused over frames, where the settings ask for it; False = the network's.
    """

    object_flow: bool = True
    fused_depth: bool = True


ALL_OUTPUTS = RequestedOutputs()


class Estimator:
    """Depth, ego-motion tracking and moving objects of one camera.

    Not thread-safe: one caller at a time; but ``infer`` and ``use_engine`` may run in parallel with
    ``complete`` of the previous frame.

    The first frame has depth alone; every later one is paired with the previous frame, whose depth
    is kept, so DepthNet runs once per frame. Images are resized to the engine's size by area.

    Intrinsics are those of the frame's camera; a distorted image is rectified first. Without a
    camera the learned intrinsics are used. MotionNet needs a pair for them, so the first such frame
    is paired with itself once.

    Only new images count. One that is not newer than the last, or the same picture under a new
    stamp, has depth and is left out of everything else (``quality.tracking`` is ``skipped``); see
    ``TimeLine``.

    When time goes back for good, after a gap, with a new image size or frame_id, the frame counts
    as a first one (``quality.reason`` says why). Pose and scale stay; the pose covariance grows by
    the unobserved motion. A new size or frame_id means another camera: its intrinsics are learned
    anew.
    """

    def __init__(
        self,
        engine: Engine,
        settings: EstimatorSettings | None = None,
        scale_source: ScaleSource | None = None,
    ) -> None:
        """settings: None = the defaults. scale_source: None = what the settings ask for."""
        self.settings = settings or EstimatorSettings()
        self._inferrer = Inferrer(engine)
        self._given_scale_source = scale_source
        self._odometry_scale = OdometryScale(self.settings.base_from_camera)
        self._scale_source = self._choose_scale_source()
        self._odometry = Odometry(self.settings.base_from_camera)
        self._learned = LearnedIntrinsics(self.settings.intrinsics_window)
        self._scale_drift = ScaleDriftFilter(self.settings.depth_relative_std)
        self._flow_motion = FlowMotionDetector()
        self._fusion = DepthFusion()
        self._inlier_ratio = InlierRatio()
        self._constant_velocity = ConstantVelocity()
        self._last_stamp: int | None = None
        self._last_motion = LastMotion()
        self._last: Estimate | None = None

    def _choose_scale_source(self) -> ScaleSource:
        return self._given_scale_source or choose_scale_source(self.settings, self._odometry_scale)

    def mount(self, base_from_camera: NDArray[np.float64]) -> None:
        """Set another pose of the camera on the base, from the next frame on.

        Pose, motion state, learned intrinsics and the scale from odometry stay; a scale from the
        camera's height is measured anew.

        base_from_camera: (4, 4). Raises SettingsError for anything but a rigid transform that fits
        the settings; then nothing changes.
        """
        self.settings = replace(self.settings, base_from_camera=base_from_camera)
        self._odometry.mount(self.settings.base_from_camera)
        self._odometry_scale.mount(self.settings.base_from_camera)
        self._scale_source = self._choose_scale_source()

    @property
    def engine(self) -> Engine:
        return self._inferrer.engine

    @property
    def pose(self) -> OdometryState:
        """Pose and twist of the base by visual odometry."""
        return self._odometry.state

    def add_odometry(self, stamp: int, pose: NDArray[np.float64]) -> None:
        """Add another odometry, as a source of metric scale.

        stamp: ns, by the clock of the frames; it may be late or early. pose: (4, 4), base in any
        fixed frame, metres.
        """
        self._odometry_scale.add(stamp, pose)

    def reset(self, reason: str) -> None:
        """The next frame counts as the first. Pose, scale and learned intrinsics stay.

        reason: appears in the quality of the next estimate.
        """
        self._inferrer.reset(reason)

    def skip(self) -> None:
        """A frame is left out since its estimate has no subscriber: a gap that is not the camera's.

        May be called as ``infer`` is, beside ``complete``.
        """
        self._inferrer.skip()

    def reset_pose(self) -> None:
        """The base's pose becomes the origin of odom again, with zero covariance."""
        self._odometry.reset()

    def use_engine(self, engine: Engine, depth_relative_std: float | None = None) -> None:
        """Continue with another engine, or with the same one after its weights have changed.

        depth_relative_std: the setting for the new weights; None = it stays.

        The depth of the previous frame is computed anew: depth of the old weights in a pair would
        look like a jump. Raises EngineError; then the old engine stays in use.
        """
        self._inferrer.use_engine(engine, depth_relative_std)

    def process(
        self, frame: Frame, outputs: RequestedOutputs = ALL_OUTPUTS, *, frame_id: str = ""
    ) -> Estimate:
        """The estimate for one frame, at the engine's image size.

        frame_id: name of the camera's frame; a new one resets.

        Raises EngineError when the engine fails, CameraError when the frame's camera cannot be
        used; then the state does not change, and the next frame is paired with the last good one.
        """
        return self.complete(self.infer(frame, outputs, frame_id=frame_id))

    def infer(
        self, frame: Frame, outputs: RequestedOutputs = ALL_OUTPUTS, *, frame_id: str = ""
    ) -> Inference:
        """The first half of ``process``: the networks.

        Complete every inference, in order; the next frame's ``infer`` may run meanwhile on another
        thread. Raises as ``process``.
        """
        with_fusion = outputs.fused_depth and self.settings.depth_source == FUSED
        return self._inferrer.infer(
            frame, self.settings, outputs.object_flow, with_fusion, frame_id
        )

    def complete(self, inference: Inference) -> Estimate:
        """The second half of ``process``: geometry."""
        if inference.left_out is not None:
            return self._depth_alone(inference, inference.left_out)
        now, previous, raw = inference.now, inference.previous, inference.raw
        if inference.forgets_camera:
            self._learned.clear()
            self._inlier_ratio = InlierRatio()
        if inference.K is not None:
            self._learn(inference.K, inference)
        if inference.depth_relative_std is not None:
            self.settings = replace(self.settings, depth_relative_std=inference.depth_relative_std)
        self._scale_drift.set_depth_relative_std(self.settings.depth_relative_std)
        if inference.new_weights:
            # The new weights may have another unit of length.
            self._constant_velocity.forget()
            self._scale_drift.reset()
            self._fusion.reset()
        size = now.view.image.shape[1::-1]
        camera = inference.camera or self._learned.camera(*size)
        if camera is None:
            self.reset(inference.reset_reason)
            raise EngineError(_NO_INTRINSICS)
        pair = None
        if previous is not None and raw.motion is not None:
            expected = self._constant_velocity.expected(previous.stamp, now.stamp)
            pair = pair_motion(
                now.view,
                previous.view,
                raw.motion,
                camera,
                self.settings,
                expected,
                self._inlier_ratio.usual,
            )
            least = self.settings.min_inlier_ratio
            other = self._odometry_scale.motion(previous.stamp, now.stamp)
            pair = self._inlier_ratio.checked(pair, now.stamp, now.view, camera, least, other)
        if previous is None or pair is None:
            self._constant_velocity.forget()
        else:
            self._constant_velocity.note(previous.stamp, now.stamp, pair, self.settings.max_gap)
        # The network's next pair uses its own depth, in its own unit.
        pair = self._scale_drift.filtered(pair)
        prior = raw.depth * np.float32(self._scale_drift.factor)
        # What is smoothly wrong with the prior of this pair matters to the scale and to moving
        # objects, where the parallax is large. Depth itself it would worsen where that is small.
        depth = prior if pair is None or pair.depth_factor is None else prior * pair.depth_factor
        seen = observation(now.stamp, depth, camera, previous, pair, self._scale_drift)
        scale = self._scale_source.update(seen)
        if scale.is_of_the_frame and pair is not None and pair.triangulated is not None:
            # The scale source measures the unit of this very frame.
            pair = pair.with_length_known(self._scale_drift.change_variance)
        residual = self._residual(inference, pair, depth, camera, scale)
        moving: NDArray[np.bool_] | None = None
        if residual is not None and self.settings.object_motion == FLOW:
            moving = np.asarray(residual.any(axis=2), bool)
        depth, std = self._fused_depth(inference, camera, pair, prior, moving)
        quality = Quality("first", reason=inference.reset_reason)
        estimate = self._without_motion(inference, depth, std, camera, scale, quality)
        if previous is not None and raw.motion is not None and pair is not None:
            estimate = self._with_motion(estimate, inference, previous, raw.motion, pair, residual)
        self._integrate(estimate)
        self._last_stamp, self._last = now.stamp, estimate
        return estimate

    def _depth_alone(self, inference: Inference, left_out: LeftOut) -> Estimate:
        """Of a frame that says nothing of the motion: no state changes."""
        now, last = inference.now, self._last
        quality = Quality(SKIPPED, reason=left_out.reason)
        if inference.repeats and last is not None:
            return replace(
                last, stamp=now.stamp, motion=None, object_flow=None, quality=quality,
                refinement=NOTHING,
            )  # fmt: skip
        size = now.view.image.shape[1::-1]
        camera = inference.camera or self._learned.camera(*size)
        if camera is None:
            raise EngineError(_NO_INTRINSICS)
        scale = UNKNOWN_SCALE if last is None else last.scale
        prior = inference.raw.depth * np.float32(self._scale_drift.factor)
        depth, std = unfused(prior, self.settings.depth_relative_std)
        return self._without_motion(inference, depth, std, camera, scale, quality)

    def _without_motion(
        self,
        inference: Inference,
        depth: NDArray[np.float32],
        std: NDArray[np.float32],
        camera: Camera,
        scale: Scale,
        quality: Quality,
    ) -> Estimate:
        """depth, std: (H, W), in the unit of the pair."""
        view = inference.now.view
        depth, std = self._valid(depth, std, scale)
        return Estimate(
            stamp=inference.now.stamp,
            image=view.image,
            depth=depth,
            depth_std=std,
            motion=None,
            object_flow=None,
            camera=camera,
            learned_camera=self._learned.camera(*view.image.shape[1::-1]),
            scale=scale,
            quality=quality,
            is_withheld=not scale.is_metric and not self.settings.publish_unscaled,
        )

    def _learn(self, K: NDArray[np.float32], inference: Inference) -> None:
        self._learned.add(K, inference.squeeze if self.settings.square_pixels else None)

    def _fused_depth(
        self,
        inference: Inference,
        camera: Camera,
        pair: PairMotion | None,
        prior: NDArray[np.float32],
        moving: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Depth and its relative standard deviation, (H, W) each, in the unit of the pair."""
        settings = self.settings
        if not inference.with_fusion:
            self._fusion.reset()
            return unfused(prior, settings.depth_relative_std)
        previous, followed = inference.previous, None
        if pair is not None and previous is not None:
            dt = (inference.now.stamp - previous.stamp) * 1e-9
            flow = inference.flow_to(previous).flow
            followed = FollowedPair(pair, flow, moving, self._scale_drift.change, dt)
        image, std = inference.now.view.image, settings.depth_relative_std
        return self._fusion.depth(image, prior, std, camera, followed, settings.max_gap)

    def _valid(
        self, depth: NDArray[np.float32], std: NDArray[np.float32], scale: Scale
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        depth = depth * np.float32(scale.value)
        settings = self.settings
        valid = (depth >= settings.min_depth) & (depth <= settings.max_depth)
        if settings.max_depth_std > 0:
            valid &= std <= settings.max_depth_std
        nan = np.float32(np.nan)
        return np.where(valid, depth, nan), np.where(valid, std, nan)

    def _with_motion(
        self,
        estimate: Estimate,
        inference: Inference,
        previous: StampedView,
        raw: RawMotion,
        pair: PairMotion,
        residual: NDArray[np.float32] | None,
    ) -> Estimate:
        """The estimate with the motion and object flow of the pair."""
        dt = (estimate.stamp - previous.stamp) * 1e-9
        quality = pair.quality
        estimate = replace(estimate, refinement=pair.refinement)
        if quality.tracking == "lost":
            motion = None
            if self.settings.on_lost == EXTRAPOLATE:
                motion = self._last_motion.extrapolated(estimate.stamp, dt, self.settings)
            return replace(estimate, motion=motion, quality=quality)
        self._learn(raw.K, inference)
        flow = None
        if residual is not None:
            flow, moving = self._object_flow(estimate, pair, residual, dt)
            quality = replace(quality, moving_fraction=moving)
        motion = Motion(
            pair.rotation,
            pair.translation * estimate.scale.value,
            metric_covariance(pair.covariance, pair.translation, estimate.scale),
            dt,
        )
        self._last_motion.note(estimate.stamp, motion)
        return replace(
            estimate,
            motion=motion,
            object_flow=flow,
            learned_camera=self._learned.camera(*estimate.image.shape[1::-1]),
            quality=quality,
        )

    def _residual(
        self,
        inference: Inference,
        pair: PairMotion | None,
        depth: NDArray[np.float32],
        camera: Camera,
        scale: Scale,
    ) -> NDArray[np.float32] | None:
        """(H, W, 3) what moves by itself, in the unit of the pair, as in ``RawMotion``; None = not
        asked for, or tracking is lost.

        depth: of the network. Fused depth would explain what moves along the epipolar lines.
        """
        previous, motion, settings = inference.previous, inference.raw.motion, self.settings
        if previous is None or motion is None or pair is None or not inference.with_flow:
            return None
        if pair.quality.tracking == "lost":
            return None
        if settings.object_motion != FLOW:
            return motion.residual * np.float32(self._scale_drift.factor)
        metres = depth * np.float32(scale.value)
        valid = (metres >= settings.min_depth) & (metres <= settings.max_depth)
        return self._flow_motion.residual(
            inference.flow_to(previous),
            np.where(valid, depth, np.float32(np.nan)),
            pair,
            camera,
            (previous.stamp, inference.now.stamp),
            settings.depth_relative_std,
            settings.object_flow_threshold / scale.value,
            settings.base_from_camera[2, :3],
        )

    def _object_flow(
        self, estimate: Estimate, pair: PairMotion, residual: NDArray[np.float32], dt: float
    ) -> ObjectFlow:
        settings, scale = self.settings, estimate.scale.value
        ratio = 0.0 if settings.object_motion == FLOW else settings.object_flow_ratio
        speed = settings.object_flow_threshold
        return object_flow(residual, pair.rotation, estimate.depth, scale, dt, speed, ratio)

    def _integrate(self, estimate: Estimate) -> None:
        if estimate.is_withheld:
            # Odometry starts when it is first published.
            return
        if estimate.motion is not None:
            self._odometry.integrate(estimate.motion)
        elif self._last_stamp is not None:
            settings = self.settings
            elapsed = max(0.0, (estimate.stamp - self._last_stamp) * 1e-9)
            extrapolated = None
            if estimate.quality.tracking == "lost":
                # Published or not: most motion that is lost for a moment continues.
                extrapolated = self._last_motion.extrapolated(estimate.stamp, elapsed, settings)
            self._odometry.coast(
                elapsed, settings.lost_speed, settings.lost_turn_rate, extrapolated
            )
