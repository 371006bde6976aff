"""What the node hears while it is active."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import UInt8MultiArray

from depth_motion_ros.nodes.perception.parameters import COMPRESSED
from depth_motion_ros.nodes.perception.processor import ReceivedImage, Report
from depth_motion_ros.nodes.ros.camera_info import CameraPairing
from depth_motion_ros.nodes.ros.messages import stamp_from_message
from depth_motion_ros.nodes.ros.qos import LATCHED, InputSubscription
from depth_motion_ros.nodes.weights_exchange.protocol import TOPIC


class Inputs:
    """Subscriptions to the image, its CameraInfo, another odometry and new weights.

    offer: gets every image. on_odometry: what odom_in says. on_weights: the content of a weights
        file.
    """

    def __init__(
        self,
        node: Node,
        transport: str,
        reliability: str,
        pairing: CameraPairing,
        offer: Callable[[ReceivedImage], None],
        on_odometry: Callable[[Odometry], None],
        on_weights: Callable[[array[int]], None],
        report: Report,
    ) -> None:
        self._node = node
        compressed = transport == COMPRESSED
        self._image = InputSubscription(
            node,
            CompressedImage if compressed else Image,
            "image/compressed" if compressed else "image",
            lambda message: offer(ReceivedImage(message, time.perf_counter())),
            reliability,
            report,
        )
        self._info = InputSubscription(
            node,
            CameraInfo,
            "camera_info",
            lambda info: pairing.set(info, stamp_from_message(info.header.stamp)),
            reliability,
            report,
        )
        self._odometry = InputSubscription(
            node, Odometry, "odom_in", on_odometry, reliability, report
        )
        self._weights = node.create_subscription(
            UInt8MultiArray, TOPIC, lambda message: on_weights(message.data), LATCHED
        )

    @property
    def image_topic(self) -> str:
        return self._image.topic

    def follow(self) -> None:
        """Adopt the reliability that the publishers offer now."""
        self._image.follow()
        self._info.follow()
        self._odometry.follow()

    def values(self) -> dict[str, str]:
        """For the diagnostics."""
        return {"image_topic": self._image.topic, "image_qos": self._image.reliability}

    def close(self) -> None:
        self._image.close()
        self._info.close()
        self._odometry.close()
        self._node.destroy_subscription(self._weights)
