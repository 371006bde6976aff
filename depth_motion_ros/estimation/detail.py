"""Image sizes: the network's, and one with more detail for the alignment."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

# Motion is refined on an image of this many pixels if the frame has them, whatever the network's
# size: half the pixels along a side double the error of rotation. It must have at least this many
# times the network's pixels to be worth it.
_DETAIL_PIXELS = 416 * 128
_MIN_PIXEL_RATIO = 1.5


def detail_of(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """The image with about ``_DETAIL_PIXELS`` pixels; None if the network's size is similar."""
    height, width = image.shape[:2]
    shrink = min(1.0, math.sqrt(_DETAIL_PIXELS / (width * height)))
    wanted = round(shrink * width), round(shrink * height)
    if wanted[0] * wanted[1] < _MIN_PIXEL_RATIO * size[0] * size[1]:
        return None
    return image.copy() if wanted == (width, height) else reduced(image, wanted)


def reduced(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
