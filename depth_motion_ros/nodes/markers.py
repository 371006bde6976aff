"""Moving objects to look at: a coloured image, and an arrow with a label for each object."""

from __future__ import annotations

import cv2
import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.nodes.messages import moving_mask

# Smaller patches are the noise of the residual field; 1/800 of 416x128 is a patch of 8x8.
_SMALLEST_SHARE = 1 / 800
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


def object_markers(
    header: Header,
    depth: NDArray[np.float32],
    flow: NDArray[np.float32],
    camera: Camera,
) -> MarkerArray:
    """One arrow and one label per connected patch of moving pixels, in the optical frame.

    The arrow starts at the patch's median point and is its median velocity times one second.
    The first marker deletes those of the frame before.
    """
    markers: list[Marker] = list(no_markers(header).markers)
    mask = moving_mask(flow)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < _SMALLEST_SHARE * mask.size:
            continue
        rows, columns = np.nonzero(labels == label)
        z = depth[rows, columns]
        y = (rows - camera.cy) / camera.fy
        x = (columns - camera.cx - camera.K[0, 1] * y) / camera.fx
        position = np.median(np.stack((x * z, y * z, z), axis=1), axis=0)
        velocity = np.median(flow[rows, columns], axis=0)
        markers.extend(_object(header, len(markers), position, velocity))
    return MarkerArray(markers=markers)


def _object(
    header: Header, number: int, position: NDArray[np.float64], velocity: NDArray[np.float32]
) -> tuple[Marker, Marker]:
    colour = ColorRGBA(r=1.0, g=0.6, b=0.0, a=1.0)
    arrow = Marker(header=header, ns="object_flow", id=number, type=Marker.ARROW)
    arrow.points = [_point(position), _point(position + _ARROW_SECONDS * velocity)]
    arrow.scale = Vector3(x=0.1, y=0.2, z=0.2)
    arrow.color = colour
    label = Marker(header=header, ns="object_speed", id=number, type=Marker.TEXT_VIEW_FACING)
    label.pose.position = _point(position - np.array([0.0, 0.5, 0.0]))
    label.pose.orientation.w = 1.0
    label.scale = Vector3(x=0.0, y=0.0, z=0.4)
    label.text = f"{float(np.linalg.norm(velocity)):.1f} m/s"
    label.color = colour
    return arrow, label


def _point(values: NDArray[np.floating]) -> Point:
    return Point(x=float(values[0]), y=float(values[1]), z=float(values[2]))


def no_markers(header: Header) -> MarkerArray:
    """Deletes what is shown: there is no motion to tell of."""
    return MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])
