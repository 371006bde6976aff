"""A camera on this computer (V4L2): always its latest frame."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.base import Source
from depth_motion_ros.sources.frame import Frame, SourceError

_log = logging.getLogger(__name__)


class CaptureSource(Source):
    """A reader thread empties the device; iterating gives the latest frame, each at most once.

    device: path of the device, such as /dev/video0.
    width, height, rate: asked of the driver, which may choose others.
    camera: intrinsics of the frames, where the caller knows them.
    timeout: seconds without a frame after which iterating raises SourceError.
    open_device: makes the capture from the device's path, cv2.VideoCapture unless given.

    Stamps are the system's time (ns since 1970) at which the frame arrived. ``failures`` counts
    reads that gave no frame, ``dropped`` frames that nobody fetched in time.

    Raises SourceError where the device cannot be opened.
    """

    has_clock = True

    def __init__(
        self,
        device: str,
        *,
        width: int | None = None,
        height: int | None = None,
        rate: float | None = None,
        camera: Camera | None = None,
        timeout: float = 2.0,
        open_device: Callable[[str], Any] = cv2.VideoCapture,
    ) -> None:
        self.device, self.camera, self.timeout = device, camera, timeout
        self.failures = self.dropped = 0
        self._capture = open_device(device)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(
                f"{device}: cannot open this camera: is it plugged in, free, and may you read it "
                "(group video)?"
            )
        for setting, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, rate),
        ):
            if value is not None:
                self._capture.set(setting, value)
        super().__init__(device, float(self._capture.get(cv2.CAP_PROP_FPS)) or None)
        self._news = threading.Condition()
        self._latest: tuple[int, Any] | None = None
        self._closing = self._reported_size = False
        self._thread = threading.Thread(target=self._read, name=f"capture {device}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._news:
                arrived = self._news.wait_for(
                    lambda: self._latest is not None or self._closing, self.timeout
                )
                if self._closing:
                    return
                if not arrived or self._latest is None:
                    raise SourceError(
                        f"{self.device}: no frame for {self.timeout} s "
                        f"({self.failures} failed reads)"
                    )
                stamp, image = self._latest
                self._latest = None
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            yield Frame(stamp, image, self._camera_of(image))

    def _camera_of(self, image: NDArray[np.uint8]) -> Camera | None:
        if self.camera is None or self.camera.size == image.shape[1::-1]:
            return self.camera
        if not self._reported_size:
            self._reported_size = True
            _log.warning(
                "%s: the given camera is for %dx%d, the images are %dx%d: it is not used",
                *(self.device, *self.camera.size, image.shape[1], image.shape[0]),
            )
        return None

    def close(self) -> None:
        """Stop the thread and give the device back."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._thread.join()
        self._capture.release()

    def _read(self) -> None:
        while not self._closing:
            read, image = self._capture.read()
            stamp = time.time_ns()
            if not read:
                self.failures += 1
                time.sleep(0.01)  # a device that is gone fails at once, thousands of times a second
                continue
            with self._news:
                self.dropped += self._latest is not None
                self._latest = stamp, image
                self._news.notify_all()
