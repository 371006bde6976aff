"""Messages from an Estimate, written with one copy each.

Message fields of bytes take an ``array.array`` as it is; an ndarray or a memoryview would be
checked byte by byte, which costs 100 ms for a VGA image.
"""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera

CLOUD_TYPE = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("confidence", "<f4")]
)
FLOW_TYPE = np.dtype([(name, "<f4") for name in ("x", "y", "z", "vx", "vy", "vz")])
_MILLIMETRES_MAX = 65535
# Relative standard deviation of a depth in which one has half the confidence.
_HALF_CONFIDENT = 0.1


def stamp_to_message(stamp: int) -> Time:
    """builtin_interfaces/Time of ns since the epoch."""
    seconds, nanoseconds = divmod(stamp, 1_000_000_000)
    return Time(sec=seconds, nanosec=nanoseconds)


def stamp_from_message(stamp: Any) -> int:
    """ns since the epoch of a builtin_interfaces/Time."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def pose_from_message(pose: Any) -> NDArray[np.float64]:
    """(4, 4) of a geometry_msgs/Pose. Raises ValueError where it is not finite or no rotation."""
    turn, shift = pose.orientation, pose.position
    values = np.array([turn.x, turn.y, turn.z, turn.w, shift.x, shift.y, shift.z])
    # Not quite normalised is common and harmless; far from it is no rotation.
    if not np.isfinite(values).all() or not 0.5 < np.linalg.norm(values[:4]) < 2.0:
        raise ValueError(
            f"pose is not usable: orientation (x y z w) {values[:4].tolist()}, "
            f"position {values[4:].tolist()}"
        )
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(values[:4]).as_matrix()
    matrix[:3, 3] = values[4:]
    return matrix


def byte_array(values: NDArray[Any]) -> array.array[int]:
    """The bytes of an array as a message field takes them."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).view(np.uint8).data)
    return data


def rgb_image(header: Header, pixels: NDArray[np.uint8]) -> Image:
    """rgb8. pixels: (H, W, 3) uint8."""
    return _image(header, pixels, "rgb8", pixels.shape[1] * 3)


def jpeg_image(header: Header, pixels: NDArray[np.uint8], quality: int = 90) -> CompressedImage:
    """JPEG of (H, W, 3) uint8 RGB."""
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return CompressedImage(
        header=header, format="rgb8; jpeg compressed bgr8", data=byte_array(encoded)
    )


def depth_image(header: Header, depth: NDArray[np.float32], encoding: str) -> Image:
    """Depth (H, W) in metres, NaN = invalid, as 32FC1 or, in millimetres with 0 = invalid, 16UC1.

    What lies beyond 65.535 m does not fit 16UC1 and becomes invalid there (REP-118).
    """
    if encoding == "32FC1":
        return _image(header, depth.astype(np.float32, copy=False), encoding, depth.shape[1] * 4)
    millimetres = np.nan_to_num(depth * 1000.0 + 0.5, nan=0.0, posinf=0.0, neginf=0.0)
    millimetres[(millimetres < 0) | (millimetres > _MILLIMETRES_MAX)] = 0.0
    return _image(header, millimetres.astype(np.uint16), "16UC1", depth.shape[1] * 2)


def flow_image(header: Header, flow: NDArray[np.float32]) -> Image:
    """32FC3: velocity (H, W, 3) in m/s, NaN = invalid."""
    return _image(header, flow.astype(np.float32, copy=False), "32FC3", flow.shape[1] * 12)


def _image(header: Header, pixels: NDArray[Any], encoding: str, step: int) -> Image:
    return Image(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=step,
        data=byte_array(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)),
    )


def camera_info(header: Header, camera: Camera) -> CameraInfo:
    """CameraInfo whose P is K: an unrectified monocular camera, or a rectified one."""
    K = camera.K
    projection = np.zeros((3, 4))
    projection[:, :3] = K
    return CameraInfo(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model=camera.distortion_model,
        # Without distortion plumb_bob still has its five coefficients.
        d=camera.distortion.tolist() if camera.is_distorted else [0.0] * 5,
        k=K.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
    )


def std_image(header: Header, std: NDArray[np.float32]) -> Image:
    """32FC1: relative standard deviation (H, W), NaN = invalid."""
    return _image(header, std.astype(np.float32, copy=False), "32FC1", std.shape[1] * 4)


def depth_cloud(
    header: Header,
    depth: NDArray[np.float32],
    std: NDArray[np.float32],
    image: NDArray[np.uint8],
    camera: Camera,
    stride: int = 1,
) -> PointCloud2:
    """Organised cloud x y z rgb confidence in the optical frame, NaN where depth is.

    depth: (H, W) metres. std: (H, W), relative; confidence is 1 / (1 + (std / 0.1)²), 1 for the
    best and 0.5 where depth is off by a tenth. image: (H, W, 3) uint8 RGB. stride: keep every
    Nth row and column.
    """
    depth = depth[::stride, ::stride]
    data, points = _structured(CLOUD_TYPE, depth.shape)
    _back_project(depth, camera, stride, points)
    # BGRA in memory is 0xAARRGGBB read as a little-endian word, what RViz and PCL expect of rgb.
    colours = np.ascontiguousarray(image[::stride, ::stride])
    points["rgb"] = cv2.cvtColor(colours, cv2.COLOR_RGB2BGRA).view("<u4")[..., 0]
    points["confidence"] = _confidence(std[::stride, ::stride])
    height, width = depth.shape
    return _cloud(header, CLOUD_TYPE, data, width, height, dense=False)


def _confidence(std: NDArray[np.float32]) -> NDArray[np.float32]:
    ratio = std * np.float32(1 / _HALF_CONFIDENT)
    return np.asarray(1 / (1 + ratio * ratio), np.float32)


def flow_cloud(
    header: Header,
    depth: NDArray[np.float32],
    flow: NDArray[np.float32],
    camera: Camera,
) -> PointCloud2:
    """Unorganised cloud x y z vx vy vz (m, m/s) of the pixels that move by themselves."""
    rows, columns = np.nonzero(moving_mask(flow))
    data, points = _structured(FLOW_TYPE, (rows.size,))
    z = depth[rows, columns]
    y = (rows - camera.cy) / camera.fy
    points["x"] = z * (columns - camera.cx - camera.K[0, 1] * y) / camera.fx
    points["y"] = z * y
    points["z"] = z
    for axis, name in enumerate(("vx", "vy", "vz")):
        points[name] = flow[rows, columns, axis]
    return _cloud(header, FLOW_TYPE, data, rows.size, 1, dense=True)


def moving_mask(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(H, W) where an object flow (H, W, 3) is neither zero nor NaN."""
    vx, vy, vz = cv2.split(flow)
    # A comparison with NaN is false, which is what is wanted.
    return np.asarray(np.abs(vx) + np.abs(vy) + np.abs(vz) > 0)


def _structured(
    kind: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[array.array[int], NDArray[Any]]:
    """A message's data and a view to write it through."""
    data = array.array("B", b"\0") * (int(np.prod(shape)) * kind.itemsize)
    if not data:
        return data, np.zeros(shape, kind)
    return data, np.frombuffer(data, kind).reshape(shape)


def _back_project(
    depth: NDArray[np.float32], camera: Camera, stride: int, points: NDArray[Any]
) -> None:
    height, width = depth.shape
    y = ((np.arange(height) * stride - camera.cy) / camera.fy).astype(np.float32)
    x = ((np.arange(width) * stride - camera.cx) / camera.fx).astype(np.float32)
    points["z"] = depth
    np.multiply(depth, y[:, None], out=points["y"])
    np.multiply(depth, x[None, :], out=points["x"])
    skew = camera.K[0, 1] / camera.fx
    if skew:
        points["x"] -= np.float32(skew) * points["y"]


def _cloud(
    header: Header,
    kind: np.dtype[Any],
    data: array.array[int],
    width: int,
    height: int,
    dense: bool,
) -> PointCloud2:
    assert kind.names is not None
    assert kind.fields is not None
    fields = [
        # RViz and PCL read the packed colour as a float32 called rgb.
        PointField(name=name, offset=kind.fields[name][1], datatype=PointField.FLOAT32, count=1)
        for name in kind.names
    ]
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=False,
        point_step=kind.itemsize,
        row_step=kind.itemsize * width,
        data=data,
        is_dense=dense,
    )


def odometry(
    header: Header,
    child_frame: str,
    pose: NDArray[np.float64],
    pose_covariance: NDArray[np.float64],
    twist: NDArray[np.float64],
    twist_covariance: NDArray[np.float64],
) -> Odometry:
    """nav_msgs/Odometry.

    pose: (4, 4), child frame to the header's frame. twist: (6,), linear then angular, in the
    child frame. Covariances: (6, 6), translation before rotation; the pose's in the header's
    axes, the twist's in the child frame.
    """
    message = Odometry(header=header, child_frame_id=child_frame)
    position, linear, angular = (
        message.pose.pose.position,
        message.twist.twist.linear,
        message.twist.twist.angular,
    )
    position.x, position.y, position.z = (float(value) for value in pose[:3, 3])
    message.pose.pose.orientation = quaternion(pose[:3, :3])
    linear.x, linear.y, linear.z = (float(value) for value in twist[:3])
    angular.x, angular.y, angular.z = (float(value) for value in twist[3:])
    message.pose.covariance = np.ascontiguousarray(pose_covariance, dtype=np.float64).reshape(-1)
    message.twist.covariance = np.ascontiguousarray(twist_covariance, dtype=np.float64).reshape(-1)
    return message


def quaternion(rotation: NDArray[np.float64]) -> Quaternion:
    """geometry_msgs/Quaternion of a (3, 3) rotation matrix."""
    x, y, z, w = se3.quaternion(rotation)
    return Quaternion(x=x, y=y, z=z, w=w)
