"""The rays along which depth lies."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera


def rays(camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y of every pixel's direction at z = 1, (H, W) each, kept from call to call.

    The arrays are shared: they cannot be written.
    """
    return _rays(camera.K.tobytes(), camera.width, camera.height)


# A node has at most two sizes in use for one camera; the rest is for several estimators at once.
@functools.lru_cache(maxsize=8)
def _rays(K: bytes, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    directions = Camera(np.frombuffer(K).reshape(3, 3), width, height).rays()
    x, y = np.ascontiguousarray(directions[..., 0]), np.ascontiguousarray(directions[..., 1])
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y
