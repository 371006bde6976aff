"""Depth and motion that the frames of a video tell about each other, as something to learn from.

No label enters: everything follows from the images and the camera's intrinsics. What is known of a
frame is gathered from several partners, near and far in time, since near ones lack parallax and far
ones lack likeness.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.many_views import fused_depth
from depth_motion_ros.geometry.two_view import NoParallaxError, TwoView, two_view
from depth_motion_ros.sources.files import write_atomically
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.training.data.frames import (
    TRIANGULATED_SCALE,
    FrameSet,
    SequenceFrames,
    triangulated_file,
)

# Partners of a frame, in frames before and after it; in each direction the first that work.
_STEPS = (1, 2, 3, 5, 8, 12, 16, 24, 32)
_PARTNERS = 3
# Median parallax of a partner, in image widths, below which a later one is waited for.
_PARALLAX = 0.009


def triangulate_sequence(path: Path, tell: Callable[[int, int], None]) -> float:
    """Write ``triangulated/STEM.png`` for each image of a sequence folder; what is there stays.

    16 bit, depth / median depth x TRIANGULATED_SCALE, 0 where unknown (or beyond 16 medians). Each
    file is there whole or not at all. tell: hears how many of how many frames are done.

    Returns the mean share of pixels that have depth. Raises SourceError where the intrinsics are
    unknown, or a file cannot be written.
    """
    frames = SequenceFrames(path)
    triangulation, shares = Triangulation(frames), []
    for index in range(len(frames)):
        known = frames.triangulated(index)
        if known is None:
            known = triangulation.depth(index)
            _write(triangulated_file(path, frames.stem(index)), known)
        shares.append(float(np.isfinite(known).mean()))
        tell(index + 1, len(frames))
    return float(np.mean(shares))


def _write(file: Path, depth: NDArray[np.float32]) -> None:
    steps = np.nan_to_num(depth * TRIANGULATED_SCALE).round()
    pixels = np.where(steps > np.iinfo(np.uint16).max, 0, steps).astype(np.uint16)
    try:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise SourceError(f"{file}: cannot write: {error}") from error


class Triangulation:
    """What the frames of a set tell about each other's depth.

    Raises SourceError where the intrinsics of the frames are unknown.
    """

    def __init__(self, frames: FrameSet) -> None:
        if frames.camera is None:
            raise SourceError(
                f"{frames.name}: nothing can be triangulated without the camera's intrinsics; "
                "prepare it with a calibration (depth_motion prepare --camera-file)"
            )
        self._frames, self._K = frames, frames.camera.K

    def _gray(self, index: int) -> NDArray[np.uint8]:
        return np.asarray(cv2.cvtColor(self._frames.image(index), cv2.COLOR_RGB2GRAY), np.uint8)

    def depth(self, index: int) -> NDArray[np.float32]:
        """(H, W) with a median of 1, NaN where unknown, which may be everywhere."""
        width, height = self._frames.size
        views = self._views(index)
        if not views:
            return np.full((height, width), np.nan, np.float32)
        return fused_depth(views)

    def _views(self, index: int) -> list[TwoView]:
        """Geometry with the nearest partners that have parallax, in both directions of time."""
        image, wanted = self._gray(index), _PARALLAX * self._frames.size[0]
        found = []
        for direction in (1, -1):
            count = 0
            for step in _STEPS:
                other = index + direction * step
                if not 0 <= other < len(self._frames) or count == _PARTNERS:
                    break
                try:
                    view = two_view(image, self._gray(other), self._K, seed=index)
                except NoParallaxError:
                    continue
                if np.median(view.parallax[np.isfinite(view.depth)]) > wanted:
                    found.append(view)
                    count += 1
        return found
