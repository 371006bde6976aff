"""Where an image has texture that can be followed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Mean square of the image gradient (gray levels per pixel), over a square, that flow can hold.
_TEXTURE, _SQUARE = 4.0, (7, 7)


def has_texture(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) of a gray image (H, W)."""
    gx, gy = (cv2.Sobel(gray, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    return np.asarray(cv2.boxFilter(gx * gx + gy * gy, -1, _SQUARE) > _TEXTURE, bool)
