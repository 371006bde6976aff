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
from depth_motion_ros.training.frames import (
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

    16 bit, depth / median depth x TRIANGULATED_SCALE, 0 where unknown. tell: hears how many of how
    many frames are done.

    Returns the mean share of pixels that have depth. Raises SourceError where the intrinsics are
    unknown, or a file cannot be written.
    """
    frames = SequenceFrames(path)
    triangulated_file(path, "").parent.mkdir(exist_ok=True)
    triangulation, shares = Triangulation(frames), []
    for index in range(len(frames)):
        file = triangulated_file(path, frames.stem(index))
        known = frames.triangulated(index)
        if known is None:
            known = triangulation.depth(index)
            scaled = np.nan_to_num(known * TRIANGULATED_SCALE, nan=0.0).round()
            pixels = np.clip(scaled, 0, np.iinfo(np.uint16).max).astype(np.uint16)
            write_atomically(file, cv2.imencode(".png", pixels)[1].tobytes())
        shares.append(float((np.isfinite(known) & (known > 0)).mean()))
        tell(index + 1, len(frames))
    return float(np.mean(shares))


class Triangulation:
    """What the frames of a set tell about each other's depth.

    Raises SourceError where the intrinsics of the frames are unknown.
    """

    def __init__(self, frames: FrameSet) -> None:
        if frames.camera is None:
            raise SourceError(
                f"{frames.name}: nothing can be triangulated without the camera's intrinsics"
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
