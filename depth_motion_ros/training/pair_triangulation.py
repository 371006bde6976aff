"""What a video tells about one of its pairs: the part of a sample that is triangulated.

Depth was written when the sequence was prepared; the motion between the two frames of a pair is
found from it when the pair is first drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.geometry.two_view import NoParallaxError, match, resected
from depth_motion_ros.training.augment import Window
from depth_motion_ros.training.frames import FrameSet
from depth_motion_ros.training.options import RecipeError
from depth_motion_ros.training.recipe import Recipe


class Triangulated(NamedTuple):
    """What is known of B pairs from the video itself; NaN where it is not.

    depth_1, depth_2: (B, 1, H, W), each in a unit of its own. rotation (B, 3, 3) and translation
    (B, 3) map points of the first frame into the second one's axes, in the unit of depth_1.
    """

    depth_1: Tensor
    depth_2: Tensor
    rotation: Tensor
    translation: Tensor


class PairTriangulation:
    """The part of a sample that is triangulated; what costs time is kept.

    Raises RecipeError, from ``check``, where a source cannot say what the recipe asks for.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._with_motion = not recipe.triangulated.only_depth
        self._needed = recipe.data.recorded == "triangulated"
        self._motions: dict[tuple[int, int, int], NDArray[np.float64] | None] = {}

    def check(self, sources: Sequence[FrameSet]) -> None:
        """All sources must be triangulated where nothing else judges them, else one of them."""
        without = [frames.name for frames in sources if not frames.has_triangulated]
        if without and (self._needed or len(without) == len(sources)):
            raise RecipeError(
                f"data.recorded asks for triangulated depth, but {', '.join(without)} has none; "
                "prepare with --triangulate (the intrinsics must be known), or leave it out"
            )

    def __call__(
        self, frames: FrameSet, first: int, second: int, window: Window, size: tuple[int, int]
    ) -> Triangulated:
        width, height = size

        def depth(index: int) -> Tensor:
            known = frames.triangulated(index)
            if known is None:
                return torch.full((1, height, width), torch.nan)
            return torch.from_numpy(window.of_labels(known, *size)[None])

        motion = self._motion(frames, first, second) if self._with_motion else None
        if motion is None:
            motion = np.full((3, 4), np.nan)
        elif window.mirrored:
            mirror = np.diag((-1.0, 1.0, 1.0))
            motion = mirror @ motion @ np.diag((-1.0, 1.0, 1.0, 1.0))
        found = torch.from_numpy(motion.astype(np.float32))
        return Triangulated(depth(first), depth(second), found[:, :3], found[:, 3])

    def _motion(self, frames: FrameSet, first: int, second: int) -> NDArray[np.float64] | None:
        """(3, 4), in the unit of the first frame's depth; None where unknown."""
        key = (id(frames), first, second)
        if key not in self._motions:
            self._motions[key] = _resected(frames, first, second)
        return self._motions[key]


def _resected(frames: FrameSet, first: int, second: int) -> NDArray[np.float64] | None:
    depth = frames.triangulated(first)
    if depth is None or frames.camera is None:
        return None
    one, two = (cv2.cvtColor(frames.image(i), cv2.COLOR_RGB2GRAY) for i in (first, second))
    try:
        matches = match(np.asarray(one, np.uint8), np.asarray(two, np.uint8))
        rotation, translation = resected(depth, matches, frames.camera.K, seed=first)
    except NoParallaxError:
        return None
    return np.c_[rotation, translation]
