"""Moving objects to look at: a coloured image, and an arrow with a label for each object."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from depth_motion_ros.estimation.scene_flow.tracking import MovingObject
from depth_motion_ros.nodes.ros.messages import moving_mask

_FULL_COLOUR = 3.0  # m/s; three times walking pace saturates
_ARROW_SECONDS = 1.0  # an arrow is as long as the way of one second


def flow_colours(
    image: NDArray[np.uint8],
    flow: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB: the image in gray, what moves in colour.

    Hue is the direction in the ground plane of the camera (red: to the right, cyan: to the left,
    green: away, violet: towards the camera); saturation grows with speed up to 3 m/s.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    hsv = np.zeros(image.shape, np.uint8)
    hsv[..., 2] = gray
    moving = moving_mask(flow)
    velocity = flow[moving]
    speed = np.linalg.norm(velocity, axis=1)
    hue = np.degrees(np.arctan2(velocity[:, 2], velocity[:, 0])) % 360.0
    colour = np.stack(
        (
            hue / 2,
            np.clip(96 + 159 * speed / _FULL_COLOUR, 0, 255),
            np.maximum(gray[moving], 160),
        ),
        axis=1,
    )
    hsv[moving] = colour.astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def object_markers(header: Header, objects: Sequence[MovingObject]) -> MarkerArray:
    """One arrow and one label for each object, in the optical frame; their id is the object's.

    The arrow starts at the object's place and is its velocity times one second. The first marker
    deletes those of the frame before.
    """
    markers: list[Marker] = [Marker(header=header, action=Marker.DELETEALL)]
    for seen in objects:
        markers.extend(_object(header, seen))
    return MarkerArray(markers=markers)


def _object(header: Header, seen: MovingObject) -> tuple[Marker, Marker]:
    colour = ColorRGBA(r=1.0, g=0.6, b=0.0, a=1.0)
    arrow = Marker(header=header, ns="object_flow", id=seen.id, type=Marker.ARROW)
    arrow.points = [_point(seen.position), _point(seen.position + _ARROW_SECONDS * seen.velocity)]
    arrow.scale = Vector3(x=0.1, y=0.2, z=0.2)
    arrow.color = colour
    label = Marker(header=header, ns="object_speed", id=seen.id, type=Marker.TEXT_VIEW_FACING)
    label.pose.position = _point(seen.position - np.array([0.0, 0.5, 0.0]))
    label.pose.orientation.w = 1.0
    label.scale = Vector3(x=0.0, y=0.0, z=0.4)
    label.text = f"{float(np.linalg.norm(seen.velocity)):.1f} m/s"
    label.color = colour
    return arrow, label


def _point(values: NDArray[np.floating]) -> Point:
    return Point(x=float(values[0]), y=float(values[1]), z=float(values[2]))
