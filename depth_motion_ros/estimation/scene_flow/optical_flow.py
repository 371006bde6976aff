"""Dense optical flow from an image to the previous one."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.texture import has_texture

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Dense inverse search (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016) at
# full size, without its variational smoothing: the presets stop at a half or a quarter of it, and
# smoothing removes what is small and moves (research/object_motion.md).
_FORWARD_DIS_OPTIONS = {"FinestScale": 0, "PatchStride": 5, "GradientDescentIterations": 5}
# The backward flow only has to show where the forward flow is wrong.
_BACKWARD_DIS_OPTIONS = {"FinestScale": 1, "PatchStride": 4, "GradientDescentIterations": 6}
# Tolerance of the forward-backward check (Sundaram, Brox, Keutzer,
# Dense Point Trajectories by GPU-Accelerated Large Displacement Optical Flow, ECCV 2010).
_MAX_RETURN_ERROR_PX, _MAX_RETURN_ERROR_SHARE = 0.7, 0.1


class DenseFlow(NamedTuple):
    """Optical flow to the previous image.

    x: (H, W) displacement in pixels along x.
    y: (H, W) displacement in pixels along y.
    good: (H, W) bool, passes the forward-backward check, inside the previous image, on texture.
    """

    x: Floats
    y: Floats
    good: NDArray[np.bool_]

    def target(self) -> tuple[Floats, Floats]:
        """(H, W) each: where the pixels lie in the previous image."""
        height, width = self.x.shape
        column = np.arange(width, dtype=np.float32)
        return self.x + column, self.y + np.arange(height, dtype=np.float32)[:, None]

    def resized(self, size: tuple[int, int]) -> DenseFlow:
        """In pixels of another image size (width, height): means over areas, good where most of
        the area is."""
        height, width = self.x.shape
        if size == (width, height):
            return self
        good = _area(self.good.astype(np.float32), size) > 0.5
        x = _area(self.x, size) * np.float32(size[0] / width)
        return DenseFlow(x, _area(self.y, size) * np.float32(size[1] / height), good)


class FlowResult(NamedTuple):
    """Two images and the flow between them.

    grey: (H, W), this image.
    previous: (H, W), the previous image.
    flow: from this image to the previous one.
    """

    grey: Bytes
    previous: Bytes
    flow: DenseFlow


def follow(image: Bytes, previous: Bytes) -> FlowResult:
    """Flow between (H, W, 3) uint8 RGB images."""
    now, before = (
        np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        for pixels in (image, previous)
    )
    return FlowResult(now, before, dense_flow(now, before))


def dense_flow(grey: Bytes, previous: Bytes) -> DenseFlow:
    """Follow every pixel of a gray image (H, W) back into the previous one."""
    there, back = (
        search_flow(_FORWARD_DIS_OPTIONS, grey, previous),
        search_flow(_BACKWARD_DIS_OPTIONS, previous, grey),
    )
    height, width = grey.shape
    x, y = cv2.split(there)
    column, row = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    target_x, target_y = x + column, y + row
    returned = cv2.remap(
        back, target_x, target_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    missed_x, missed_y = cv2.split(np.asarray(there + returned))
    miss = missed_x * missed_x + missed_y * missed_y
    good = miss < np.float32(_MAX_RETURN_ERROR_PX**2) + np.float32(_MAX_RETURN_ERROR_SHARE**2) * (
        x * x + y * y
    )
    good &= has_texture(grey)
    good &= (target_x >= 0) & (target_x <= width - 1) & (target_y >= 0) & (target_y <= height - 1)
    return DenseFlow(np.asarray(x, np.float32), np.asarray(y, np.float32), np.asarray(good, bool))


def search_flow(options: dict[str, int], first: Bytes, second: Bytes) -> Floats:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setVariationalRefinementIterations(0)
    for name, value in options.items():
        getattr(search, f"set{name}")(value)
    return np.asarray(search.calc(first, second, None), np.float32)  # type: ignore[call-overload]


def _area(values: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
