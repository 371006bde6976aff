"""Reads the demo's bag back: messages by topic, joined by the stamp of the image they speak of."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from scipy.spatial.transform import Rotation

from depth_motion_ros.geometry import se3
from depth_motion_ros.sources.encodings import decode_image

IMAGE, CAMERA_INFO = "image", "camera_info"
DEPTH, DEPTH_INFO, CLOUD = "depth/image", "depth/camera_info", "depth/points"
DEPTH_STD = "depth/std"
ODOMETRY, TRUTH, DIAGNOSTICS = "odom", "pose_truth", "/diagnostics"
FLOW, FLOW_CLOUD = "object_flow/image", "object_flow/points"
FLOW_COLOUR, MARKERS = "object_flow/image_color", "object_flow/markers"

# What the demo records: inputs, what the camera knows of the truth, and every output.
TOPICS = {
    IMAGE: "sensor_msgs/msg/Image",
    CAMERA_INFO: "sensor_msgs/msg/CameraInfo",
    "odom_in": "nav_msgs/msg/Odometry",
    "depth_truth/image": "sensor_msgs/msg/Image",
    TRUTH: "nav_msgs/msg/Odometry",
    DEPTH: "sensor_msgs/msg/Image",
    DEPTH_STD: "sensor_msgs/msg/Image",
    DEPTH_INFO: "sensor_msgs/msg/CameraInfo",
    CLOUD: "sensor_msgs/msg/PointCloud2",
    ODOMETRY: "nav_msgs/msg/Odometry",
    FLOW: "sensor_msgs/msg/Image",
    FLOW_CLOUD: "sensor_msgs/msg/PointCloud2",
    FLOW_COLOUR: "sensor_msgs/msg/Image",
    MARKERS: "visualization_msgs/msg/MarkerArray",
    "camera_info_estimated": "sensor_msgs/msg/CameraInfo",
    DIAGNOSTICS: "diagnostic_msgs/msg/DiagnosticArray",
}
WITHOUT_HEADER = {MARKERS}
OUTPUTS = (DEPTH, CLOUD, ODOMETRY, FLOW, FLOW_CLOUD, FLOW_COLOUR)


class DemoRecording:
    """An index of a bag and access to its messages.

    received: topic → {stamp in ns → time of receipt in ns}, in order of receipt. Topics without a
        header are indexed by the time of receipt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._types = get_typestore(Stores.LATEST)
        self.received: dict[str, dict[int, int]] = defaultdict(dict)
        with Reader(path) as reader:
            for connection, time, data in reader.messages():
                topic = self._short(connection.topic)
                if topic in TOPICS:
                    stamp = time if topic in WITHOUT_HEADER else stamp_of(data)
                    self.received[topic][stamp] = time

    def messages(self, *topics: str) -> Iterator[tuple[str, int, Any]]:
        """(topic, stamp in ns, message) in order of receipt, read anew at every call."""
        with Reader(self.path) as reader:
            wanted = [c for c in reader.connections if self._short(c.topic) in topics]
            # Without this guard rosbags would take "none of them" for "all of them".
            if not wanted:
                return
            for connection, time, data in reader.messages(wanted):
                topic = self._short(connection.topic)
                stamp = time if topic in WITHOUT_HEADER else stamp_of(data)
                yield topic, stamp, self._types.deserialize_cdr(data, connection.msgtype)

    def at(self, stamp: int, *topics: str) -> dict[str, Any]:
        """The messages of these topics that bear a stamp."""
        return {topic: message for topic, s, message in self.messages(*topics) if s == stamp}

    def last(self, topic: str) -> Any | None:
        """The newest message of a topic."""
        newest = None
        for _, _, message in self.messages(topic):
            newest = message
        return newest

    @staticmethod
    def _short(topic: str) -> str:
        return topic if topic == DIAGNOSTICS else topic.lstrip("/")


def stamp_of(data: bytes | memoryview) -> int:
    """ns of the header with which a serialised (CDR) message begins."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def pixels(message: Any) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB of a colour Image; (H, W) or (H, W, 3) float32 of 32FC1 and 32FC3."""
    shape = (message.height, message.width)
    if message.encoding in ("32FC1", "32FC3"):
        channels = int(message.encoding[-1])
        values = np.frombuffer(message.data, "<f4").reshape(*shape, channels)
        return values[..., 0] if channels == 1 else values
    return decode_image(
        message.data, shape[1], shape[0], message.step, message.encoding, message.is_bigendian
    )


def points(message: Any) -> NDArray[Any]:
    """(N,) structured array of a PointCloud2 whose fields are all 4 bytes wide floats."""
    dtype = np.dtype(
        {
            "names": [field.name for field in message.fields],
            "formats": ["<f4"] * len(message.fields),
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.point_step,
        }
    )
    return np.frombuffer(message.data, dtype)


def poses(recording: DemoRecording, topic: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stamps (N,) ns and poses (N, 4, 4), child to parent frame, of an Odometry topic."""
    stamps, found = [], []
    for _, stamp, message in recording.messages(topic):
        pose = message.pose.pose
        turn, shift = pose.orientation, pose.position
        rotation = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
        transform = se3.transform(rotation, np.array([shift.x, shift.y, shift.z]))
        stamps.append(stamp)
        found.append(transform)
    return np.array(stamps, np.int64), np.array(found).reshape(-1, 4, 4)
