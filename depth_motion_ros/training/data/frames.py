"""Frames in any order: sequence folders decoded as needed, other sources kept in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.files import read_image
from depth_motion_ros.sources.frame import FrameSource, SourceError
from depth_motion_ros.sources.sequence.reader import SequenceSource

MEMORY_LIMIT = 2 << 30
TRIANGULATED_SCALE = 4096.0
"""Gray levels of triangulated/STEM.png for the frame's median depth; 0 = unknown."""


def triangulated_file(sequence: Path, stem: str) -> Path:
    """Where the depth lies that a frame's neighbours tell, see ``triangulation``."""
    return sequence / "triangulated" / f"{stem}.png"


class FrameSet(Protocol):
    """Frames of one camera, by index.

    name: for logs. size: (width, height). camera: of all frames, without distortion, None where
    unknown. has_masks, has_triangulated: whether ``mask``, ``triangulated`` may be other than None.
    folder: of a sequence on disk, where what costs time may be kept, else None.
    """

    name: str
    size: tuple[int, int]
    camera: Camera | None
    has_masks: bool
    has_triangulated: bool
    folder: Path | None

    def __len__(self) -> int: ...

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB."""

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        """(H, W), true where something may move by itself."""

    def triangulated(self, index: int) -> NDArray[np.float32] | None:
        """(H, W) depth in units of its median, NaN where unknown."""

    def stem(self, index: int) -> str:
        """A name for a frame that stays the same."""


class SequenceFrames:
    """A sequence folder, decoded when asked.

    ``mask/STEM.png`` (0 = static) and ``triangulated/STEM.png`` are used if there.

    Raises SourceError for a folder that is no sequence, or whose images are distorted.
    """

    def __init__(self, path: str | Path) -> None:
        self._source = SequenceSource(path, truth=False)
        self.name = self._source.name
        self.folder: Path | None = self._source.path
        self.camera = _undistorted(self._source.camera, str(path))
        self._masks = self._source.path / "mask"
        self.has_masks = self._masks.is_dir()
        self.has_triangulated = triangulated_file(self._source.path, "").parent.is_dir()
        first = read_image(self._source.images[0])
        self.size = self.camera.size if self.camera else (first.shape[1], first.shape[0])

    def __len__(self) -> int:
        return len(self._source)

    def image(self, index: int) -> NDArray[np.uint8]:
        image = read_image(self._source.images[index])
        _check_size(image, self.size, str(self._source.images[index]))
        return image

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        path = self._masks / f"{self._source.images[index].stem}.png"
        if not path.is_file():
            return None
        labels = read_image(path).max(axis=2)
        _check_size(labels, self.size, str(path))
        return np.asarray(labels > 0)

    def triangulated(self, index: int) -> NDArray[np.float32] | None:
        path = triangulated_file(self._source.path, self.stem(index))
        if not path.is_file():
            return None
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
            raise SourceError(
                f"{path}: damaged, not a 16-bit gray PNG; remove it and run "
                "depth_motion prepare --triangulate again"
            )
        _check_size(pixels, self.size, str(path))
        return np.where(pixels > 0, pixels / np.float32(TRIANGULATED_SCALE), np.float32(np.nan))

    def stem(self, index: int) -> str:
        """The name of a frame's files without their ending."""
        return self._source.images[index].stem


class MemoryFrames:
    """All frames of a source, read once and kept: for short videos, bags and simulated scenes.

    Raises SourceError where that would take more than ``limit`` bytes, the frames change their
    size, are distorted, or there are fewer than two.
    """

    has_masks = False
    has_triangulated = False
    folder: Path | None = None

    def __init__(self, source: FrameSource, limit: int = MEMORY_LIMIT) -> None:
        self.name = source.name
        self._images: list[NDArray[np.uint8]] = []
        taken = 0
        for frame in source:
            taken += frame.image.nbytes
            if taken > limit:
                raise SourceError(
                    f"{self.name}: its frames take more than {limit >> 20} MiB of memory; "
                    "turn it into a prepared set first (depth_motion prepare)"
                )
            if not self._images:
                self.size = (frame.image.shape[1], frame.image.shape[0])
                self.camera = _undistorted(frame.camera, self.name)
            _check_size(frame.image, self.size, f"{self.name}, frame {len(self._images)}")
            self._images.append(frame.image)
        if len(self._images) < 2:
            raise SourceError(f"{self.name}: {len(self._images)} frames make no pair")

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> NDArray[np.uint8]:
        return self._images[index]

    def mask(self, index: int) -> NDArray[np.bool_] | None:
        return None

    def triangulated(self, index: int) -> NDArray[np.float32] | None:
        return None

    def stem(self, index: int) -> str:
        return str(index)


def _undistorted(camera: Camera | None, name: str) -> Camera | None:
    if camera is not None and camera.is_distorted:
        raise SourceError(
            f"{name}: its images are distorted ({camera.distortion_model}, "
            f"{camera.distortion.tolist()}); rectify them first (depth_motion prepare)"
        )
    return camera


def _check_size(image: NDArray, size: tuple[int, int], name: str) -> None:
    if image.shape[1::-1] != size:
        raise SourceError(
            f"{name}: {image.shape[1]}x{image.shape[0]}, but the first image is {size[0]}x{size[1]}"
        )
