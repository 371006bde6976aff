"""A camera for a running node, and a network small enough to be quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import weights_of
from depth_motion_ros.nodes.ros import messages

if TYPE_CHECKING:
    from support.ros_harness import Ros

WIDTH, HEIGHT = 96, 64  # of the camera
NET_WIDTH, NET_HEIGHT = 64, 32  # of the network: the smallest that both of its halves take
CAMERA = Camera.from_field_of_view(WIDTH, HEIGHT, 1.2)
PERIOD = 33_000_000  # ns
NAMESPACE = "/robot"
OUTPUTS = {
    "depth/image": Image,
    "depth/std": Image,
    "depth/camera_info": CameraInfo,
    "depth/points": PointCloud2,
    "odom": Odometry,
    "object_flow/image": Image,
    "object_flow/points": PointCloud2,
    "object_flow/image_color": Image,
    "object_flow/markers": MarkerArray,
    "camera_info_estimated": CameraInfo,
}


def make_weights(path: Path, version: str, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    network = DepthMotionNet(NetworkConfig("lite", NET_WIDTH, NET_HEIGHT))
    weights_of(network, version=version).to_file(path)
    return path


class FakeCamera:
    """Publishes one texture again and again: a camera at rest, of which odometry is certain.

    is_noisy: each picture has another little noise: as with a real camera, none is the same as the
        one before.
    """

    def __init__(self, ros: Ros, start: int = 1_700_000_000_000_000_123) -> None:
        self.ros = ros
        self.stamp = start
        self.frame_id = "front_optical"
        self.pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        self.is_noisy, self._noise = True, 0
        self.images = self.publisher(Image, "front/image", ReliabilityPolicy.RELIABLE)
        self.infos = self.publisher(CameraInfo, "front/camera_info", ReliabilityPolicy.RELIABLE)

    def publisher(self, kind: type, topic: str, reliability: ReliabilityPolicy) -> Any:
        qos = QoSProfile(depth=10, reliability=reliability)
        return self.ros.node.create_publisher(kind, f"{NAMESPACE}/{topic}", qos)

    def header(self, advance: int = PERIOD) -> Header:
        self.stamp += advance
        return Header(stamp=messages.stamp_to_message(self.stamp), frame_id=self.frame_id)

    def send(self, advance: int = PERIOD, **changes: Any) -> int:
        """One image, with fields changed; its stamp."""
        self._noise = (self._noise + self.is_noisy) % 8
        pixels = self.pixels.copy()
        pixels[: HEIGHT // 2, : WIDTH // 2] ^= np.uint8(self._noise)
        message = messages.rgb_image(self.header(advance), pixels)
        for name, value in changes.items():
            setattr(message, name, value)
        self.images.publish(message)
        return self.stamp

    def send_info(self, camera: Camera = CAMERA, **changes: Any) -> None:
        stamp = messages.stamp_to_message(self.stamp)
        info = messages.camera_info(Header(stamp=stamp, frame_id=self.frame_id), camera)
        for name, value in changes.items():
            setattr(info, name, value)
        self.infos.publish(info)
