"""Fields of recorded messages, of ROS 1 and ROS 2 alike, as this project's types."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from depth_motion_ros.geometry.camera import Camera, is_given
from depth_motion_ros.sources.encodings import BitDepth, decode_compressed, decode_image

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_TYPE)


def pixels_of(message: Any, kind: str, bit_depth: BitDepth | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of an Image or CompressedImage. Raises EncodingError."""
    if kind == COMPRESSED_TYPE:
        return decode_compressed(message.data, message.format, bit_depth=bit_depth)
    return decode_image(
        message.data,
        int(message.width),
        int(message.height),
        int(message.step),
        message.encoding,
        bool(message.is_bigendian),
        bit_depth,
    )


def camera_of(message: Any, rectified: bool = False) -> Camera | None:
    """Camera of a CameraInfo, None where it is uncalibrated. Raises CameraError.

    rectified: the images are rectified already (see Camera.from_camera_info).
    """
    k, d, p = (_matrix(message, name) for name in "kdp")
    info = SimpleNamespace(
        k=k,
        d=d,
        p=p,
        width=message.width,
        height=message.height,
        distortion_model=message.distortion_model,
        roi=message.roi,
        binning_x=message.binning_x,
        binning_y=message.binning_y,
    )
    if not k[0] and not (rectified and is_given(p)):
        return None
    return Camera.from_camera_info(info, rectified=rectified)


def lacks_projection(message: Any) -> bool:
    """Whether a CameraInfo describes a lens but no rectified image (P = 0)."""
    return bool(np.any(_matrix(message, "d"))) and not is_given(_matrix(message, "p"))


def _matrix(message: Any, name: str) -> Any:
    # ROS 1 writes them in capitals.
    return getattr(message, name) if hasattr(message, name) else getattr(message, name.upper())


def speed_of(message: Any) -> float | None:
    """Speed in m/s of an Odometry's twist; negative where the robot drives backwards. None where it
    is not finite."""
    linear = message.twist.twist.linear
    speed = float(np.copysign(np.linalg.norm((linear.x, linear.y, linear.z)), linear.x))
    return speed if np.isfinite(speed) else None


def pose_of(message: Any) -> NDArray[np.float64] | None:
    """(4, 4) base to world of an Odometry's pose; None where it is not finite or no rotation."""
    position, turn = message.pose.pose.position, message.pose.pose.orientation
    quaternion = np.array((turn.x, turn.y, turn.z, turn.w))
    pose = np.eye(4)
    pose[:3, 3] = position.x, position.y, position.z
    # Not quite normalised is common and harmless; far from it is no rotation.
    if not np.isfinite(pose).all() or not 0.5 < np.linalg.norm(quaternion) < 2.0:
        return None
    pose[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    return pose
