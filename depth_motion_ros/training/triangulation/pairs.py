"""What a video tells about one of its pairs: the part of a sample that is triangulated.

Depth was written when the sequence was prepared; the motion between the two frames of a pair is
found from it before the pair is first drawn, and kept beside it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.geometry.two_view import NoParallaxError, match, resected
from depth_motion_ros.sources.files import write_atomically
from depth_motion_ros.training.data.augment import CropWindow
from depth_motion_ros.training.data.frames import FrameSet, triangulated_file
from depth_motion_ros.training.recipe import Recipe, RecipeError

MOTIONS_FILE = "motions.json"
"""Beside the triangulated depth of a sequence: motions by the two frames' stems, null = unknown."""

_UNKNOWN = np.full((3, 4), np.nan, np.float32)


class TriangulatedLabel(NamedTuple):
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
        self._with_motion = recipe.triangulated.needs_motion
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

    def gather(self, frames: FrameSet, pairs: Iterable[tuple[int, int]]) -> None:
        """Find the motions of pairs of one source now, if anything asks for them.

        What was found before is read from the sequence's folder, and what is new is written there.
        """
        if not self._with_motion or not frames.has_triangulated:
            return
        kept = _read_motions(frames)
        missing = [p for p in pairs if _pair_name(frames, *p) not in kept]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda pair: _resected(frames, *pair), missing))
        for pair, motion in zip(missing, found, strict=True):
            kept[_pair_name(frames, *pair)] = motion
        if missing:
            _write_motions(frames, kept)
        for first, second in pairs:
            self._motions[id(frames), first, second] = kept[_pair_name(frames, first, second)]

    def __call__(
        self, frames: FrameSet, first: int, second: int, window: CropWindow, size: tuple[int, int]
    ) -> TriangulatedLabel:
        width, height = size

        def depth(index: int) -> Tensor:
            known = frames.triangulated(index)
            if known is None:
                return torch.full((1, height, width), torch.nan)
            return torch.from_numpy(window.of_labels(known, *size)[None])

        motion = self.motion(frames, first, second)
        if window.mirrored:
            motion = mirrored_motion(motion)
        found = torch.from_numpy(motion)
        return TriangulatedLabel(depth(first), depth(second), found[:, :3], found[:, 3])

    def motion(self, frames: FrameSet, first: int, second: int) -> NDArray[np.float32]:
        """(3, 4) from the first to the second frame's axes, in the unit of the first one's depth.

        NaN where it is unknown, or nothing asks for it.
        """
        found = self._motion(frames, first, second) if self._with_motion else None
        return _UNKNOWN if found is None else found.astype(np.float32)

    def _motion(self, frames: FrameSet, first: int, second: int) -> NDArray[np.float64] | None:
        """(3, 4), in the unit of the first frame's depth; None where unknown."""
        key = (id(frames), first, second)
        if key not in self._motions:
            self._motions[key] = _resected(frames, first, second)
        return self._motions[key]


def mirrored_motion(motion: NDArray[np.float32]) -> NDArray[np.float32]:
    """A motion (3, 4) as a mirror shows it that exchanges left and right."""
    sign = np.array((-1, 1, 1, 1), np.float32)
    return motion * sign[:3, None] * sign


def _pair_name(frames: FrameSet, first: int, second: int) -> str:
    return f"{frames.stem(first)} {frames.stem(second)}"


def _motions_file(frames: FrameSet) -> Path | None:
    return frames.folder and triangulated_file(frames.folder, "").parent / MOTIONS_FILE


def _read_motions(frames: FrameSet) -> dict[str, NDArray[np.float64] | None]:
    """Motions kept of a sequence; none where the file is missing or damaged."""
    file = _motions_file(frames)
    try:
        kept = json.loads(file.read_text(encoding="utf-8")) if file else {}
        return {
            name: None if motion is None else np.array(motion, np.float64).reshape(3, 4)
            for name, motion in kept.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write_motions(frames: FrameSet, motions: dict[str, NDArray[np.float64] | None]) -> None:
    file = _motions_file(frames)
    if file is None:
        return
    rows = {name: None if m is None else m.ravel().tolist() for name, m in motions.items()}
    try:
        write_atomically(file, json.dumps(rows).encode())
    except OSError as error:
        # A data set that only may be read is no reason not to train on it.
        logging.getLogger(__name__).warning("%s: cannot keep motions: %s", file, error)


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
