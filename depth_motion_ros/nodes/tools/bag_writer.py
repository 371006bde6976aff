"""A rosbag2 (mcap) written in the background, with the transforms that viewers need."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from scipy.spatial.transform import Rotation

from depth_motion_ros.nodes.ros.transforms import base_from_optical

Write = Callable[[int, bytes], None]

# RMW_DURATION_INFINITE
FOREVER = QosTime(9223372036, 854775807)
TF, TF_STATIC, TF_TYPE = "/tf", "/tf_static", "tf2_msgs/msg/TFMessage"


class BagWriter:
    """Writes messages from a thread of its own, so that the caller never waits for the disk.

    Raises rosbags' WriterError when ``path`` exists.
    """

    def __init__(self, path: Path) -> None:
        self.types = get_typestore(Stores.LATEST)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._waiting: queue.SimpleQueue[tuple[Connection, int, bytes] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        # Adding a topic and writing a message both append to the chunk in memory.
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="bag writer")
        self._thread.start()

    def add(self, topic: str, message_type: str, qos: QoSProfile) -> Write:
        """A function that writes (time in ns, serialised message) of a new topic."""
        with self._lock:
            connection = self._writer.add_connection(
                topic, message_type, typestore=self.types, offered_qos_profiles=[_bag_qos(qos)]
            )
        return lambda time, data: self._waiting.put((connection, time, data))

    def close(self) -> None:
        """Write what waits, then the index. Raises what writing raised."""
        self._waiting.put(None)
        self._thread.join()
        self._writer.close()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    with self._lock:
                        self._writer.write(*item)
                except Exception as error:
                    self._error = error


class TransformWriter:
    """Adds /tf and /tf_static, made from the odometry and the mount, to a bag.

    tf2_msgs has no wheel, so the node of such a home cannot publish them; RViz and Foxglove need
    them to place the cloud.

    camera_xyz (m), camera_rpy (rad): the node's parameters of these names.
    """

    def __init__(
        self, bag: BagWriter, camera_xyz: Sequence[float], camera_rpy: Sequence[float]
    ) -> None:
        self._types = bag.types.types
        self._serialise = bag.types.serialize_cdr
        self._deserialise = bag.types.deserialize_cdr
        self._mount = base_from_optical(camera_xyz, camera_rpy)
        reliable, latched = ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL
        self._write = bag.add(TF, TF_TYPE, QoSProfile(depth=100, reliability=reliable))
        self._write_static = bag.add(
            TF_STATIC, TF_TYPE, QoSProfile(depth=1, reliability=reliable, durability=latched)
        )
        self._base: str | None = None
        self._mounted: set[str] = set()

    def odometry(self, time: int, data: bytes) -> None:
        """A serialised nav_msgs/Odometry."""
        message: Any = self._deserialise(data, "nav_msgs/msg/Odometry")
        self._base = message.child_frame_id
        pose = message.pose.pose
        shift, turn = pose.position, pose.orientation
        self._write(
            time,
            self._message(
                message.header,
                message.child_frame_id,
                np.array([shift.x, shift.y, shift.z]),
                np.array([turn.x, turn.y, turn.z, turn.w]),
            ),
        )

    def camera(self, time: int, data: bytes) -> None:
        """A serialised sensor_msgs/CameraInfo: its frame is fixed to the base, once."""
        header: Any = self._deserialise(data, "sensor_msgs/msg/CameraInfo").header  # type: ignore[attr-defined]
        if self._base is None or header.frame_id in self._mounted:
            return
        self._mounted.add(header.frame_id)
        parent = self._types["std_msgs/msg/Header"](stamp=header.stamp, frame_id=self._base)
        turn = Rotation.from_matrix(self._mount[:3, :3]).as_quat()
        self._write_static(time, self._message(parent, header.frame_id, self._mount[:3, 3], turn))

    def _message(
        self, header: Any, child: str, shift: NDArray[np.float64], turn: NDArray[np.float64]
    ) -> bytes:
        kinds = self._types
        stamped = kinds["geometry_msgs/msg/TransformStamped"](
            header=header,
            child_frame_id=child,
            transform=kinds["geometry_msgs/msg/Transform"](
                translation=kinds["geometry_msgs/msg/Vector3"](*map(float, shift)),
                rotation=kinds["geometry_msgs/msg/Quaternion"](*map(float, turn)),
            ),
        )
        return bytes(self._serialise(kinds[TF_TYPE](transforms=[stamped]), TF_TYPE))


def _bag_qos(qos: QoSProfile) -> Qos:
    """What the bag says about a topic, so that players offer it the same way."""
    return Qos(
        QosHistory.KEEP_LAST,
        qos.depth,
        # The numbers of both enumerations are those of the middleware.
        QosReliability(int(qos.reliability)),
        QosDurability(int(qos.durability)),
        FOREVER,
        FOREVER,
        QosLiveliness.AUTOMATIC,
        FOREVER,
        False,
    )
