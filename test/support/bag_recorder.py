"""Records small bags of ROS 2 and ROS 1 for the tests, without ROS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

START = 1_700_000_000_000_000_000
MS = 1_000_000
K = (50.0, 0.0, 31.5, 0.0, 51.0, 23.5, 0.0, 0.0, 1.0)


class Recorder:
    """Writes a bag of either generation: one method a message type."""

    def __init__(self, path: Path, kind: str, compression: str | None = None) -> None:
        self.ros1 = kind == "bag"
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        if self.ros1:
            self.writer: Any = Writer1(path)
        else:
            plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
            self.writer = Writer2(path, version=9, storage_plugin=plugin)
        if compression is not None:
            mode = CompressionMode[compression]
            self.writer.set_compression(mode, CompressionFormat.ZSTD)
        self.connections: dict[tuple[str, str], Any] = {}
        self.writer.open()

    def close(self) -> None:
        self.writer.close()

    def message(self, kind: str, **fields: Any) -> Any:
        return self.store.types[kind](**fields)

    def header(self, stamp: int) -> Any:
        time = self.message(
            "builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9
        )
        extra = {"seq": 0} if self.ros1 else {}
        return self.message("std_msgs/msg/Header", stamp=time, frame_id="camera", **extra)

    def write(self, topic: str, recorded: int, message: Any) -> None:
        serialise = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        self.write_raw(
            topic, message.__msgtype__, recorded, serialise(message, message.__msgtype__)
        )

    def write_raw(self, topic: str, kind: str, recorded: int, raw: Any) -> None:
        key = topic, kind
        if key not in self.connections:
            self.connections[key] = self.writer.add_connection(topic, kind, typestore=self.store)
        self.writer.write(self.connections[key], recorded, raw)

    def text(self, topic: str, recorded: int) -> None:
        self.write(topic, recorded, self.message("std_msgs/msg/String", data="hello"))

    def image(
        self,
        topic: str,
        stamp: int,
        image: np.ndarray,
        encoding: str = "rgb8",
        recorded: int | None = None,
    ) -> None:
        """recorded: a little after the stamp unless given."""
        data = np.ascontiguousarray(image).view(np.uint8).reshape(-1)
        message = self.message(
            "sensor_msgs/msg/Image",
            header=self.header(stamp),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=data.size // image.shape[0],
            data=data,
        )
        self.write(topic, (stamp or START) + 7 * MS if recorded is None else recorded, message)

    def jpeg(self, topic: str, stamp: int, data: bytes) -> None:
        message = self.message(
            "sensor_msgs/msg/CompressedImage",
            header=self.header(stamp),
            format="jpeg",
            data=np.frombuffer(data, np.uint8),
        )
        self.write(topic, stamp + 7 * MS, message)

    def info(
        self,
        topic: str,
        stamp: int,
        k: tuple[float, ...] = K,
        d: tuple[float, ...] = (0.1, 0, 0, 0, 0),
        p: tuple[float, ...] = (0.0,) * 12,
        model: str = "plumb_bob",
        **size: int,
    ) -> None:
        roi = self.message(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        )
        names = {"d": d, "k": k, "r": np.eye(3).ravel(), "p": p}
        matrices = {
            name.upper() if self.ros1 else name: np.array(values, np.float64)
            for name, values in names.items()
        }
        message = self.message(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(stamp),
            height=size.get("height", 48),
            width=size.get("width", 64),
            distortion_model=model,
            binning_x=0,
            binning_y=0,
            roi=roi,
            **matrices,
        )
        self.write(topic, stamp + 8 * MS, message)

    def odometry(
        self,
        topic: str,
        stamp: int,
        speed: float,
        x: float,
        delay: int = 0,
        turn: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0),
        recorded: int | None = None,
    ) -> None:
        """turn: the orientation as x, y, z, w."""
        vector = "geometry_msgs/msg/Vector3"
        zero = self.message(vector, x=0.0, y=0.0, z=0.0)
        twist = self.message(
            "geometry_msgs/msg/Twist",
            linear=self.message(vector, x=speed, y=0.0, z=0.0),
            angular=zero,
        )
        pose = self.message(
            "geometry_msgs/msg/Pose",
            position=self.message("geometry_msgs/msg/Point", x=x, y=0.0, z=0.0),
            orientation=self.message(
                "geometry_msgs/msg/Quaternion", **dict(zip("xyzw", turn, strict=True))
            ),
        )
        covariance = np.zeros(36)
        message = self.message(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp),
            child_frame_id="base_link",
            pose=self.message(
                "geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance
            ),
            twist=self.message(
                "geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=covariance
            ),
        )
        self.write(topic, stamp + delay if recorded is None else recorded, message)


def picture(index: int) -> np.ndarray:
    image = np.full((48, 64, 3), 20 * index, np.uint8)
    image[..., 2] = 250
    return image


def record(
    path: Path, kind: str, script: Callable[[Recorder], None], compression: str | None = None
) -> Path:
    if kind == "bag":
        path = path.with_suffix(".bag")
    recorder = Recorder(path, kind, compression)
    script(recorder)
    recorder.close()
    return path
