"""Which CameraInfo belongs to an image, and when it must not be used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from depth_motion_ros.geometry.camera import (
    RECTIFIED_WITHOUT_P,
    Camera,
    CameraError,
    is_given,
)
from depth_motion_ros.nodes.perception.parameters import COMPRESSED
from depth_motion_ros.sources.rectify import is_rectified_topic

_KEPT = 30


def images_are_rectified(node: Node, rectify: bool, transport: str) -> bool:
    """Whether the images of a node's input are rectified already, so that P of CameraInfo holds.

    rectify, transport: the parameters rectify and image_transport.
    """
    topic = node.resolve_topic_name("image/compressed" if transport == COMPRESSED else "image")
    if rectify and is_rectified_topic(topic):
        node.get_logger().info(
            f"{topic} is rectified, by its name: P of CameraInfo is used, not K and D"
        )
        return True
    return not rectify


class CameraPairing:
    """Keeps the messages of ``camera_info`` and gives each image its camera.

    The message with the image's own stamp wins; otherwise the newest one serves, because many
    drivers send it once, late, or with a stamp of its own. One that contradicts the image (another
    size) is not used at all: guessing whether the image was scaled or cropped would bend the cloud.

    rectified: the images are rectified already: P of CameraInfo holds, without distortion.
    report: called as ``report(cause, message)`` for everything that a user should know; the
        caller logs each cause once. ``set`` and ``camera_for`` may be called from
        two threads.
    """

    def __init__(self, report: Callable[[str, str], None], *, rectified: bool = False) -> None:
        self._report = report
        self._rectified = rectified
        self._lock = threading.Lock()
        self._by_stamp: dict[int, Camera] = {}
        self._latest: Camera | None = None
        self._raw: tuple[Any, ...] | None = None

    def set(self, info: Any, stamp: int) -> None:
        """Take a ``sensor_msgs/CameraInfo``. stamp: ns."""
        raw = _content(info)
        with self._lock:
            camera = self._latest if raw == self._raw else None
        if camera is None:
            camera = self._read(info)
        with self._lock:
            self._raw, self._latest = raw, camera
            if camera is None:
                self._by_stamp.clear()
                return
            self._by_stamp[stamp] = camera
            while len(self._by_stamp) > _KEPT:
                self._by_stamp.pop(next(iter(self._by_stamp)))

    def camera_for(self, stamp: int, width: int, height: int) -> Camera | None:
        """The camera of an image of this stamp (ns) and size, None if none is usable."""
        with self._lock:
            camera = self._by_stamp.get(stamp) or self._latest
            nothing_came = self._raw is None
        if camera is None:
            if nothing_came:
                self._report(
                    "camera_info missing",
                    "no CameraInfo has come yet: the learned intrinsics are used until it does",
                )
            return None
        if camera.size != (width, height):
            self._report(
                "camera_info contradicts image",
                f"CameraInfo is for {camera.width}x{camera.height}, the image is "
                f"{width}x{height}: it is not used, the learned intrinsics are used. Publish a "
                "CameraInfo of the image's own size (binning and roi count)",
            )
            return None
        return camera

    def _read(self, info: Any) -> Camera | None:
        has_projection = is_given(getattr(info, "p", None))
        if len(info.k) == 9 and info.k[0] == 0.0 and not (self._rectified and has_projection):
            self._report(
                "camera_info uncalibrated",
                "CameraInfo has K[0] = 0 (uncalibrated): the learned intrinsics are used",
            )
            return None
        if self._rectified and not has_projection and any(info.d):
            self._report(
                "camera_info without P",
                f"CameraInfo: {RECTIFIED_WITHOUT_P}",
            )
        try:
            return Camera.from_camera_info(info, rectified=self._rectified)
        except CameraError as error:
            self._report(
                "camera_info bad",
                f"CameraInfo is not usable: {error}; the learned intrinsics are used",
            )
            return None


def _content(info: Any) -> tuple[Any, ...]:
    """The content that defines the camera, comparable, NaN included."""
    roi = info.roi
    return (
        info.width,
        info.height,
        info.distortion_model,
        repr(list(info.d)),
        repr(list(info.k)),
        repr(list(getattr(info, "p", ()))),
        (info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )
