"""Where the camera sits on the robot, and odom -> base_link on /tf.

tf2 has no wheels on PyPI: ``tf2_ros`` and ``tf2_msgs`` are imported only where a parameter asks
for them, with a message that names the alternative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time as RosTime
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.nodes.ros.messages import quaternion
from depth_motion_ros.nodes.ros.qos import LATCHED


class TransformsMissingError(RuntimeError):
    """tf2 is not installed; the message names the parameter that does without."""


def base_from_optical(xyz: Sequence[float], rpy: Sequence[float]) -> NDArray[np.float64]:
    """(4, 4): points in the optical frame to base_link.

    xyz (m) and rpy (rad, fixed axes: R = Rz(yaw) Ry(pitch) Rx(roll)) place the camera's *body*
    frame (x forward, y left, z up) in base_link, as a URDF joint does.
    """
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("xyz", rpy).as_matrix()
    transform[:3, 3] = xyz
    return transform @ BODY_FROM_OPTICAL


class ExtrinsicFromTf:
    """Looks base <- camera up in TF and keeps it: the mount does not move.

    Raises TransformsMissingError at construction without tf2_ros.
    """

    def __init__(self, node: Node) -> None:
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            raise TransformsMissingError(
                f"use_tf_extrinsic needs tf2_ros, which cannot be imported ({error}); set it to "
                "false and give camera_xyz and camera_rpy"
            ) from error
        self._buffer: Any = Buffer()
        self._listener: Any = TransformListener(self._buffer, node)
        self._known: dict[tuple[str, str], NDArray[np.float64]] = {}

    def base_from_optical(self, base: str, optical: str) -> NDArray[np.float64] | None:
        """(4, 4) of points in ``optical`` to ``base``; None while TF does not know it."""
        if (base, optical) not in self._known:
            if not self._buffer.can_transform(base, optical, RosTime()):
                return None
            found = self._buffer.lookup_transform(base, optical, RosTime()).transform
            turn, shift = found.rotation, found.translation
            transform = np.eye(4)
            transform[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
            transform[:3, 3] = shift.x, shift.y, shift.z
            self._known[base, optical] = transform
        return self._known[base, optical]

    def close(self) -> None:
        self._listener.unregister()


class TfPublisher:
    """Sends transforms on /tf, or on /tf_static.

    parameter: that which asks for it. static: on /tf_static, where the last one stays.

    Raises TransformsMissingError at construction without tf2_msgs.
    """

    def __init__(self, node: Node, parameter: str = "publish_tf", static: bool = False) -> None:
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise TransformsMissingError(
                f"{parameter} needs tf2_msgs, which cannot be imported ({error}); set it to false "
                "and let the owner of the transform (an EKF for odom_frame, a robot description "
                "for the camera) send it"
            ) from error
        self._node = node
        self._type = TFMessage
        # As tf2_ros has it; the listeners of /tf_static ask for transient local.
        qos = LATCHED if static else 100
        self._publisher = node.create_publisher(TFMessage, "/tf_static" if static else "/tf", qos)

    def send(self, header: Header, child: str, pose: NDArray[np.float64]) -> None:
        """pose: (4, 4), child to the header's frame."""
        stamped = TransformStamped(header=header, child_frame_id=child)
        shift = stamped.transform.translation
        shift.x, shift.y, shift.z = (float(value) for value in pose[:3, 3])
        stamped.transform.rotation = quaternion(pose[:3, :3])
        self._publisher.publish(self._type(transforms=[stamped]))

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)


class CameraTf:
    """Says once, on /tf_static, where the camera sits; again where its frame gets another name.

    Raises TransformsMissingError at construction without tf2_msgs.
    """

    def __init__(self, node: Node, base_frame: str, base_from_optical: NDArray[np.float64]) -> None:
        self._tf = TfPublisher(node, "publish_camera_tf", static=True)
        self._base_frame = base_frame
        self._transform = base_from_optical
        self._said = ""

    def say(self, stamp: Time, optical_frame: str) -> None:
        """stamp: builtin_interfaces/Time of an image whose frame this is."""
        if optical_frame and optical_frame != self._said:
            self._said = optical_frame
            header = Header(stamp=stamp, frame_id=self._base_frame)
            self._tf.send(header, optical_frame, self._transform)

    def close(self) -> None:
        self._tf.close()
