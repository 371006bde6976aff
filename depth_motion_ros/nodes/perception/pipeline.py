"""Everything that exists between configure and clean-up: engine, estimator, worker, publishers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription
from std_msgs.msg import UInt8MultiArray

from depth_motion_ros.estimation.settings import (
    EstimatorSettings,
    depth_relative_std_of,
    unit_of,
)
from depth_motion_ros.models.find import UNTRAINED, find_weights
from depth_motion_ros.models.weights import Weights, WeightsError
from depth_motion_ros.nodes.perception.engine_slot import EngineSlot
from depth_motion_ros.nodes.perception.networks import EngineBuilder, EngineOptions
from depth_motion_ros.nodes.perception.outputs import OutputPublishers
from depth_motion_ros.nodes.perception.parameters import COMPRESSED, ESTIMATOR_PARAMETERS
from depth_motion_ros.nodes.perception.processor import (
    Extrinsic,
    FrameProcessor,
    InferredFrame,
    ReceivedImage,
    Report,
)
from depth_motion_ros.nodes.perception.weights_loader import WeightsLoader
from depth_motion_ros.nodes.ros.camera_info import CameraPairing, images_are_rectified
from depth_motion_ros.nodes.ros.camera_inputs import CameraInputs
from depth_motion_ros.nodes.ros.conversions import StreamDecoder, compressed_to_rgb, image_to_rgb
from depth_motion_ros.nodes.ros.diagnostics import FrameCounters
from depth_motion_ros.nodes.ros.messages import pose_from_message, stamp_from_message
from depth_motion_ros.nodes.ros.qos import LATCHED
from depth_motion_ros.nodes.ros.staged_worker import StagedWorker
from depth_motion_ros.nodes.ros.storage import HeldFiles
from depth_motion_ros.nodes.ros.transforms import (
    CameraTf,
    ExtrinsicFromTf,
    TfPublisher,
    base_from_optical,
)
from depth_motion_ros.nodes.weights_exchange.inbox import (
    WeightsInbox,
    default_adapted_path,
    hold_adapted,
    read_adapted,
)
from depth_motion_ros.nodes.weights_exchange.protocol import TOPIC
from depth_motion_ros.settings import LIVE, SettingsError, declared

_STOP_PATIENCE = 10.0  # s; several frames of the slowest engine
# Causes of a report that are bad messages, to be counted; the others are mere circumstances.
_BAD_INFO = ("camera_info bad", "camera_info contradicts image")

Config = Mapping[str, Any]


def estimator_settings(
    config: Config, metadata: Mapping[str, str] = MappingProxyType({})
) -> EstimatorSettings:
    """metadata: of the weights, which may state their unit and the error of their depth.

    Raises SettingsError where values contradict each other.
    """
    values = {name: config[name] for name in ESTIMATOR_PARAMETERS}
    values["depth_relative_std"] = values["depth_relative_std"] or depth_relative_std_of(metadata)
    mount = base_from_optical(config["camera_xyz"], config["camera_rpy"])
    return EstimatorSettings(base_from_camera=mount, unit=unit_of(metadata), **values)


def live_settings(config: Config, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Those of EstimatorSettings that may change between two frames."""
    settings = estimator_settings(config, metadata)
    live = (name for name, about in declared(EstimatorSettings).items() if about.changes == LIVE)
    return {name: getattr(settings, name) for name in live}


class Pipeline:
    """Made by configure, started and stopped by activate and deactivate, closed by clean-up.

    report: ``report(cause, message)``: a warning, logged once per cause.

    Raises WeightsError, EngineError, SettingsError or TransformsMissingError; each
    message says what to do.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: Config,
        counters: FrameCounters,
        report: Report,
        build: EngineBuilder,
    ) -> None:
        self._node = node
        self._config = config
        self._counters = counters
        self._report = report
        options = EngineOptions(
            *(config[name] for name in ("engine", "precision", "device", "threads")),
            *(config[name] for name in ("input_width", "input_height")),
        )
        self._files = HeldFiles()
        weights = self._first_weights()
        settings = estimator_settings(config, weights.metadata)
        if weights.version == UNTRAINED:
            node.get_logger().error(
                "THE NETWORK IS UNTRAINED: there is no weights file, so depth and motion mean "
                "nothing. Set the parameter weights to a .safetensors file"
            )
        with ExitStack() as undo:
            undo.callback(self._files.close)
            self._build(undo, settings, options, build, weights)
            self._undo = undo.pop_all()

    def _build(
        self,
        undo: ExitStack,
        settings: EstimatorSettings,
        options: EngineOptions,
        build: EngineBuilder,
        weights: Weights,
    ) -> None:
        """Make the parts. undo: collects their clean-up, for the case that a later one fails."""
        node, config = self._node, self._config
        self.engine = EngineSlot(build(options, weights))
        undo.callback(self.engine.close)
        rectified = images_are_rectified(node, config["rectify"], config["image_transport"])
        self.pairing = CameraPairing(self._report_info, rectified=rectified)
        tf = TfPublisher(node) if config["publish_tf"] else None
        if tf is not None:
            undo.callback(tf.close)
        camera_tf = None
        if config["publish_camera_tf"]:
            if config["use_tf_extrinsic"]:
                raise SettingsError(
                    "publish_camera_tf and use_tf_extrinsic contradict each other: TF cannot "
                    "give what it gets; set one to false"
                )
            camera_tf = CameraTf(node, config["base_frame"], settings.base_from_camera)
            undo.callback(camera_tf.close)
        self._from_tf = ExtrinsicFromTf(node) if config["use_tf_extrinsic"] else None
        if self._from_tf is not None:
            undo.callback(self._from_tf.close)
        self.outputs = OutputPublishers(
            node,
            config["odom_frame"],
            config["base_frame"],
            config["depth_encoding"],
            config["point_stride"],
            tf,
            camera_tf,
        )
        undo.callback(self.outputs.close)
        compressed = config["image_transport"] == COMPRESSED
        self.perception = FrameProcessor(
            self.engine,
            settings,
            self.outputs,
            self.pairing,
            self._extrinsic(settings),
            StreamDecoder(compressed_to_rgb if compressed else image_to_rgb),
            self._counters,
            self._report,
            camera_frame=config["camera_frame"],
        )
        self.worker: StagedWorker[ReceivedImage, InferredFrame] = StagedWorker(
            self.perception.infer, self.perception.complete, self._on_error
        )
        undo.callback(self.worker.close)
        loader = WeightsLoader(
            self.engine,
            weights,
            options,
            build,
            self._exchange,
        )
        undo.callback(loader.close)
        self.weights_inbox = WeightsInbox(
            loader, self.engine, self._counters, node.get_logger().info, self._report
        )
        self.inputs: CameraInputs | None = None
        self._weights: Subscription | None = None

    def read_weights(self) -> Weights:
        """Those that the parameters name, as they are on disk now."""
        return find_weights(self._config["weights"], self._config["architecture"])

    def _first_weights(self) -> Weights:
        """Adapted ones where the parameter use_adapted asks for them and there are any."""
        weights = self.read_weights()
        if not self._config["use_adapted"]:
            return weights
        path = self._adapted_path(weights)
        if not path.exists():
            self._node.get_logger().info(f"no adapted weights in {path} yet")
            return weights
        try:
            hold_adapted(path, self._files)
            return read_adapted(path, weights)
        except (WeightsError, OSError) as error:
            self._counters.bad("weights saved")
            self._report("adapted weights refused", str(error))
            return weights

    def _adapted_path(self, weights: Weights) -> Path:
        given = self._config["adapted_weights"]
        if given:
            return Path(given).expanduser()
        name = self._node.get_fully_qualified_name()
        return default_adapted_path(name, weights.config.architecture)

    def start(self) -> None:
        """Subscribe and start processing."""
        self.perception.reset("activated again")
        self.worker.start()
        self.inputs = CameraInputs(
            self._node,
            self._config["image_transport"] == COMPRESSED,
            self._config["qos"],
            self.pairing,
            self._offer,
            self._on_odometry,
            self._report,
        )
        self._weights = self._node.create_subscription(
            UInt8MultiArray, TOPIC, lambda message: self.weights_inbox.take(message.data), LATCHED
        )

    def stop(self) -> None:
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None
        if self._weights is not None:
            self._node.destroy_subscription(self._weights)
            self._weights = None
        if not self.worker.stop(_STOP_PATIENCE):
            self._node.get_logger().error(
                f"the engine is still busy with one frame after {_STOP_PATIENCE:g} s"
            )

    def close(self) -> None:
        self.stop()
        self._undo.close()

    def change(self, config: Config) -> None:
        """Adopt changed live parameters, from the next frame on."""
        self._config = config
        changes = live_settings(config, self.weights_inbox.in_use.metadata)
        encoding, stride = config["depth_encoding"], config["point_stride"]

        def adopt() -> None:
            self.perception.change_settings(**changes)
            self.outputs.depth_encoding, self.outputs.point_stride = encoding, stride

        self.worker.call(adopt)

    def reset_odometry(self) -> Future[None]:
        """The robot's pose becomes the origin of odom; the next frame counts as the first."""

        def reset() -> None:
            self.perception.estimator.reset_pose()
            self.perception.reset("asked for by ~/reset_odometry")

        return self.worker.call(reset)

    def reload_weights(self) -> Future[str]:
        """Read the weights file again; the future gives its version, or an error."""
        return self.weights_inbox.reload(self.read_weights)

    def save_weights(self) -> tuple[Future[str], Path]:
        """Write the adapted weights in use: the future gives their version, or an error."""
        path = self._adapted_path(self.weights_inbox.in_use)
        return self.weights_inbox.save(path, self._files), path

    def _exchange(self, exchange: Callable[[], None], weights: Weights) -> Future[None]:
        stated = self._config["depth_relative_std"] or depth_relative_std_of(weights.metadata)
        return self.worker.call_first(lambda: self.perception.exchange_engine(exchange, stated))

    def _offer(self, message: Any) -> None:
        received = ReceivedImage(message, time.perf_counter())
        self._counters.receive()
        self.worker.offer(received)

    def _on_odometry(self, message: Odometry) -> None:
        try:
            pose = pose_from_message(message.pose.pose)
        except ValueError as error:
            self._counters.bad("odom_in")
            self._report("odom_in bad", str(error))
            return
        stamp = stamp_from_message(message.header.stamp)
        self.worker.call_second(lambda: self.perception.estimator.add_odometry(stamp, pose))

    def _on_error(self, error: Exception) -> None:
        """A defect of this program must not end it: the next frame may go well."""
        if not self._node.context.ok():
            return
        self._counters.drop("internal error")
        self._report(f"internal error ({type(error).__name__})", repr(error))

    def _report_info(self, cause: str, message: str) -> None:
        if cause in _BAD_INFO:
            self._counters.bad(cause)
        self._report(cause, message)

    def _extrinsic(self, settings: EstimatorSettings) -> Extrinsic:
        lookup, base = self._from_tf, self._config["base_frame"]
        if lookup is None:
            return lambda frame_id: settings.base_from_camera
        return lambda frame_id: lookup.base_from_optical(base, frame_id)
