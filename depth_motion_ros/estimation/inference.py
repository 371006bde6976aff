"""First stage of a frame: the networks, on the frame and its pair with the previous one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import Engine, RawPrediction
from depth_motion_ros.estimation.detail import detail_of, reduced
from depth_motion_ros.estimation.pair import FrameView
from depth_motion_ros.estimation.scene_flow.optical_flow import FlowResult, follow
from depth_motion_ros.estimation.settings import FLOW, EstimatorSettings
from depth_motion_ros.estimation.time_line import MISSING, UNWANTED, Break, LeftOut, TimeLine
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.rectify import Rectifier

# A picture that was encoded a second time differs from the first by less than this share of what
# two pictures of a moving camera differ by (measured: 0.01 to 0.06 with four codecs) ...
_CODED_AGAIN = 0.1
# ... which is decided only where it is more than noise. Mean absolute difference, 0 to 255.
_CLEAR_CHANGE = 4.0
_SMALLEST_CHANGE = 1e-6


@dataclass(frozen=True, eq=False)
class StampedView:
    """A frame at the engine's size.

    stamp: ns.
    view: its images and depth.
    """

    stamp: int
    view: FrameView


@dataclass(frozen=True, eq=False)
class Inference:
    """Result of the first stage.

    now: the frame.
    raw: the networks' prediction for the frame and, if there is one, its pair.
    previous: the other frame of the pair; None for a first frame.
    camera: the frame's own, at the engine's size; None = use the learned intrinsics.
    K: (3, 3) intrinsics predicted for a first frame without a camera.
    squeeze: fx / fy at the engine's size of a camera with square pixels.
    reset_reason: why this is a first frame.
    forgets_camera: another camera starts with this frame.
    new_weights: other weights start with this frame.
    depth_relative_std: of those weights, if given.
    with_flow: whether object flow is requested.
    with_fusion: whether depth fused over frames is.
    flow: optical flow to the previous frame, being computed; None = not yet.
    left_out: why the frame takes no part in the motion; it has depth only, and the next frame is
        paired with the one before it.
    repeats: the picture is that of the previous frame, and so is the depth.
    """

    now: StampedView
    raw: RawPrediction
    previous: StampedView | None
    camera: Camera | None
    K: NDArray[np.float32] | None
    squeeze: float
    reset_reason: str
    forgets_camera: bool
    new_weights: bool
    depth_relative_std: float | None
    with_flow: bool
    with_fusion: bool
    flow: Future[FlowResult] | None
    left_out: LeftOut | None = None
    repeats: bool = False

    def flow_to(self, previous: StampedView) -> FlowResult:
        """The optical flow to the previous frame; waits for it."""
        if self.flow is not None:
            return self.flow.result()
        return follow(self.now.view.detail, previous.view.detail)


class Inferrer:
    """Runs the engine and keeps the previous frame."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._size = engine.input_size
        self._rectifier = Rectifier()
        self._flow_thread = ThreadPoolExecutor(1, thread_name_prefix="optical_flow")
        self._previous: StampedView | None = None
        self._camera: Camera | None = None
        self._change = 0.0  # between the last two frames used
        self._time_line = TimeLine()
        self._input: tuple[tuple[int, ...], str] | None = None
        self._reset_reason = ""
        self._skipped = False
        self._forgets_camera = self._new_weights = False
        self._depth_relative_std: float | None = None

    def reset(self, reason: str) -> None:
        """The next frame counts as the first."""
        self._previous = None
        self._time_line.forget()
        self._reset_reason = reason

    def skip(self) -> None:
        """See ``Estimator.skip``."""
        self._skipped = True

    def use_engine(self, engine: Engine, depth_relative_std: float | None) -> None:
        """See ``Estimator.use_engine``."""
        if engine.input_size != self._size:
            self._size = engine.input_size
            self.reset(f"the engine now takes images of {engine.input_size}")
            self._forgets_camera = True
        elif self._previous is not None:
            view = self._previous.view
            depth = engine.step(None, None, view.image).depth
            self._previous = replace(self._previous, view=replace(view, depth=depth))
        self.engine = engine
        self._new_weights, self._depth_relative_std = True, depth_relative_std

    def infer(
        self,
        frame: Frame,
        settings: EstimatorSettings,
        with_flow: bool,
        with_fusion: bool,
        frame_id: str,
    ) -> Inference:
        """See ``Estimator.infer``."""
        self._reset_if_another_input(frame, frame_id)
        left_out = self._place(frame.stamp, settings.max_gap)
        image, detail, camera = self._prepare(frame, settings.refine)
        change = self._change_since(image, detail)
        repeats = self._repeats(change, camera)
        if left_out is None and repeats:
            left_out = self._time_line.repeat(frame.stamp)
        if left_out is not None:
            return self._depth_alone(frame, image, detail, camera, left_out, repeats)
        previous, K, flow = self._previous, None, None
        if previous is None:
            raw = self.engine.step(None, None, image)
            if camera is None:
                K = self._look_for_intrinsics(image, raw)
        else:
            if with_fusion or (with_flow and settings.object_motion == FLOW):
                # In parallel with the engine: flow needs neither depth nor motion.
                flow = self._flow_thread.submit(follow, detail, previous.view.detail)
            raw = self.engine.step(previous.view.image, previous.view.depth, image)
        now = StampedView(frame.stamp, FrameView(image, raw.depth, detail))
        inference = Inference(
            now, raw, previous, camera, K, self._squeeze(frame.image), self._reset_reason,
            self._forgets_camera, self._new_weights, self._depth_relative_std, with_flow,
            with_fusion, flow,
        )  # fmt: skip
        self._previous, self._camera, self._reset_reason = now, camera, ""
        self._change = change or 0.0
        self._time_line.advance(frame.stamp, repeats)
        self._forgets_camera = self._new_weights = False
        self._depth_relative_std = None
        return inference

    def _depth_alone(
        self,
        frame: Frame,
        image: NDArray[np.uint8],
        detail: NDArray[np.uint8],
        camera: Camera | None,
        left_out: LeftOut,
        repeats: bool,
    ) -> Inference:
        """Of a frame that is left out of the motion: nothing is remembered of it."""
        if repeats and self._previous is not None:
            raw = RawPrediction(self._previous.view.depth, None)
        else:
            raw = self.engine.step(None, None, image)
        now = StampedView(frame.stamp, FrameView(image, raw.depth, detail))
        return Inference(
            now, raw, None, camera, None, self._squeeze(frame.image), "", False, False, None,
            False, False, None, left_out, repeats,
        )  # fmt: skip

    def _change_since(self, image: NDArray[np.uint8], detail: NDArray[np.uint8]) -> float | None:
        """Mean absolute difference to the last frame used, 0 to 255; None without one."""
        if self._previous is None:
            return None
        view = self._previous.view
        change = cv2.norm(image, view.image, cv2.NORM_L1) / image.size
        if change == 0.0 and not np.array_equal(detail, view.detail):
            return _SMALLEST_CHANGE
        return change

    def _repeats(self, change: float | None, camera: Camera | None) -> bool:
        """Whether it is the picture of the last frame used, by the same camera, for the same
        weights: the same to the bit, or but for what a video codec changes."""
        if change is None or self._new_weights:
            return False
        if camera is None or self._camera is None:
            is_same_camera = camera is self._camera
        else:
            is_same_camera = camera.same_as(self._camera, 0.0)
        is_coded_again = self._change > _CLEAR_CHANGE and change < _CODED_AGAIN * self._change
        return is_same_camera and (change == 0.0 or is_coded_again)

    def _place(self, stamp: int, max_gap: float) -> LeftOut | None:
        """Why a frame of this time is left out. Resets where it does not follow the last one."""
        place = self._time_line.place(stamp, max_gap)
        skipped, self._skipped = self._skipped, False
        if isinstance(place, Break):
            reason = place.reason
            self.reset(reason.replace(MISSING, UNWANTED) if skipped else reason)
            return None
        return place

    def _reset_if_another_input(self, frame: Frame, frame_id: str) -> None:
        new_input = frame.image.shape, frame_id
        if self._input not in (None, new_input):
            self.reset(f"input changed from {self._input} to {new_input}")
            self._forgets_camera = True
        self._input = new_input

    def _prepare(
        self, frame: Frame, with_detail: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Camera | None]:
        """The image at the engine's size, the more detailed one for refinement, and the camera of
        the former if the frame has one."""
        image, camera = frame.image, frame.camera
        if camera is not None:
            image, camera = self._rectifier(image, camera)
            camera = camera.resized(*self._size)
        detail = detail_of(image, self._size) if with_detail else None
        # A copy at least: the source may fill the same buffer with the next frame.
        is_right = image.shape[1::-1] == self._size
        image = image.copy() if is_right else reduced(image, self._size)
        return image, image if detail is None else detail, camera

    def _squeeze(self, image: NDArray[np.uint8]) -> float:
        height, width = image.shape[:2]
        return self._size[0] / width * height / self._size[1]

    def _look_for_intrinsics(
        self, image: NDArray[np.uint8], raw: RawPrediction
    ) -> NDArray[np.float32] | None:
        motion = self.engine.step(image, raw.depth, image).motion
        return None if motion is None else motion.K
