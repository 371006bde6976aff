"""Where the camera sits on the robot, and odom -> base_link on /tf.

tf2 has no wheels on PyPI: ``tf2_ros`` and ``tf2_msgs`` are imported only where a parameter asks
for them, with a message that names the alternative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.nodes.ros.messages import quaternion


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
            if not self._buffer.can_transform(base, optical, Time()):
                return None
            found = self._buffer.lookup_transform(base, optical, Time()).transform
            turn, shift = found.rotation, found.translation
            transform = np.eye(4)
            transform[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
            transform[:3, 3] = shift.x, shift.y, shift.z
            self._known[base, optical] = transform
        return self._known[base, optical]

    def close(self) -> None:
        self._listener.unregister()


class TfPublisher:
    """Sends transforms on /tf. Raises TransformsMissingError at construction without tf2_msgs."""

    def __init__(self, node: Node) -> None:
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise TransformsMissingError(
                f"publish_tf needs tf2_msgs, which cannot be imported ({error}); set it to false "
                "and let robot_localization or another owner of the transform listen to odom"
            ) from error
        self._node = node
        self._type = TFMessage
        self._publisher = node.create_publisher(TFMessage, "/tf", 100)

    def send(self, header: Header, child: str, pose: NDArray[np.float64]) -> None:
        """pose: (4, 4), child to the header's frame."""
        stamped = TransformStamped(header=header, child_frame_id=child)
        shift = stamped.transform.translation
        shift.x, shift.y, shift.z = (float(value) for value in pose[:3, 3])
        stamped.transform.rotation = quaternion(pose[:3, :3])
        self._publisher.publish(self._type(transforms=[stamped]))

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)
