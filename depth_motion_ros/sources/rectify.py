"""Images of a lens with known distortion become images of a pinhole camera."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera, CameraError
from depth_motion_ros.geometry.lens import EQUIDISTANT, fold

_BORDER_POINTS = 33
_MAX_ZOOM = 4.0
_TOLERANCE = 0.25
"""Pixels beyond the outermost centres, where interpolation still shows mostly picture."""

_log = logging.getLogger(__name__)


def is_rectified_topic(topic: str) -> bool:
    """Whether the name of an image topic says that its images are rectified already.

    image_proc's names (image_rect, image_rect_color, image_rect/compressed) and their relatives.
    """
    words = re.split(r"[/_]", topic.lower())
    return any(word in ("rect", "rectified", "undistorted", "undist") for word in words)


class Rectifier:
    """Undistorts images; the maps are computed once per camera and kept until it changes.

    The rectified camera keeps size and principal point. Its focal lengths are the lens's own, or
    as much longer as it takes (up to 4 times) to leave no pixel without an image: black borders
    would be learnt as scenery.
    """

    def __init__(self) -> None:
        self._camera: Camera | None = None
        self._rectified: Camera | None = None
        self._maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None = None

    def __call__(
        self, image: NDArray[np.uint8], camera: Camera
    ) -> tuple[NDArray[np.uint8], Camera]:
        """(rectified image (H, W, 3), its camera). Without distortion both come back as given.

        Raises CameraError where image and camera differ in size, or the lens model holds for too
        little of the image.
        """
        if image.shape[1::-1] != camera.size:
            raise CameraError(
                f"the image is {image.shape[1]}x{image.shape[0]}, the camera is for "
                f"{camera.width}x{camera.height}"
            )
        if not camera.is_distorted:
            return image, camera
        rectified, (map_1, map_2) = self._prepare(camera)
        return np.asarray(cv2.remap(image, map_1, map_2, cv2.INTER_LINEAR), np.uint8), rectified

    def _prepare(
        self, camera: Camera
    ) -> tuple[Camera, tuple[NDArray[np.int16], NDArray[np.uint16]]]:
        if (
            self._camera is None
            or self._rectified is None
            or self._maps is None
            or not self._camera.same_as(camera)
        ):
            rectified = rectified_camera(camera)
            _report_fold(camera, rectified)
            self._maps = _maps(camera, rectified)
            self._camera, self._rectified = camera, rectified
        return self._rectified, self._maps


def rectified_camera(camera: Camera) -> Camera:
    """The pinhole camera that ``Rectifier`` gives for a distorted one.

    Raises CameraError where the lens model holds for less than a quarter of the image's width.
    """
    if not camera.is_distorted:
        return camera
    low, high = 1.0, _MAX_ZOOM
    if _border_is_inside(camera, low):
        return camera.undistorted()
    if not _border_is_inside(camera, high):
        raise CameraError(
            f"{camera.distortion_model} {camera.distortion.tolist()} does not describe a "
            f"{camera.width}x{camera.height} image with fx={camera.fx:g}, even of its middle "
            f"1/{_MAX_ZOOM:g}: calibrate again"
        )
    # 12 halvings: the zoom is known to a thousandth.
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if _border_is_inside(camera, middle) else (middle, high)
    return _zoomed(camera, high)


def _zoomed(camera: Camera, zoom: float) -> Camera:
    K = camera.K.copy()
    K[0, :2] *= zoom
    K[1, 1] *= zoom
    return replace(camera.undistorted(), K=K)


def _border_is_inside(camera: Camera, zoom: float) -> bool:
    """Whether the border of the rectified image shows what the sensor saw, and saw only there."""
    pinhole = _zoomed(camera, zoom)
    u = np.linspace(0, camera.width - 1, _BORDER_POINTS)
    v = np.linspace(0, camera.height - 1, _BORDER_POINTS)
    left, top = np.zeros_like(v), np.zeros_like(u)
    border = np.concatenate(
        [
            np.stack([u, top], 1),
            np.stack([u, top + camera.height - 1], 1),
            np.stack([left, v], 1),
            np.stack([left + camera.width - 1, v], 1),
        ]
    )
    rays = np.linalg.solve(pinhole.K, np.column_stack([border, np.ones(len(border))]).T).T
    limit, _ = fold(camera.distortion_model, camera.distortion)
    if np.hypot(rays[:, 0], rays[:, 1]).max() >= limit:
        return False
    x, y = distort(camera, rays[:, :2]).T
    return bool(
        (x >= -_TOLERANCE).all()
        and (y >= -_TOLERANCE).all()
        and (x <= camera.width - 1 + _TOLERANCE).all()
        and (y <= camera.height - 1 + _TOLERANCE).all()
    )


def _report_fold(camera: Camera, pinhole: Camera) -> None:
    _, shown = fold(camera.distortion_model, camera.distortion)
    x = max(camera.cx, camera.width - 1 - camera.cx) / camera.fx
    y = max(camera.cy, camera.height - 1 - camera.cy) / camera.fy
    if shown < np.hypot(x, y):
        _log.warning(
            "the lens polynomial (%s) folds back %.0f pixels from the principal point, inside the "
            "image, whose corner is %.0f pixels away: what lies beyond is left out (focal length "
            "x%.2f). Calibrate again with the pattern in the corners, or as equidistant",
            camera.distortion_model,
            shown * camera.fx,
            np.hypot(x, y) * camera.fx,
            pinhole.fx / camera.fx,
        )


def distort(camera: Camera, directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels (N, 2) at which a lens shows the directions (x/z, y/z), (N, 2)."""
    zero = np.zeros(3)
    if camera.distortion_model == EQUIDISTANT:
        pixels = cv2.fisheye.distortPoints(directions[:, None], camera.K, camera.distortion)
    else:
        points = np.column_stack([directions, np.ones(len(directions))])
        pixels = cv2.projectPoints(points, zero, zero, camera.K, camera.distortion)[0]
    return np.asarray(pixels, np.float64).reshape(-1, 2)


def _maps(camera: Camera, pinhole: Camera) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    fisheye = camera.distortion_model == EQUIDISTANT
    initialise = cv2.fisheye.initUndistortRectifyMap if fisheye else cv2.initUndistortRectifyMap
    map_1, map_2 = initialise(
        camera.K, camera.distortion, np.eye(3), pinhole.K, camera.size, cv2.CV_16SC2
    )
    return np.asarray(map_1, np.int16), np.asarray(map_2, np.uint16)
