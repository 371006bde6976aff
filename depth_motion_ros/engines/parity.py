"""How far one engine's answer lies from another's."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import RawPrediction

# Two (H, W, 3) uint8 RGB images, the older first.
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Parity:
    """errors: output → largest absolute difference over the largest absolute reference value.

    mask_flips: share of pixels where only one of the two has residual motion. MotionNet's
    auto-mask is a threshold, so rounding may flip a pixel that lies on it; such pixels do not
    count in errors["residual"].
    """

    errors: dict[str, float]
    mask_flips: float

    @property
    def worst(self) -> float:
        return max(self.errors.values())

    def within(self, tolerance: float) -> bool:
        """Whether every error and the share of flipped pixels are at most ``tolerance``."""
        return self.worst <= tolerance and self.mask_flips <= tolerance


def textured_pair(size: tuple[int, int]) -> Pair:
    """Two images of (width, height) of smooth random texture, the second moved by two pixels."""
    width, height = size
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    image = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return image, np.roll(image, 2, axis=1)


def compare(reference: RawPrediction, other: RawPrediction) -> Parity:
    """Compare two predictions for the same input.

    Raises ValueError where only one of them has a motion.
    """
    errors = {"depth": _error(reference.depth, other.depth)}
    if (reference.motion is None) != (other.motion is None):
        raise ValueError("only one of the predictions has a motion; run both on the same pair")
    flips = 0.0
    if reference.motion is not None and other.motion is not None:
        for name in ("rotation", "translation", "K"):
            errors[name] = _error(getattr(reference.motion, name), getattr(other.motion, name))
        a, b = reference.motion.residual, other.motion.residual
        flipped = a.any(axis=-1) != b.any(axis=-1)
        flips = float(flipped.mean())
        errors["residual"] = _error(np.where(flipped[..., None], 0, a), b * ~flipped[..., None])
    return Parity(errors, flips)


def _error(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    difference = float(np.abs(a.astype(np.float64) - b).max())
    scale = float(np.abs(a).max())
    if not np.isfinite(difference):
        return float("inf")
    return difference / scale if scale > 0 else difference
