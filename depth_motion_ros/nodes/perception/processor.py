"""One image message in, all outputs out: what the worker's threads do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.estimation.estimate import Estimate
from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.estimation.estimator import RequestedOutputs as Computed
from depth_motion_ros.estimation.inference import Inference
from depth_motion_ros.estimation.odometry import OdometryState
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.estimation.stopwatch import NOTHING, Cost, Stopwatch
from depth_motion_ros.estimation.time_line import UNWANTED
from depth_motion_ros.geometry.camera import CameraError
from depth_motion_ros.nodes.perception.engine_slot import EngineSlot
from depth_motion_ros.nodes.perception.outputs import DEPTH, FLOW
from depth_motion_ros.nodes.ros.camera_info import CameraPairing
from depth_motion_ros.nodes.ros.conversions import BadImageError
from depth_motion_ros.nodes.ros.diagnostics import FrameCosts, FrameCounters
from depth_motion_ros.nodes.ros.messages import stamp_from_message
from depth_motion_ros.settings import SettingsError
from depth_motion_ros.sources.frame import Frame

# Failing frames in a row after which the engine is given up: one alone may be the memory of a GPU
# that another process has filled for a moment.
FAILURES_BORNE = 3

# What makes lengths metric, by scale_source.
_SCALE_CURES = {
    "auto": "publish odom_in, or set camera_height or scale",
    "odometry": "publish odom_in",
    "camera_height": "the camera must see the ground and move; or set another scale_source",
    "constant": "set scale",
}

Report = Callable[[str, str], None]
# base_link <- camera for a frame_id; None while it is not known.
Extrinsic = Callable[[str], "NDArray[np.float64] | None"]


@dataclass(frozen=True)
class ReceivedImage:
    """An image message on arrival.

    message: as received.
    received: time.perf_counter() of its arrival.
    """

    message: Any
    received: float


@dataclass(frozen=True, eq=False)
class InferredFrame:
    """A frame between its two stages.

    inference: result of the networks.
    header: of the outputs.
    size: (width, height) of the image.
    wanted: topics with subscribers.
    received: time.perf_counter() of the arrival.
    inferring: cost of the first stage.
    engine: cost of the engine in it.
    """

    inference: Inference
    header: Header
    size: tuple[int, int]
    wanted: frozenset[str]
    received: float
    inferring: Cost
    engine: Cost


class OutputSink(Protocol):
    """Where the estimates go: ``OutputPublishers``, or a test's own."""

    def wanted(self) -> frozenset[str]: ...

    def publish_estimate(
        self, wanted: frozenset[str], header: Header, estimate: Estimate, size: tuple[int, int]
    ) -> None: ...

    def publish_odometry(
        self, wanted: frozenset[str], stamp: Header, state: OdometryState
    ) -> None: ...


class FrameProcessor:
    """Decodes, estimates and publishes.

    ``infer`` and ``exchange_engine`` may run in parallel with ``complete`` of the previous frame,
    on another thread; all other methods exclude each other.

    decode: message → (H, W, 3) uint8 RGB; raises BadImageError.
    camera_frame: optical frame of the outputs; empty = that of the images.
    report: ``report(cause, message)``, logged once per cause.
    """

    def __init__(
        self,
        engine: EngineSlot,
        settings: EstimatorSettings,
        outputs: OutputSink,
        pairing: CameraPairing,
        extrinsic: Extrinsic,
        decode: Callable[[Any], NDArray[np.uint8]],
        counters: FrameCounters,
        report: Report,
        camera_frame: str = "",
    ) -> None:
        self._engine = engine
        self._outputs = outputs
        self._pairing = pairing
        self._extrinsic = extrinsic
        self._decode = decode
        self._counters = counters
        self._report = report
        self._camera_frame = camera_frame
        self._estimator = Estimator(engine, settings)
        self._mounted: NDArray[np.float64] | None = None
        self.last: Estimate | None = None
        self.camera_is_given = False
        self.failing = ""
        self.mount_problem = ""
        self._failures = 0
        self._ended = time.process_time()

    @property
    def broken(self) -> str:
        """Why the engine is given up; empty while it works, or failed only a few times."""
        if self._failures < FAILURES_BORNE:
            return ""
        return f"the engine failed {self._failures} times in a row: {self.failing}"

    @property
    def unscaled(self) -> str:
        """Why lengths are not metric, and the cure; empty while they are, or nothing is known."""
        if self.last is None or self.last.scale.is_metric:
            return ""
        settings = self._estimator.settings
        effect = (
            "they may be wrong by a factor of three"
            if settings.publish_unscaled
            else "nothing is published (publish_unscaled is false)"
        )
        cure = _SCALE_CURES[settings.scale_source]
        return f"lengths are not metric: no source of scale, so {effect}; {cure}"

    def reset(self, reason: str) -> None:
        """The next frame counts as the first; pose, scale and intrinsics stay."""
        if self.last is not None:
            self._estimator.reset(reason)

    @property
    def estimator(self) -> Estimator:
        return self._estimator

    def change_settings(self, **changes: Any) -> None:
        """New values of some of EstimatorSettings, from the next frame on."""
        self._estimator.settings = replace(self._estimator.settings, **changes)

    def exchange_engine(self, exchange: Callable[[], None], depth_relative_std: float) -> None:
        """Continue with what ``exchange`` puts into the slot, without a jump in the motion.

        depth_relative_std: the setting of that name for the new weights.
        """
        exchange()
        self._estimator.use_engine(self._engine, depth_relative_std)

    def serve(self, arrival: ReceivedImage) -> None:
        """Process one image; any problem with it is counted and logged once."""
        inferred = self.infer(arrival)
        if inferred is not None:
            self.complete(inferred)

    def infer(self, arrival: ReceivedImage) -> InferredFrame | None:
        """The first stage: decode, and run the networks. None if nothing is left to do."""
        wanted = self._outputs.wanted()
        if not wanted:
            self._counters.idle()
            self._estimator.skip()
            self._ended = time.process_time()
            return None
        self._engine.cost = NOTHING
        watch = Stopwatch()
        message = arrival.message
        try:
            with watch:
                pixels = self._decode(message)
                inference = self._infer(message, pixels, wanted)
        except BadImageError as error:
            self._counters.bad(error.cause)
            self._report(f"bad image ({error.cause})", str(error))
            return None
        except EngineError as error:
            self._fail(error)
            return None
        header = Header(
            stamp=message.header.stamp, frame_id=self._camera_frame or message.header.frame_id
        )
        size = pixels.shape[1], pixels.shape[0]
        cost = self._engine.cost
        return InferredFrame(inference, header, size, wanted, arrival.received, watch.cost, cost)

    def complete(self, inferred: InferredFrame) -> None:
        """The second stage: geometry, and publish."""
        watch = Stopwatch()
        try:
            with watch:
                refinement = self._complete(inferred)
        except EngineError as error:
            self._fail(error)
            return
        self.failing, self._failures = "", 0
        engine = inferred.engine
        other = inferred.inferring.wall + watch.cost.wall - engine.wall - refinement.wall
        begun, self._ended = self._ended, time.process_time()
        all_threads = self._ended - begun
        self._counters.serve(
            FrameCosts(
                latency=1e3 * (time.perf_counter() - inferred.received),
                engine=1e3 * engine.wall,
                refine=1e3 * refinement.wall,
                other=1e3 * other,
                cpu_engine=1e3 * engine.cpu,
                cpu_refine=1e3 * refinement.cpu,
                cpu_other=1e3 * (all_threads - engine.cpu - refinement.cpu),
            )
        )

    def _fail(self, error: EngineError) -> None:
        self._counters.drop("engine failed")
        self.failing = str(error)
        self._failures += 1
        self._report("engine failed", str(error))

    def _infer(self, message: Any, pixels: NDArray[np.uint8], wanted: frozenset[str]) -> Inference:
        height, width = pixels.shape[:2]
        stamp, frame_id = stamp_from_message(message.header.stamp), message.header.frame_id
        camera = self._pairing.camera_for(stamp, width, height)
        computed = Computed(
            object_flow=not wanted.isdisjoint(FLOW), fused_depth=not wanted.isdisjoint(DEPTH)
        )
        try:
            return self._estimator.infer(Frame(stamp, pixels, camera), computed, frame_id=frame_id)
        except CameraError as error:
            self._report("camera_info bad", f"{error}; the learned intrinsics are used")
            self._counters.bad("camera_info bad")
            return self._estimator.infer(Frame(stamp, pixels), computed, frame_id=frame_id)

    def _complete(self, inferred: InferredFrame) -> Cost:
        """Returns the cost of the refinement."""
        header, wanted = inferred.header, inferred.wanted
        knows_mount = self._mount(header.frame_id)
        estimate = self._estimator.complete(inferred.inference)
        left_out = inferred.inference.left_out
        if left_out is None:
            self.camera_is_given = inferred.inference.camera is not None
            self._note(estimate)
        else:
            self._counters.leave_out(left_out.cause)
            self._report(
                f"left out of the motion ({left_out.cause})",
                f"{left_out.reason}: it has depth, but no odometry",
            )
        if estimate.is_withheld:
            return estimate.refinement
        if knows_mount and estimate.motion is not None:
            # First, because a filter waits for it; the rest is for maps and viewers.
            self._outputs.publish_odometry(wanted, header, self._estimator.pose)
        self._outputs.publish_estimate(wanted, header, estimate, inferred.size)
        return estimate.refinement

    def _mount(self, frame_id: str) -> bool:
        """Set the camera's pose on the robot; False while TF does not know it."""
        extrinsic = self._extrinsic(frame_id)
        if extrinsic is None:
            self.mount_problem = (
                f"no odometry: TF has no transform from base_frame to {frame_id!r}, the frame of "
                "the images. Publish it (robot_state_publisher, static_transform_publisher), or "
                "set use_tf_extrinsic to false, camera_xyz and camera_rpy"
            )
            self._report("extrinsic unknown", self.mount_problem)
            return False
        if self._mounted is None or not np.array_equal(extrinsic, self._mounted):
            try:
                self._estimator.mount(extrinsic)
            except SettingsError as error:
                self.mount_problem = f"no odometry with this mount of the camera: {error}"
                self._report("extrinsic bad", self.mount_problem)
                return False
            if self._mounted is None:
                # The pose so far used an assumed mount, and was not published.
                self._estimator.reset_pose()
            self._mounted = extrinsic
        self.mount_problem = ""
        return True

    def _note(self, estimate: Estimate) -> None:
        self.last = estimate
        if not estimate.scale.is_metric:
            self._report("scale unknown", self.unscaled)
        if estimate.quality.tracking == "first" and estimate.quality.reason:
            cause = _cause_of_reset(estimate.quality.reason)
            self._counters.reset(cause)
            if estimate.quality.reason.startswith(UNWANTED):
                return
            self._report(f"motion state reset ({cause})", estimate.quality.reason)


def _cause_of_reset(reason: str) -> str:
    """The reason without its numbers, so that equal causes are counted together."""
    words = reason.split()
    return " ".join(words[:3]) if len(words) > 3 else reason
