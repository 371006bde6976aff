"""What the learner hears while it is enabled: the image, its CameraInfo and odometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_motion_ros.nodes.perception.parameters import COMPRESSED
from depth_motion_ros.nodes.ros.camera_info import CameraPairing
from depth_motion_ros.nodes.ros.messages import stamp_from_message
from depth_motion_ros.nodes.ros.qos import InputSubscription


class AdaptationInputs:
    """offer: gets every image message. on_odometry: what odom_in says."""

    def __init__(
        self,
        node: Node,
        transport: str,
        reliability: str,
        pairing: CameraPairing,
        offer: Callable[[Any], None],
        on_odometry: Callable[[Odometry], None],
        report: Callable[[str, str], None],
    ) -> None:
        compressed = transport == COMPRESSED
        self._image = InputSubscription(
            node,
            CompressedImage if compressed else Image,
            "image/compressed" if compressed else "image",
            offer,
            reliability,
            report,
        )
        info = InputSubscription(
            node,
            CameraInfo,
            "camera_info",
            lambda info: pairing.set(info, stamp_from_message(info.header.stamp)),
            reliability,
            report,
        )
        odometry = InputSubscription(node, Odometry, "odom_in", on_odometry, reliability, report)
        self._all = (self._image, info, odometry)

    @property
    def image_topic(self) -> str:
        return self._image.topic

    def follow(self) -> None:
        """Adopt the reliability that the publishers offer now."""
        for subscription in self._all:
            subscription.follow()

    def close(self) -> None:
        for subscription in self._all:
            subscription.close()
