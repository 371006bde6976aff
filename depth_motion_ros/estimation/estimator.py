"""Frame in, Estimate out: the state that carries from frame to frame.

estimator = Estimator(create_engine(Weights.from_file("weights.safetensors")))
for frame in open_source("video.mp4"):
    estimate = estimator.process(frame)
    print(estimate.depth.shape, estimate.quality.tracking, estimator.pose.pose[:3, 3])
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.engine import Engine, EngineError, RawMotion, RawPrediction
from depth_motion_ros.estimation.detail import detail_of, reduced
from depth_motion_ros.estimation.estimate import Estimate, Motion, Quality, Scale
from depth_motion_ros.estimation.flow_motion import FlowMotion
from depth_motion_ros.estimation.intrinsics import LearnedIntrinsics
from depth_motion_ros.estimation.object_flow import ObjectFlow, object_flow
from depth_motion_ros.estimation.odometry import Odometry, OdometryState
from depth_motion_ros.estimation.pair import PairMotion, View, pair_motion
from depth_motion_ros.estimation.quality import metric_covariance
from depth_motion_ros.estimation.scale import Observation, ScaleSource
from depth_motion_ros.estimation.scale_choice import choose_scale_source
from depth_motion_ros.estimation.scale_odometry import OdometryScale
from depth_motion_ros.estimation.settings import FLOW, HOLD, SILENT, EstimatorSettings
from depth_motion_ros.estimation.steady_unit import SteadyUnit
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.rectify import Rectifier


@dataclass(frozen=True)
class Outputs:
    """What to compute beyond depth, motion and quality, which every frame has.

    object_flow: ``Estimate.object_flow`` and ``Quality.moving_fraction``.
    """

    object_flow: bool = True


ALL_OUTPUTS = Outputs()


@dataclass(frozen=True, eq=False)
class _Previous:
    """The frame before: image and depth as the engine took and gave them.

    velocity: (6,) the camera's, in network units and rad per second; None where it is not known.
    """

    stamp: int
    view: View
    velocity: NDArray[np.float64] | None = None

    def expected(self, stamp: int) -> NDArray[np.float64] | None:
        """(4, 4) the motion until then, if the velocity stays."""
        if self.velocity is None:
            return None
        return se3.exp(self.velocity * (stamp - self.stamp) * 1e-9)


class Estimator:
    """Depth, ego-motion and moving objects of one camera. Not thread-safe: one caller at a time.

    The first frame has depth alone; every later one is paired with the frame before, whose depth
    is kept, so DepthNet runs once a frame. Images are resized to the engine's size by area.

    Intrinsics are those of the frame's camera; a distorted image is rectified first. Without a
    camera the learned intrinsics serve. MotionNet needs a pair to see them, so the first such
    frame is once paired with itself.

    When time goes back or stands still, after a gap, with a new image size or frame_id, the frame
    counts as a first one (``quality.reason`` says why). Pose and scale go on; the pose's
    covariance grows by what may have happened unseen. Learned intrinsics are forgotten where
    size or frame_id say that another camera follows.
    """

    def __init__(
        self,
        engine: Engine,
        settings: EstimatorSettings | None = None,
        scale_source: ScaleSource | None = None,
    ) -> None:
        """settings: None = the defaults. scale_source: None = what the settings ask for."""
        self.settings = settings or EstimatorSettings()
        self._engine = engine
        self._size = engine.input_size
        self._given_scale_source = scale_source
        self._odometry_scale = OdometryScale(self.settings.base_from_camera)
        self._scale_source = self._choose_scale_source()
        self._odometry = Odometry(self.settings.base_from_camera)
        self._rectifier = Rectifier()
        self._learned = LearnedIntrinsics(self.settings.intrinsics_window)
        self._unit = SteadyUnit(self.settings.depth_error)
        self._flow_motion = FlowMotion()
        self._previous: _Previous | None = None
        self._reset_reason = ""
        self._last_stamp: int | None = None
        self._last_motion: tuple[int, Motion] | None = None
        self._input: tuple[tuple[int, ...], str] | None = None

    def _choose_scale_source(self) -> ScaleSource:
        return self._given_scale_source or choose_scale_source(self.settings, self._odometry_scale)

    def mount(self, base_from_camera: NDArray[np.float64]) -> None:
        """The camera sits elsewhere on the base from the next frame on.

        Pose, motion state, learned intrinsics and the scale from odometry go on; a scale from the
        camera's height is looked for anew.

        base_from_camera: (4, 4). Raises SettingsError for what is no rigid transform or
        contradicts the settings; everything is then as before.
        """
        self.settings = replace(self.settings, base_from_camera=base_from_camera)
        self._odometry.mount(self.settings.base_from_camera)
        self._odometry_scale.mount(self.settings.base_from_camera)
        self._scale_source = self._choose_scale_source()

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def pose(self) -> OdometryState:
        """Where the base is by the odometry, and its twist."""
        return self._odometry.state

    def add_odometry(self, stamp: int, pose: NDArray[np.float64]) -> None:
        """Hear another odometry, as a source of the metric scale.

        stamp: ns, by the clock of the frames; late or early does not matter. pose: (4, 4), base in
        any fixed frame, metres.
        """
        self._odometry_scale.add(stamp, pose)

    def reset(self, reason: str) -> None:
        """The next frame counts as the first. Pose, scale and learned intrinsics stay.

        reason: appears in the quality of the next estimate.
        """
        self._previous = None
        self._reset_reason = reason

    def reset_pose(self) -> None:
        """The base's pose becomes the origin of odom again, with zero covariance."""
        self._odometry.reset()

    def use_engine(self, engine: Engine) -> None:
        """Go on with another engine, or with the same after its weights have changed.

        The depth of the previous frame is computed anew: paired with depth of the old weights it
        would look like a jump. Raises EngineError, and the old engine stays in use.
        """
        if engine.input_size != self._size:
            self._size = engine.input_size
            self.reset(f"the engine now takes images of {engine.input_size}")
            self._learned.clear()
        elif self._previous is not None:
            view = self._previous.view
            view = replace(view, depth=engine.step(None, None, view.image).depth)
            # The new weights may have another unit of length.
            self._previous = replace(self._previous, view=view, velocity=None)
            self._unit.reset()
        self._engine = engine

    def process(
        self, frame: Frame, outputs: Outputs = ALL_OUTPUTS, *, frame_id: str = ""
    ) -> Estimate:
        """The estimate for one frame, at the engine's image size.

        frame_id: name of the camera's frame, where sources change; a new one resets.

        Raises EngineError when the engine fails, CameraError when the frame's camera cannot be
        used; the state is then as before, and the next frame is paired with the last good one.
        """
        self._reset_if_discontinuous(frame, frame_id)
        image, detail, given = self._prepare(frame)
        previous = self._previous
        if previous is None:
            raw = self._engine.step(None, None, image)
            if given is None:
                self._look_for_intrinsics(image, raw)
        else:
            if outputs.object_flow and self.settings.object_motion == FLOW:
                self._flow_motion.begin(detail, previous.view.detail)
            raw = self._engine.step(previous.view.image, previous.view.depth, image)
        camera = given or self._learned_camera()
        if camera is None:
            raise EngineError(
                "the network finds no intrinsics in these images; give the frames a camera"
            )
        view = View(image, raw.depth, detail)
        pair = None
        if previous is not None and raw.motion is not None:
            expected = previous.expected(frame.stamp)
            pair = pair_motion(view, previous.view, raw.motion, camera, self.settings, expected)
        velocity = _velocity(frame.stamp, previous, pair)
        # The network's next pair is with its own depth, and in its own unit.
        pair = self._unit.steadied(pair)
        depth = raw.depth * np.float32(self._unit.factor)
        if pair is not None and pair.depth_factor is not None:
            depth *= pair.depth_factor
        seen = _observation(frame.stamp, depth, camera, previous, pair)
        scale = self._scale_source.update(replace(seen, unit_change=self._unit.change))
        estimate = Estimate(
            stamp=frame.stamp,
            image=image,
            depth=self._valid_depth(depth, scale),
            motion=None,
            object_flow=None,
            camera=camera,
            learned_camera=self._learned_camera(),
            scale=scale,
            quality=Quality("first", reason=self._reset_reason),
            is_silent=not scale.is_metric and self.settings.unknown_scale == SILENT,
        )
        if previous is not None and pair is not None:
            estimate = self._with_motion(estimate, raw, pair, view, previous, outputs)
        self._integrate(estimate)
        self._previous = _Previous(frame.stamp, view, velocity)
        self._last_stamp, self._reset_reason = frame.stamp, ""
        return estimate

    def _reset_if_discontinuous(self, frame: Frame, frame_id: str) -> None:
        new_input = frame.image.shape, frame_id
        if self._input not in (None, new_input):
            self.reset(f"input changed from {self._input} to {new_input}")
            self._learned.clear()
        self._input = new_input
        if self._previous is None:
            return
        elapsed = (frame.stamp - self._previous.stamp) * 1e-9
        if elapsed < 0:
            self.reset(f"time went back by {-elapsed:.3f} s")
        elif elapsed == 0:
            self.reset("two frames have the same stamp")
        elif elapsed > self.settings.max_gap:
            self.reset(f"no frame for {elapsed:.3f} s")

    def _prepare(self, frame: Frame) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Camera | None]:
        """The image at the engine's size, with the detail for refinement, and the camera of the
        former if the frame has one."""
        image, camera = frame.image, frame.camera
        if camera is not None:
            image, camera = self._rectifier(image, camera)
            camera = camera.resized(*self._size)
        detail = detail_of(image, self._size) if self.settings.refine else None
        # A copy at least: the source may fill the same buffer with the next frame.
        is_right = image.shape[1::-1] == self._size
        image = image.copy() if is_right else reduced(image, self._size)
        return image, image if detail is None else detail, camera

    def _look_for_intrinsics(self, image: NDArray[np.uint8], raw: RawPrediction) -> None:
        motion = self._engine.step(image, raw.depth, image).motion
        if motion is not None:
            self._learned.add(motion.K)

    def _learned_camera(self) -> Camera | None:
        return self._learned.camera(*self._size)

    def _valid_depth(self, depth: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
        depth = depth * np.float32(scale.value)
        low, high = self.settings.min_depth, self.settings.max_depth
        depth[~((depth >= low) & (depth <= high))] = np.nan
        return depth

    def _with_motion(
        self,
        estimate: Estimate,
        raw: RawPrediction,
        pair: PairMotion,
        view: View,
        previous: _Previous,
        outputs: Outputs,
    ) -> Estimate:
        """The estimate completed by what the pair shows."""
        dt = (estimate.stamp - previous.stamp) * 1e-9
        quality = pair.quality
        estimate = replace(estimate, refinement=pair.refinement)
        if quality.tracking == "lost" or raw.motion is None:
            return replace(estimate, motion=self._held(estimate.stamp, dt), quality=quality)
        self._learned.add(raw.motion.K)
        flow = None
        if outputs.object_flow:
            flow, moving = self._object_flow(estimate, raw.motion, pair, view, previous)
            quality = replace(quality, moving_fraction=moving)
        motion = Motion(
            pair.rotation,
            pair.translation * estimate.scale.value,
            metric_covariance(pair.covariance, pair.translation, estimate.scale),
            dt,
        )
        self._last_motion = estimate.stamp, motion
        return replace(
            estimate,
            motion=motion,
            object_flow=flow,
            learned_camera=self._learned_camera(),
            quality=quality,
        )

    def _object_flow(
        self,
        estimate: Estimate,
        raw: RawMotion,
        pair: PairMotion,
        view: View,
        previous: _Previous,
    ) -> ObjectFlow:
        settings, scale = self.settings, estimate.scale.value
        ratio = settings.min_flow_ratio
        if settings.object_motion == FLOW:
            ratio = 0.0
            residual = self._flow_motion.residual(
                view,
                previous.view,
                estimate.depth / np.float32(scale),
                pair,
                estimate.camera,
                (previous.stamp, estimate.stamp),
                settings.depth_error,
                settings.min_flow_speed / scale,
                settings.base_from_camera[2, :3],
            )
        else:
            residual = raw.residual * np.float32(self._unit.factor)
        dt = (estimate.stamp - previous.stamp) * 1e-9
        speed = settings.min_flow_speed
        return object_flow(residual, pair.rotation, estimate.depth, scale, dt, speed, ratio)

    def _held(self, stamp: int, dt: float) -> Motion | None:
        """The last motion seen, gone on with for ``dt`` s; None where that is not wanted, or it
        was too long ago."""
        if self._last_motion is None or self.settings.when_lost != HOLD:
            return None
        seen, last = self._last_motion
        if not 0 < (stamp - seen) * 1e-9 <= self.settings.max_gap:
            return None
        twist = se3.log(se3.transform(last.rotation, last.translation)) / last.dt
        step = se3.exp(twist * dt)
        unseen = [(self.settings.lost_speed * dt) ** 2] * 3
        unseen += [(self.settings.lost_turn_rate * dt) ** 2] * 3
        return Motion(step[:3, :3], step[:3, 3], np.diag(unseen), dt)

    def _integrate(self, estimate: Estimate) -> None:
        if estimate.is_silent:
            # Odometry begins where it begins to be told.
            return
        if estimate.motion is not None:
            self._odometry.integrate(estimate.motion)
        elif self._last_stamp is not None:
            elapsed = max(0.0, (estimate.stamp - self._last_stamp) * 1e-9)
            settings = self.settings
            self._odometry.coast(elapsed, settings.lost_speed, settings.lost_turn_rate)


def _velocity(
    stamp: int, previous: _Previous | None, pair: PairMotion | None
) -> NDArray[np.float64] | None:
    if previous is None or pair is None or pair.quality.tracking == "lost":
        return None
    seconds = (stamp - previous.stamp) * 1e-9
    return se3.log(se3.transform(pair.rotation, pair.translation)) / seconds


def _observation(
    stamp: int,
    depth: NDArray[np.float32],
    camera: Camera,
    previous: _Previous | None,
    pair: PairMotion | None,
) -> Observation:
    if previous is None or pair is None or pair.quality.tracking == "lost":
        return Observation(stamp, depth, camera)
    motion = se3.transform(pair.rotation, pair.translation)
    return Observation(stamp, depth, camera, previous.stamp, motion)
