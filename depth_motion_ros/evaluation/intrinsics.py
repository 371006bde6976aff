"""Learned focal length against the true one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.geometry.camera import Camera


class FocalScore:
    """Collects the learned K of every pair of frames of one camera.

    As a robot would use it, the focal length of a sequence is the median over its pairs of one
    focal length for both axes: pixels are square.
    """

    def __init__(self) -> None:
        self._learned: list[tuple[float, float]] = []
        self._true: list[tuple[float, float]] = []

    def add(self, K: NDArray[np.float64], camera: Camera | None) -> None:
        """K: (3, 3) learned, in pixels of the camera's image. camera None: not counted."""
        if camera is not None:
            self._learned.append((float(K[0, 0]), float(K[1, 1])))
            self._true.append((camera.fx, camera.fy))

    @property
    def count(self) -> int:
        """Pairs with a true camera."""
        return len(self._true)

    def metrics(self) -> dict[str, float]:
        """focal_error: mean over x and y of abs(f - f*) / f*, f = median of sqrt(fx fy).

        focal_x, focal_y: medians over pairs, each axis by itself (pixels); focal_std: standard
        deviation over pairs, relative, mean of x and y. Raises EvaluationError without a pair.
        """
        if not self._true:
            raise EvaluationError("no pair of frames with a known camera: no focal error")
        learned, true = np.median(self._learned, axis=0), np.median(self._true, axis=0)
        focal = np.median(np.sqrt(np.prod(self._learned, axis=1)))
        return {
            "focal_error": float(np.mean(np.abs(focal - true) / true)),
            "focal_x": float(learned[0]),
            "focal_y": float(learned[1]),
            "focal_std": float(np.mean(np.std(self._learned, axis=0) / learned)),
        }
