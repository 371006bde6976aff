"""Learned intrinsics, filtered over time."""

from __future__ import annotations

import math
import statistics
from collections import deque

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera

# The camera follows the median only after a change of more than this: a cloud that grows and
# shrinks with every frame is worse than a slightly wrong focal length.
_FOCAL_HYSTERESIS_SHARE = 0.01


class LearnedIntrinsics:
    """Median of the network's intrinsics over the last frames, at the network's image size."""

    def __init__(self, window: int) -> None:
        self._samples: deque[tuple[float, ...]] = deque(maxlen=window)
        self._used: NDArray[np.float64] | None = None

    def add(self, K: NDArray[np.float32], squeeze: float | None = None) -> None:
        """K: (3, 3) in pixels. Impossible values (not finite, focal <= 0) are ignored.

        squeeze: known fx / fy of a camera with square pixels: fx and fy become the one focal length
        nearest to both. None = keep both.
        """
        fx, fy, *centre = (float(K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        if not all(map(math.isfinite, (fx, fy, *centre))) or min(fx, fy) <= 0:
            return
        if squeeze is not None:
            fy = math.sqrt(fx * fy / squeeze)
            fx = fy * squeeze
        self._samples.append((fx, fy, *centre))
        # np.median costs five times as much on so few numbers.
        median = np.array(
            [statistics.median(values) for values in zip(*self._samples, strict=True)]
        )
        # Principal points are compared in units of the focal length, which is never near 0.
        if (
            self._used is None
            or (
                np.abs(median - self._used) > _FOCAL_HYSTERESIS_SHARE * np.tile(self._used[:2], 2)
            ).any()
        ):
            self._used = median

    def camera(self, width: int, height: int) -> Camera | None:
        """The camera of the network's image; None before the first sample."""
        if self._used is None:
            return None
        fx, fy, cx, cy = self._used
        return Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), width, height)

    def clear(self) -> None:
        """Forget everything: another camera follows."""
        self._samples.clear()
        self._used = None
