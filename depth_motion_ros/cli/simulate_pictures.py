"""What ``depth_motion simulate`` shows of a sequence: a preview video and a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.cli.video_writer import VideoWriter
from depth_motion_ros.sources.frame import Frame

Pixels = NDArray[np.uint8]

PANEL_WIDTH = 416
SHEET_COLUMNS = 4
UNKNOWN = 40
"""Gray level of what has no depth."""


def panels(frame: Frame, near: float, far: float, fastest: float) -> list[Pixels]:
    """Image, depth, object motion and instances of a frame with truth, (h, PANEL_WIDTH, 3) each.

    near, far: m, the ends of the depth colours. fastest: m per frame drawn at full brightness.
    """
    truth = frame.truth
    if truth is None or truth.depth is None or truth.motion is None or truth.instance is None:
        raise ValueError("the frame has no truth to show")
    height = 2 * round(PANEL_WIDTH * frame.image.shape[0] / frame.image.shape[1] / 2)
    pictures = (
        frame.image,
        _depth(truth.depth, near, far),
        _motion(truth.motion, fastest),
        _instances(truth.instance),
    )
    size = (PANEL_WIDTH, height)
    return [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA)) for p in pictures]


def contact_sheet(rows: Sequence[Sequence[Pixels]]) -> bytes:
    """A PNG of the panels of some frames: a column for each frame, cut into bands of four."""
    columns = [np.vstack(list(row)) for row in rows]
    while len(columns) % SHEET_COLUMNS:
        columns.append(np.zeros_like(columns[0]))
    bands = [
        np.hstack(columns[i : i + SHEET_COLUMNS]) for i in range(0, len(columns), SHEET_COLUMNS)
    ]
    encoded, buffer = cv2.imencode(".png", cv2.cvtColor(np.vstack(bands), cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError("the contact sheet cannot be encoded")
    return buffer.tobytes()


class Preview:
    """An mp4 in memory: image and depth over object motion and instances."""

    def __init__(self, rate: float) -> None:
        self._file = io.BytesIO()
        self._video = VideoWriter(self._file)
        self._rate = rate

    def add(self, parts: Sequence[Pixels]) -> None:
        """Append a frame's four panels."""
        canvas = np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])])
        self._video.add(canvas, self._video.frames / self._rate)

    def finish(self) -> bytes:
        """The whole file."""
        self._video.close()
        return self._file.getvalue()


def _depth(depth: NDArray[np.float32], near: float, far: float) -> Pixels:
    """Inverse depth in colours: near is bright."""
    shown = np.clip((1 / depth - 1 / far) / (1 / near - 1 / far), 0, 1)
    levels = (np.nan_to_num(shown) * 255).astype(np.uint8)
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return np.where(np.isnan(depth)[..., None], np.uint8(UNKNOWN), colors).astype(np.uint8)


def _motion(motion: NDArray[np.float32], fastest: float) -> Pixels:
    """Direction across the image as hue, towards the camera brighter still; black = static."""
    x, y, z = np.moveaxis(np.nan_to_num(motion), -1, 0)
    size = np.sqrt(x * x + y * y + z * z)
    hue = (np.arctan2(y, x) + np.pi) / (2 * np.pi) * 179
    flat = np.hypot(x, y) / np.maximum(size, 1e-9)
    hsv = np.stack((hue, 255 * flat, 255 * np.clip(size / fastest, 0, 1) ** 0.5), axis=-1)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB))


def _instances(instance: NDArray[np.uint16]) -> Pixels:
    """A colour of its own for each id, black for 0."""
    hue = (instance.astype(np.int64) * 67) % 180
    full = np.where(instance > 0, 230, 0)
    hsv = np.stack((hue, full, full), axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
