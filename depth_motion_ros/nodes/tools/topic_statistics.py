"""What arrived on one topic of images or of CameraInfo, summed up."""

from __future__ import annotations

import time
from typing import Any

from depth_motion_ros.geometry.camera import Camera, CameraError, is_given
from depth_motion_ros.nodes.ros.messages import stamp_from_message


class TopicStatistics:
    """Collects; ``summary`` is JSON-ready."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._ages: list[float] = []
        self._bytes = 0
        self._backwards = 0
        self._last_stamp: int | None = None
        self._sizes: dict[str, None] = {}
        self._encodings: dict[str, None] = {}
        self._frames: dict[str, None] = {}
        self._uncalibrated = False
        self._distorted = False
        self._focal: dict[str, float | None] = {}
        self._info: Any = None

    def take(self, message: Any) -> None:
        """A sensor_msgs Image, CompressedImage or CameraInfo."""
        self._times.append(time.monotonic())
        stamp = stamp_from_message(message.header.stamp)
        self._ages.append(time.time() - stamp * 1e-9)
        if self._last_stamp is not None and stamp < self._last_stamp:
            self._backwards += 1
        self._last_stamp = stamp
        self._frames[message.header.frame_id] = None
        if hasattr(message, "width"):
            self._sizes[f"{message.width}x{message.height}"] = None
        for name in ("encoding", "format"):
            if hasattr(message, name):
                self._encodings[getattr(message, name)] = None
        if hasattr(message, "data"):
            self._bytes += len(message.data)
        if hasattr(message, "k"):
            self._uncalibrated = float(message.k[0]) == 0.0
            self._focal = {
                "k": float(message.k[0]),
                "p": float(message.p[0]) if is_given(message.p) else None,
            }
            self._distorted = any(message.d)
            self._info = message

    def summary(self, seconds: float) -> dict[str, Any]:
        """seconds: how long was listened. hz: between the first and the last message."""
        count = len(self._times)
        span = self._times[-1] - self._times[0] if count > 1 else 0.0
        ages = sorted(self._ages)
        return {
            "count": count,
            "hz": round((count - 1) / span, 2) if span > 0 else round(count / seconds, 2),
            "bytes": self._bytes // count if count else 0,
            "age_s": round(ages[count // 2], 3) if count else None,
            "backwards": self._backwards,
            "sizes": list(self._sizes),
            "encodings": list(self._encodings),
            "frame_ids": list(self._frames),
            "uncalibrated": self._uncalibrated,
            "focal": self._focal,
            "distorted": self._distorted,
            "refused": {"k": self._refusal(rectified=False), "p": self._refusal(rectified=True)},
        }

    def _refusal(self, rectified: bool) -> str:
        """Why the last CameraInfo cannot be that of the images; empty where it can."""
        if self._info is None:
            return ""
        try:
            Camera.from_camera_info(self._info, rectified=rectified)
        except CameraError as error:
            return str(error)
        return ""
