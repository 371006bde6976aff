"""adaptation_node: learns from the camera of depth_motion_node, and publishes weights for it.

A process of its own, also on another computer. Perception needs nothing of it: whenever it ends,
depth_motion_node continues with the weights that it has.
"""

from __future__ import annotations

import os
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import cv2
import torch
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.node import Node
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

from depth_motion_ros.adaptation.budget import Budget
from depth_motion_ros.adaptation.errors import AdaptationError
from depth_motion_ros.adaptation.progress import AdaptationInterruptedError, watched
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.models.find import UNTRAINED, find_weights
from depth_motion_ros.models.weights import Weights, WeightsError
from depth_motion_ros.nodes.adaptation.curves import LearningCurves
from depth_motion_ros.nodes.adaptation.learning import (
    AdapterBuilder,
    AdapterWorker,
    Replay,
    build_adapter,
)
from depth_motion_ros.nodes.adaptation.observations import (
    CameraOdometry,
    ObservationBuilder,
    RateLimiter,
)
from depth_motion_ros.nodes.adaptation.parameters import ADAPTATION_PARAMETERS, SETTINGS
from depth_motion_ros.nodes.adaptation.state import StateFolder, default_folder
from depth_motion_ros.nodes.adaptation.status import AdaptationCounters, learner_values, level_of
from depth_motion_ros.nodes.perception.parameters import COMPRESSED
from depth_motion_ros.nodes.ros.camera_info import CameraPairing, images_are_rectified
from depth_motion_ros.nodes.ros.camera_inputs import CameraInputs
from depth_motion_ros.nodes.ros.conversions import (
    BadImageError,
    StreamDecoder,
    compressed_to_rgb,
    image_to_rgb,
)
from depth_motion_ros.nodes.ros.diagnostics import OncePerCause, diagnostic_array
from depth_motion_ros.nodes.ros.messages import pose_from_message, stamp_from_message
from depth_motion_ros.nodes.ros.parameters import ParameterError, ParameterServer
from depth_motion_ros.nodes.ros.qos import LATCHED
from depth_motion_ros.nodes.ros.shutdown import run_node
from depth_motion_ros.nodes.ros.storage import file_name_of
from depth_motion_ros.nodes.ros.transforms import base_from_optical
from depth_motion_ros.nodes.ros.worker import LatestWorker
from depth_motion_ros.nodes.weights_exchange.protocol import TOPIC
from depth_motion_ros.settings import SettingsError

_FOLLOW_PERIOD = 0.5  # s between two looks at what the publishers offer
_TELL_EVERY = 5.0  # s between two lines about how far the preparation is
_ANSWER = 30.0  # s; a step in hand is finished first
_STOP_PATIENCE = 10.0  # s


class AdaptationNode(Node):
    """build: makes the adapter, so that a test can give it another.

    Raises ParameterError when it cannot start; the message says why.
    """

    def __init__(self, build: AdapterBuilder = build_adapter) -> None:
        super().__init__("adaptation")
        self._config = ParameterServer(
            self, ADAPTATION_PARAMETERS, can_configure=lambda: False, on_change=lambda _: None
        )
        self._build = build
        self._report_once = OncePerCause(self.get_logger().warning)
        self._counters = AdaptationCounters()
        self._settings, self._base = self._read()
        self._folder = self._open_folder()
        directory = self._config["tensorboard"]
        # Two learners with one parameter file would draw one curve.
        curves = Path(directory).expanduser() / file_name_of(self.get_fully_qualified_name())
        self._curves = LearningCurves(curves) if directory else None
        self._budget = Budget(self._settings.max_cpu_fraction, self._settings.max_rate)
        rectified = images_are_rectified(
            self, self._config["rectify"], self._config["image_transport"]
        )
        self._pairing = CameraPairing(self._report, rectified=rectified)
        self._odometry = CameraOdometry(
            base_from_optical(self._config["camera_xyz"], self._config["camera_rpy"])
        )
        compressed = self._config["image_transport"] == COMPRESSED
        self._eye = ObservationBuilder(
            StreamDecoder(compressed_to_rgb if compressed else image_to_rgb),
            self._pairing,
            self._odometry,
            self._report,
        )
        self._inputs: CameraInputs | None = None
        self._image_topic = ""
        self._learning: AdapterWorker | None = None
        self._problem = ""
        self._preparation = ""
        self._told_at = 0.0
        self._closing = False
        self._pace = RateLimiter(self._config["frame_rate"], self._counters.leave_out)
        self._worker: LatestWorker[Any] = LatestWorker(self._serve, self._on_error, "learner")
        self._weights = self.create_publisher(UInt8MultiArray, TOPIC, LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: with use_sim_time nothing would be published until the first /clock.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self._config["diagnostics_period"], self._diagnose, clock=steady)
        self.create_timer(_FOLLOW_PERIOD, self._follow, clock=steady)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/save", self._on_save)
        self.create_service(Trigger, "~/rollback", self._on_rollback)

    def begin(self) -> None:
        torch.set_num_threads(self._config["threads"])
        # Flow and triangulation would otherwise take every core of the machine for a moment.
        cv2.setNumThreads(self._config["threads"])
        stand_back(self._config["nice"])
        self._worker.start()
        self._worker.call(self._prepare).add_done_callback(self._on_prepared)
        if self._config["enabled"]:
            self._listen()

    def close(self) -> int:
        """Save the state and end the learner. Returns the exit status."""
        self._closing = True
        self._deafen()
        if self._learning is not None:
            self._learning.stop()
        if self._worker.stop(_STOP_PATIENCE) and self._learning is not None:
            self._learning.close()
        return 0

    def _read(self) -> tuple[AdaptationSettings, Weights]:
        try:
            settings = AdaptationSettings(**{p.name: self._config[p.name] for p in SETTINGS})
            weights = find_weights(self._config["weights"], self._config["architecture"])
        except (SettingsError, WeightsError) as error:
            raise ParameterError(str(error)) from error
        if weights.version == UNTRAINED:
            raise ParameterError(
                "there are no weights to adapt: set the parameter weights to the file that "
                "depth_motion_node was given"
            )
        return settings, weights

    def _open_folder(self) -> StateFolder | None:
        if not self._config["persist"]:
            return None
        given = self._config["state_folder"]
        name = self.get_fully_qualified_name()
        return StateFolder(Path(given).expanduser() if given else default_folder(name, self._base))

    # On the learner's thread.

    def _prepare(self) -> None:
        with watched(self._on_progress):
            self._make_learning()

    def _on_progress(self, work: str, done: int, total: int) -> None:
        if self._closing:
            raise AdaptationInterruptedError(f"stopped after {done} of {total} in {work}")
        self._preparation = f"{work}: {done} of {total}"
        if time.monotonic() - self._told_at >= _TELL_EVERY:
            self._told_at = time.monotonic()
            self.get_logger().info(f"preparing: {self._preparation}")

    def _make_learning(self) -> None:
        replay = Replay(self._config["replay_data"], self._config["replay_pairs"])
        learning = AdapterWorker(
            self._build(self._base, self._settings, replay, self._budget),
            self._base,
            self._budget,
            self._folder,
            self._config["save_period"],
            self._curves,
            self._publish,
            self.get_logger().info,
            self._report,
        )
        learning.begin()
        self._learning = learning

    def _on_prepared(self, prepared: Any) -> None:
        error = prepared.exception()
        if error is not None and not isinstance(error, AdaptationInterruptedError):
            self._problem = f"cannot learn: {error}"
            self.get_logger().error(self._problem)

    def _serve(self, message: Any) -> None:
        if self._learning is None or self._inputs is None:
            return
        try:
            seen = self._eye.see(message)
        except BadImageError as error:
            self._counters.bad(error.cause)
            self._report(f"bad image ({error.cause})", str(error))
            return
        self._learning.serve(seen)

    def _publish(self, sealed: Weights) -> None:
        self._weights.publish(UInt8MultiArray(data=array("B", sealed.to_bytes())))
        self._counters.delivered += 1

    def _on_error(self, error: Exception) -> None:
        """A defect of this program must not end it: the next frame may go well."""
        if self.context.ok():
            self._counters.bad("internal error")
            self._report(f"internal error ({type(error).__name__})", repr(error))

    def _report(self, cause: str, message: str) -> None:
        self._report_once(cause, message)

    # On the executor's thread.

    def _listen(self) -> None:
        if self._inputs is not None:
            return
        self._inputs = CameraInputs(
            self,
            self._config["image_transport"] == COMPRESSED,
            self._config["qos"],
            self._pairing,
            self._offer,
            self._on_odometry,
            self._report,
        )
        self._image_topic = self._inputs.image_topic

    def _deafen(self) -> None:
        inputs, self._inputs = self._inputs, None
        if inputs is not None:
            inputs.close()

    def _offer(self, message: Any) -> None:
        self._counters.received += 1
        if self._pace.takes(stamp_from_message(message.header.stamp)):
            self._worker.offer(message)
        else:
            self._counters.between += 1

    def _on_odometry(self, message: Odometry) -> None:
        try:
            pose = pose_from_message(message.pose.pose)
        except ValueError as error:
            self._counters.bad("odom_in")
            self._report("odom_in bad", str(error))
            return
        self._odometry.add(stamp_from_message(message.header.stamp), pose)

    def _follow(self) -> None:
        if self._inputs is not None:
            self._inputs.follow()

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if request.data:
            self._listen()
            if self._learning is not None:
                self._worker.call(self._learning.resume)
        else:
            self._deafen()
        response.success = not self._problem
        response.message = self._problem or ("learning" if request.data else "not learning")
        return response

    def _on_save(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._answer(response, lambda learning: f"the state is in {learning.save()}")

    def _on_rollback(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        return self._answer(
            response, lambda learning: f"weights {learning.rollback()!r} are published"
        )

    def _answer(self, response: Trigger.Response, work: Any) -> Trigger.Response:
        learning = self._learning
        if learning is None:
            waiting = f"not ready yet: {self._preparation or 'preparing'}"
            response.success, response.message = False, self._problem or waiting
            return response
        try:
            # Nothing else of this node is urgent: images that come meanwhile may be lost.
            response.message = self._worker.call(lambda: work(learning)).result(_ANSWER)
            response.success = True
        except (AdaptationError, TimeoutError) as error:
            response.success, response.message = False, str(error) or "the learner is busy"
        return response

    def _diagnose(self) -> None:
        status = self._learning.status if self._learning is not None else None
        enabled = self._inputs is not None
        level, message = level_of(
            enabled,
            self._problem,
            status,
            self._counters.silence(),
            self._image_topic,
            self._preparation,
        )
        values = {
            "enabled": str(enabled).lower(),
            "image_topic": self._image_topic,
            "dropped": str(self._worker.dropped),
            **self._counters.values(),
            **(learner_values(status) if status is not None else {}),
        }
        name = self.get_fully_qualified_name()
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(
            diagnostic_array(stamp, f"{name}: adaptation", name, level, message, values)
        )


def stand_back(nice: int) -> None:
    """Give all threads of this process the priority ``nice``, where they have not less already."""
    for thread in os.listdir("/proc/self/task"):
        try:
            if os.getpriority(os.PRIO_PROCESS, int(thread)) < nice:
                os.setpriority(os.PRIO_PROCESS, int(thread), nice)
        except ProcessLookupError:
            continue  # ended meanwhile


def main(args: list[str] | None = None) -> int:
    """The ``adaptation_node`` command."""
    return run_node(AdaptationNode, AdaptationNode.begin, AdaptationNode.close, args)


if __name__ == "__main__":
    sys.exit(main())
