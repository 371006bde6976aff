"""Corners of a frame, tracked into the previous frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.template import Floats
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

# Side of a cell with one corner: some hundreds of corners, spread over the image.
_CELL_PX = 9
# Neighbourhood of the corner measure, and tracked window.
_CORNER_BLOCK_PX, _WINDOW_PX = 5, 11
_MEAN_WINDOW_PX = 21
# Of cv2.cornerMinEigenVal. Less is noise.
_MIN_CORNER_STRENGTH = 1e-5
_TRACKING_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 6, 0.02)
# Tolerance of the forward-backward check.
_MAX_RETURN_ERROR_PX = 0.3
# Border in which no whole window fits.
_BORDER_PX = 5
_OUTSIDE_PX = -1e3


@dataclass(frozen=True, eq=False)
class Tracks:
    """N tracked corners.

    pixel: (2, N) x and y in this frame.
    target: (2, N) x and y in the previous frame.
    index: (N,) flat index of the pixel.
    rays: (3, N) directions at z = 1.
    inverse_depth: (N,) >= 0, by the depth map.
    weight: (N,) in [0, 1], 1 = surely static.
    tried: number of corners, tracked or not.
    """

    pixel: Floats
    target: Floats
    index: NDArray[np.intp]
    rays: Floats
    inverse_depth: Floats
    weight: Floats
    tried: int


def follow(
    grey: NDArray[np.uint8],
    previous: NDArray[np.uint8],
    inverse_depth: Floats,
    weight: Floats,
    motion: NDArray[np.float64],
    camera: Camera,
) -> Tracks:
    """Lucas and Kanade, forward and backward, from the position that depth and motion predict.

    The previous image is first warped by depth and motion, so that the compared windows have the
    same size and are few pixels apart. Wrong depth does no harm, since the warp is known.

    grey, previous: (H, W) of the camera's size. inverse_depth, weight: (H, W). motion: (4, 4),
    points of this camera to the previous one's axes.
    """
    pixel = _corners(grey)
    tried = len(pixel)
    if not tried:
        return _none()
    source = _warp(inverse_depth, motion, camera)
    warped = cv2.remap(previous, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    here, before = _detail(grey), _detail(warped)
    there, found = _step(here, before, pixel)
    back, returned = _step(before, here, there)
    target = cv2.remap(source, there[:, None], None, cv2.INTER_LINEAR)[:, 0]  # type: ignore[call-overload]
    width, height = camera.size
    index = pixel[:, 1].astype(np.intp) * width + pixel[:, 0].astype(np.intp)
    rho = inverse_depth.ravel()[index]
    good = found & returned & (((back - pixel) ** 2).sum(axis=1) < _MAX_RETURN_ERROR_PX**2)
    good &= ((target > 1) & (target < np.array((width - 2, height - 2)))).all(axis=1)
    # False for NaN too.
    good &= rho >= 0
    index = index[good]
    x, y = (values.ravel()[index] for values in rays(camera))
    return Tracks(
        pixel=pixel[good].T,
        target=np.ascontiguousarray(target[good].T, np.float32),
        index=index,
        rays=np.stack((x, y, np.ones_like(x))),
        inverse_depth=rho[good],
        weight=weight.ravel()[index],
        tried=tried,
    )


def _none() -> Tracks:
    nothing = np.zeros((3, 0), np.float32)
    return Tracks(
        nothing[:2], nothing[:2], np.zeros(0, np.intp), nothing, nothing[0], nothing[0], 0
    )


def _corners(grey: NDArray[np.uint8]) -> Floats:
    """(N, 2) the best corner of every cell that has one."""
    strength = np.asarray(cv2.cornerMinEigenVal(grey, _CORNER_BLOCK_PX))
    strength[:_BORDER_PX] = strength[-_BORDER_PX:] = 0
    strength[:, :_BORDER_PX] = strength[:, -_BORDER_PX:] = 0
    rows, columns = (length // _CELL_PX for length in grey.shape)
    cells = strength[: rows * _CELL_PX, : columns * _CELL_PX].reshape(
        rows, _CELL_PX, columns, _CELL_PX
    )
    flat = cells.transpose(0, 2, 1, 3).reshape(rows, columns, _CELL_PX * _CELL_PX)
    best = flat.argmax(axis=2)
    y = np.arange(rows)[:, None] * _CELL_PX + best // _CELL_PX
    x = np.arange(columns)[None, :] * _CELL_PX + best % _CELL_PX
    chosen = strength[y, x] > _MIN_CORNER_STRENGTH
    return np.stack((x[chosen], y[chosen]), axis=1).astype(np.float32)


def _warp(inverse_depth: Floats, motion: NDArray[np.float64], camera: Camera) -> Floats:
    """(H, W, 2) position of each pixel in the previous image; far outside if it has none."""
    turned, moved = camera.K @ motion[:3, :3], camera.K @ motion[:3, 3]
    ray_x, ray_y = rays(camera)
    # x, y and inverse depth to homogeneous pixels: the constant is the ray's z = 1.
    affine = np.column_stack((turned[:, :2], moved, turned[:, 2]))
    pixels = np.asarray(cv2.transform(cv2.merge((ray_x, ray_y, inverse_depth)), affine))
    x, y, w = (np.asarray(part, np.float32) for part in cv2.split(pixels))
    with np.errstate(divide="ignore", invalid="ignore"):
        x /= w
        y /= w
    outside = ~(w > 0)
    x[outside] = y[outside] = _OUTSIDE_PX
    return np.asarray(cv2.merge((x, y)), np.float32)


def _detail(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image minus its local mean, which changes with exposure."""
    mean = cv2.blur(grey, (_MEAN_WINDOW_PX, _MEAN_WINDOW_PX))
    return np.asarray(cv2.addWeighted(grey, 1.0, mean, -1.0, 128.0), np.uint8)


def _step(
    first: NDArray[np.uint8], second: NDArray[np.uint8], points: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    moved, found, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
        first,
        second,
        points,
        None,
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=0,
        criteria=_TRACKING_CRITERIA,
    )
    return np.asarray(moved, np.float32), found[:, 0] > 0
