"""Inputs of both nodes from camera and robot: the image, its CameraInfo and odometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_motion_ros.nodes.ros.camera_info import CameraPairing
from depth_motion_ros.nodes.ros.messages import stamp_from_message
from depth_motion_ros.nodes.ros.qos import InputSubscription


class CameraInputs:
    """offer: gets every image message. on_odometry: gets what odom_in says.

    compressed: subscribe to ``image/compressed``. pairing: gets CameraInfo.
    """

    def __init__(
        self,
        node: Node,
        compressed: bool,
        reliability: str,
        pairing: CameraPairing,
        offer: Callable[[Any], None],
        on_odometry: Callable[[Odometry], None],
        report: Callable[[str, str], None],
    ) -> None:
        def on_info(info: CameraInfo) -> None:
            pairing.set(info, stamp_from_message(info.header.stamp))

        def subscribe(kind: Any, topic: str, callback: Callable[[Any], None]) -> InputSubscription:
            return InputSubscription(node, kind, topic, callback, reliability, report)

        if compressed:
            self._image = subscribe(CompressedImage, "image/compressed", offer)
        else:
            self._image = subscribe(Image, "image", offer)
        self._all = (
            self._image,
            subscribe(CameraInfo, "camera_info", on_info),
            subscribe(Odometry, "odom_in", on_odometry),
        )

    @property
    def image_topic(self) -> str:
        return self._image.topic

    def follow(self) -> None:
        """Adopt the reliability that the publishers offer now."""
        for subscription in self._all:
            subscription.follow()

    def values(self) -> dict[str, str]:
        """For the diagnostics."""
        return {"image_topic": self._image.topic, "image_qos": self._image.reliability}

    def close(self) -> None:
        for subscription in self._all:
            subscription.close()
