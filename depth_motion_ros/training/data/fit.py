"""Frames at the size of a training set, with intrinsics that stay true."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera

FITS = ("crop", "stretch")


@dataclass(frozen=True)
class FrameFit:
    """How images become small.

    width: pixels. height: pixels, or None to keep the image's own proportions; then nothing is
    cropped and an image that is narrower than ``width`` stays as it is.
    fit: with a height, "crop" scales until the image covers the size and cuts off the rest
    evenly; "stretch" keeps all of the view and changes the proportions (fx and fy then differ).

    Raises ValueError for a size below 16 pixels or an unknown fit.
    """

    width: int = 416
    height: int | None = None
    fit: str = "crop"

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("height", self.height)):
            if value is not None and value < 16:
                raise ValueError(f"{name} must be at least 16 pixels, got {value}")
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")

    def __call__(
        self, image: NDArray[np.uint8], camera: Camera | None
    ) -> tuple[NDArray[np.uint8], Camera | None]:
        """(image (h, w, 3), camera) at the training size; camera None stays None."""
        height, width = image.shape[:2]
        if self.height is None:
            if width <= self.width:
                return image, camera
            return _resized(image, camera, self.width, max(1, round(height * self.width / width)))
        if self.fit == "stretch":
            return _resized(image, camera, self.width, self.height)
        scale = max(self.width / width, self.height / height)
        covering = (
            max(self.width, round(width * scale)),
            max(self.height, round(height * scale)),
        )
        image, camera = _resized(image, camera, *covering)
        x, y = (covering[0] - self.width) // 2, (covering[1] - self.height) // 2
        if camera is not None:
            camera = camera.cropped(x, y, self.width, self.height)
        return image[y : y + self.height, x : x + self.width], camera


def _resized(
    image: NDArray[np.uint8], camera: Camera | None, width: int, height: int
) -> tuple[NDArray[np.uint8], Camera | None]:
    if image.shape[1::-1] == (width, height):
        return image, camera
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=method)
    return np.asarray(resized, np.uint8), camera and camera.resized(width, height)
