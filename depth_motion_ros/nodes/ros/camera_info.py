"""Which CameraInfo belongs to an image, and when it must not be believed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from depth_motion_ros.geometry.camera import Camera, CameraError

_KEPT = 30


class CameraPairing:
    """Keeps what ``camera_info`` said and gives each image its camera.

    The message with the image's own stamp wins; otherwise the newest one serves, because many
    drivers send it once, late, or with a stamp of its own. One that contradicts the image (another
    size) is not used at all: guessing whether the image was scaled or cropped would bend the cloud.

    report: called as ``report(cause, message)`` for everything that a user should hear of; the
        caller keeps the messages apart by cause. ``set`` and ``camera_for`` may be called from
        two threads.
    """

    def __init__(self, report: Callable[[str, str], None]) -> None:
        self._report = report
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
        """The camera of an image of this stamp (ns) and size, None where none can be believed."""
        with self._lock:
            camera = self._by_stamp.get(stamp) or self._latest
            nothing_came = self._raw is None
        if camera is None:
            if nothing_came:
                self._report(
                    "camera_info missing",
                    "no CameraInfo has come yet: the learned intrinsics serve until it does",
                )
            return None
        if camera.size != (width, height):
            self._report(
                "camera_info contradicts image",
                f"CameraInfo is for {camera.width}x{camera.height}, the image is "
                f"{width}x{height}: it is not used, the learned intrinsics serve. Publish a "
                "CameraInfo of the image's own size (binning and roi count)",
            )
            return None
        return camera

    def _read(self, info: Any) -> Camera | None:
        if len(info.k) == 9 and info.k[0] == 0.0:
            self._report(
                "camera_info uncalibrated",
                "CameraInfo has K[0] = 0 (uncalibrated): the learned intrinsics serve",
            )
            return None
        try:
            return Camera.from_camera_info(info)
        except CameraError as error:
            self._report(
                "camera_info bad",
                f"CameraInfo is not usable: {error}; the learned intrinsics serve",
            )
            return None


def _content(info: Any) -> tuple[Any, ...]:
    """What the camera is made of, comparable, NaN included."""
    roi = info.roi
    return (
        info.width,
        info.height,
        info.distortion_model,
        repr(list(info.d)),
        repr(list(info.k)),
        (info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )
