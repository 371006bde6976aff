"""What a source hands out: one image with its time, its camera and, where known, the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera


class SourceError(RuntimeError):
    """A source cannot be opened or read; the message names the file, the reason and the fix."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What is known about a frame; None where it is not. Sizes are the image's.

    depth: (H, W) float32, metres along the optical axis, NaN = unknown.
    pose: (4, 4) float64, camera (optical axes) to world, metres.
    motion: (H, W, 3) float32, metres the surface point moves by itself until the next frame,
        in the next frame's camera axes; NaN = unknown.
    instance: (H, W) uint16, 0 = static.
    speed: forward speed of the robot in m/s, from its odometry.
    """

    depth: NDArray[np.float32] | None = None
    pose: NDArray[np.float64] | None = None
    motion: NDArray[np.float32] | None = None
    instance: NDArray[np.uint16] | None = None
    speed: float | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One image. stamp: ns. image: (H, W, 3) uint8 RGB. camera: None where unknown."""

    stamp: int
    image: NDArray[np.uint8]
    camera: Camera | None = None
    truth: GroundTruth | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"image must be (H, W, 3) uint8 RGB, got {self.image.shape} {self.image.dtype}"
            )
        if self.camera is not None and self.camera.size != self.image.shape[1::-1]:
            raise ValueError(
                f"camera is for {self.camera.width}x{self.camera.height}, "
                f"image is {self.image.shape[1]}x{self.image.shape[0]}"
            )


@runtime_checkable
class FrameSource(Protocol):
    """Frames in order of time. Iterating anew starts at the first frame; live sources cannot.

    name: a short label for logs and reports.
    rate: nominal frames per second, None if unknown.
    length: number of frames, None if unknown or endless.
    """

    name: str
    rate: float | None
    length: int | None

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
