"""Depth of the robot's own frames without a network: triangulated from frames before them.

With known intrinsics, geometry alone (``geometry.two_view``) gives the depth of what is textured,
static, and was seen from another place. It is far more precise than a network in a new place, and
needs no labels: it comes from the same video.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.adaptation.pairing.admission import check_parallax, parallax
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.many_views import fused_depth
from depth_motion_ros.geometry.two_view import NoParallaxError, TwoView, two_view

# Partners of a frame, in frames before it: three neighbours of this ladder at a time.
_LAGS = (1, 2, 3, 5, 8, 12, 16, 24)
_START = 4
# After a pure rotation one partner may show parallax by error, but not two the same.
_AGREEING = 2
# A longer step of time, s, is a gap: earlier frames show another place.
_GAP = 2.0

_TRIANGULATED = "triangulated"
_SWITCHED_OFF = "not triangulated: the weight triangulated is 0"
_NO_INTRINSICS = "not triangulated: the intrinsics are not known (no CameraInfo)"


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame for triangulation.

    gray: (H, W) uint8, at the size of triangulation.
    stamp: s.
    K: (3, 3) in its pixels.
    """

    gray: NDArray[np.uint8]
    stamp: float
    K: NDArray[np.float64]

    @property
    def smooth(self) -> NDArray[np.float32]:
        """As ``admission.parallax`` needs it."""
        return np.divide(cv2.GaussianBlur(self.gray, (3, 3), 0), 255, dtype=np.float32)


class FrameTriangulator:
    """Keeps the last frames in gray, and triangulates the depth of the newest.

    width, height: of the network's images. The best lag of a partner depends on the robot's speed:
    lags around the best one of the last frame are tried.
    """

    def __init__(self, width: int, height: int, settings: AdaptationSettings) -> None:
        self._size = width, height
        self._settings = settings
        self._past: deque[_Seen] = deque(maxlen=_LAGS[-1] + 1)
        self._rung = _START
        # Stamp and depth of the frame triangulated last.
        self._last: tuple[float, Tensor] | None = None
        self._status = "no frame yet"

    @property
    def status(self) -> str:
        """For people: whether depth is triangulated, and if not why."""
        return self._status

    def see(self, image: NDArray[np.uint8], stamp: float, K: NDArray[np.float64] | None) -> None:
        """Remember a frame: (H, W, 3) uint8 RGB, rectified; K in its pixels, None = unknown."""
        if not self._settings.triangulated or K is None:
            self._status = _NO_INTRINSICS if self._settings.triangulated else _SWITCHED_OFF
            self.forget()
            return
        self._status = _TRIANGULATED
        height, width = image.shape[:2]
        scale = min(1.0, self._settings.triangulation_width / width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
        seen = _Seen(small, stamp, Camera(K, width, height).resized(*size).K)
        if self._past and not _goes_on(self._past[-1], seen):
            self.forget()
        self._past.append(seen)

    def forget(self) -> None:
        """Drop all frames: the next one is the first."""
        self._past.clear()
        self._last = None

    def depths(self, first_stamp: float) -> tuple[Tensor | None, Tensor | None]:
        """Of an earlier frame, if it was once the newest here, and of the newest.

        (1, H, W) float16 at the network's size, with a median of about 1, NaN where unknown; None
        where too little is known.
        """
        first = self._last[1] if self._last is not None and self._last[0] == first_stamp else None
        newest = self._triangulated() if len(self._past) > 1 else None
        self._last = None if newest is None else (self._past[-1].stamp, newest)
        return first, newest

    def _triangulated(self) -> Tensor | None:
        newest = self._past[-1]
        found: list[tuple[int, TwoView]] = []
        top = max(i for i, lag in enumerate(_LAGS) if lag < len(self._past))
        middle = min(self._rung, top)
        for rung in range(max(0, middle - 1), min(top, middle + 1) + 1):
            partner = self._past[-1 - _LAGS[rung]]
            # Noise in the images of a rotating camera can look like depth.
            seen = parallax(newest.smooth, partner.smooth, newest.K)
            if check_parallax(seen, self._settings):
                continue
            try:
                view = two_view(newest.gray, partner.gray, newest.K)
            except NoParallaxError:
                continue
            found.append((rung, view))
        if not found:
            # Too near or too far, which is unknown: try all lags one after the other.
            self._rung = (self._rung + 1) % len(_LAGS)
            return None
        self._rung = max(found, key=lambda item: int(np.isfinite(item[1].depth).sum()))[0]
        depth = fused_depth([view for _, view in found], _AGREEING)
        small = cv2.resize(depth, self._size, interpolation=cv2.INTER_NEAREST)
        if np.isfinite(small).mean() < self._settings.min_triangulated:
            return None
        return torch.from_numpy(small.astype(np.float16))[None]


def _goes_on(before: _Seen, now: _Seen) -> bool:
    """Whether a frame belongs to the same video as the one before."""
    return (
        before.gray.shape == now.gray.shape
        and 0 < now.stamp - before.stamp < _GAP
        and np.allclose(before.K, now.K, rtol=1e-3)
    )
