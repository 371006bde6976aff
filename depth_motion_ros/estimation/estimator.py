"""Frame in, Estimate out: the state that carries from frame to frame.

estimator = Estimator(create_engine(Weights.from_file("weights.safetensors")))
for frame in open_source("video.mp4"):
    estimate = estimator.process(frame)
    print(estimate.depth.shape, estimate.quality.tracking, estimator.pose.pose[:3, 3])
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from depth_motion_ros.engines.engine import Engine, EngineError, RawMotion, RawPrediction
from depth_motion_ros.estimation.estimate import Estimate, Motion, Quality, Scale
from depth_motion_ros.estimation.intrinsics import LearnedIntrinsics
from depth_motion_ros.estimation.object_flow import object_flow
from depth_motion_ros.estimation.odometry import Odometry, OdometryState
from depth_motion_ros.estimation.quality import (
    WarpErrors,
    judge,
    motion_covariance,
    warp_errors,
)
from depth_motion_ros.estimation.scale import ConstantScale, ScaleSource
from depth_motion_ros.estimation.settings import EstimatorSettings
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
    """The frame before: image and depth as the engine took and gave them."""

    stamp: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]


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
        """settings: None = the defaults. scale_source: None = the constant of the settings."""
        self.settings = settings or EstimatorSettings()
        self._engine = engine
        self._size = engine.input_size
        self._scale_source = scale_source or ConstantScale(self.settings.scale)
        self._odometry = Odometry(self.settings.base_from_camera)
        self._rectifier = Rectifier()
        self._learned = LearnedIntrinsics(self.settings.intrinsics_window)
        self._previous: _Previous | None = None
        self._reset_reason = ""
        self._last_stamp: int | None = None
        self._input: tuple[tuple[int, ...], str] | None = None

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def pose(self) -> OdometryState:
        """Where the base is by the odometry, and its twist."""
        return self._odometry.state

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
            depth = engine.step(None, None, self._previous.image).depth
            self._previous = replace(self._previous, depth=depth)
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
        image, given = self._prepare(frame)
        previous = self._previous
        if previous is None:
            raw = self._engine.step(None, None, image)
            if given is None:
                self._look_for_intrinsics(image, raw)
        else:
            raw = self._engine.step(previous.image, previous.depth, image)
        camera = given or self._learned_camera()
        if camera is None:
            raise EngineError(
                "the network finds no intrinsics in these images; give the frames a camera"
            )
        scale = self._scale_source.update(frame.stamp, raw, camera)
        estimate = Estimate(
            stamp=frame.stamp,
            image=image,
            depth=self._valid_depth(raw, scale),
            motion=None,
            object_flow=None,
            camera=camera,
            learned_camera=self._learned_camera(),
            scale=scale,
            quality=Quality("first", reason=self._reset_reason),
        )
        if previous is not None and raw.motion is not None:
            estimate = self._with_motion(estimate, raw.depth, raw.motion, previous, outputs)
        self._integrate(estimate)
        self._previous = _Previous(frame.stamp, image, raw.depth)
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

    def _prepare(self, frame: Frame) -> tuple[NDArray[np.uint8], Camera | None]:
        """The image at the engine's size, and its camera if the frame has one."""
        image, camera = frame.image, frame.camera
        if camera is not None:
            image, camera = self._rectifier(image, camera)
            camera = camera.resized(*self._size)
        if image.shape[1::-1] == self._size:
            # The source may fill the same buffer with the next frame.
            return image.copy(), camera
        resized = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.uint8), camera

    def _look_for_intrinsics(self, image: NDArray[np.uint8], raw: RawPrediction) -> None:
        motion = self._engine.step(image, raw.depth, image).motion
        if motion is not None:
            self._learned.add(motion.K)

    def _learned_camera(self) -> Camera | None:
        return self._learned.camera(*self._size)

    def _valid_depth(self, raw: RawPrediction, scale: Scale) -> NDArray[np.float32]:
        depth = raw.depth * np.float32(scale.value)
        low, high = self.settings.min_depth, self.settings.max_depth
        depth[~((depth >= low) & (depth <= high))] = np.nan
        return depth

    def _with_motion(
        self,
        estimate: Estimate,
        raw_depth: NDArray[np.float32],
        raw: RawMotion,
        previous: _Previous,
        outputs: Outputs,
    ) -> Estimate:
        """The estimate completed by what the pair shows."""
        if not all(
            np.isfinite(part).all() for part in (raw.rotation, raw.translation, raw.residual)
        ):
            lost = Quality("lost", reason="the network's motion is not finite")
            return replace(estimate, quality=lost)
        rotation = Rotation.from_euler("XYZ", raw.rotation.astype(np.float64)).as_matrix()
        translation = raw.translation.astype(np.float64)
        errors = warp_errors(
            estimate.image,
            previous.image,
            raw_depth,
            rotation,
            translation,
            raw.residual,
            estimate.camera,
        )
        tracking, reason = judge(errors, self.settings)
        quality = Quality(
            tracking,
            errors.photometric_error,
            errors.identity_error,
            errors.valid_fraction,
            reason=reason,
        )
        if tracking == "lost":
            return replace(estimate, quality=quality)
        self._learned.add(raw.K)
        dt = (estimate.stamp - previous.stamp) * 1e-9
        scale = estimate.scale.value
        flow = None
        if outputs.object_flow:
            flow, moving = object_flow(
                raw.residual,
                rotation,
                estimate.depth,
                scale,
                dt,
                self.settings.min_flow_speed,
                self.settings.min_flow_ratio,
            )
            quality = replace(quality, moving_fraction=moving)
        if tracking == "static":
            rotation, translation = np.eye(3), np.zeros(3)
        return replace(
            estimate,
            motion=_motion(
                rotation, translation * scale, errors, tracking, raw_depth, estimate, dt
            ),
            object_flow=flow,
            learned_camera=self._learned_camera(),
            quality=quality,
        )

    def _integrate(self, estimate: Estimate) -> None:
        if estimate.motion is not None:
            self._odometry.integrate(estimate.motion)
        elif self._last_stamp is not None:
            elapsed = max(0.0, (estimate.stamp - self._last_stamp) * 1e-9)
            settings = self.settings
            self._odometry.coast(elapsed, settings.lost_speed, settings.lost_turn_rate)


def _motion(
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
    errors: WarpErrors,
    tracking: str,
    raw_depth: NDArray[np.float32],
    estimate: Estimate,
    dt: float,
) -> Motion:
    """The motion with its covariance. translation: (3,) metres."""
    is_static = tracking == "static"
    covariance = motion_covariance(
        errors.identity_pixel_error if is_static else errors.pixel_error,
        estimate.camera,
        # Every fourth row and column: the median does not need more.
        float(np.median(raw_depth[::4, ::4])) * estimate.scale.value,
        rotation,
        translation,
        estimate.scale.variance,
    )
    return Motion(rotation, translation, covariance, dt)
