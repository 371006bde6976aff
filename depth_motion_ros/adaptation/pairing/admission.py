"""Which pairs of frames may be trained on: those that show a scene from two places.

The tests on images alone come first: they are cheap, and independent of the network, which is at
its worst where they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.adaptation.settings import AdaptationSettings

REASONS = (
    "first",
    "bad_image",
    "time_step",
    "covered",
    "still",
    "exposure",
    "scene_cut",
    "rotation",
    "flat",
    "not_finite",
    "displacement",
    "valid",
    "warp",
    "residual",
    "budget",
    "cooling",
    "off",
)
"""Why a pair was refused, as counted in ``AdaptationStatus.refused``.

first: no frame to pair with. bad_image: not (H, W, 3) uint8, or an impossible K. time_step: out of
range, or time went back. covered: no texture. still: no more change than noise, or by odometry.
exposure: brightness changed. scene_cut: points of the first image are not found in the second.
rotation: the camera rotated and hardly moved. flat: one plane explains all motion, as the side of a
passing truck does. not_finite: the network predicted NaN. displacement: too small relative to the
median depth, or implausibly large. valid: most pixels leave the image. warp: the warped image fits
no better than the unwarped. residual: most of the image seems to move by itself. budget: no
processor time to examine it. cooling, off: not learning.
"""

WORTH_WAITING = ("still", "rotation", "flat", "displacement")
"""After these reasons the reference is kept: a later frame may make a good pair with it."""

# Motion is measured on this many points: enough for a median, and cheap beside the flow.
_POINTS = 400
_FIT_ROUNDS = 4
# Horizontal field of view while intrinsics are unknown: between a webcam's and a car's.
_USUAL_VIEW = np.radians(70.0)
_DARK = 0.02
# Tolerance of the forward-backward check: pixels, and share of the flow.
_ASTRAY, _ASTRAY_SHARE = 0.7, 0.1
_FEWEST = 12


@dataclass(frozen=True, eq=False)
class AdmissionView:
    """A frame as admission sees it.

    image: (H, W, 3) uint8 RGB at the network's size. gray: (H, W) float32 in [0, 1], slightly
    blurred against noise. stamp: s. place: (4, 4), of the camera by odometry, in axes of its own.
    has_odometry: place is known relative to the view before.
    """

    image: NDArray[np.uint8]
    gray: NDArray[np.float32]
    stamp: float
    place: NDArray[np.float64]
    has_odometry: bool = False


def view_of(
    image: NDArray[np.uint8],
    stamp: float,
    place: NDArray[np.float64],
    has_odometry: bool = False,
) -> AdmissionView:
    """image: (H, W, 3) uint8 RGB at the network's size."""
    blurred = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (3, 3), 0)
    gray = np.divide(blurred, 255, dtype=np.float32)
    return AdmissionView(image, gray, stamp, place, has_odometry)


@dataclass(frozen=True)
class Parallax:
    """Image motion of a pair, and how much of it is parallax.

    motion: median length of the flow, in image widths.
    left: upper quartile of the flow that a rotation leaves unexplained, in image widths.
    structure: upper quartile of the flow that a homography leaves unexplained, in image widths.
    tracked: share of points that pass the forward-backward check.
    """

    motion: float
    left: float
    structure: float
    tracked: float


def check_images(
    first: AdmissionView,
    second: AdmissionView,
    K: NDArray[np.float64] | None,
    settings: AdaptationSettings,
) -> str:
    """One of ``REASONS`` against a pair by its images and odometry; empty where there is none.

    K: (3, 3) in pixels of the views; None = unknown.
    """
    step = second.stamp - first.stamp
    if not settings.min_time_step <= step <= settings.max_time_step:
        return "time_step"
    if min(_texture(first.gray), _texture(second.gray)) < settings.min_texture:
        return "covered"
    if second.has_odometry:
        moved = np.linalg.norm(np.linalg.inv(first.place)[:3] @ second.place[:, 3])
        if moved < settings.min_odometry:
            return "still"
    change = float(np.abs(second.gray - first.gray).mean())
    if change < settings.min_image_change:
        return "still"
    exposure = np.log((second.gray.mean() + _DARK) / (first.gray.mean() + _DARK))
    if abs(exposure) > settings.max_exposure_change:
        return "exposure"
    if change > settings.max_image_change:
        return "scene_cut"
    found = parallax(first.gray, second.gray, K)
    if found.tracked < settings.min_tracked:
        return "scene_cut"
    if found.motion > settings.max_flow:
        return "rotation"
    return check_parallax(found, settings)


def check_parallax(found: Parallax, settings: AdaptationSettings) -> str:
    """``rotation`` or ``flat`` where two images show no depth; empty where they do."""
    if (
        found.left < settings.min_parallax
        or found.left < settings.min_parallax_share * found.motion
    ):
        return "rotation"
    if (
        found.structure < settings.min_structure
        or found.structure < settings.min_structure_share * found.motion
    ):
        return "flat"
    return ""


def parallax(
    first: NDArray[np.float32], second: NDArray[np.float32], K: NDArray[np.float64] | None
) -> Parallax:
    """How much of the motion between two gray images (H, W) no rotation of the camera explains.

    Dense flow (DIS, Kroeger et al. 2016) at strong gradients, and the rotation between the rays
    through both ends that fits best (Kabsch, reweighted towards the L1 norm). Unlike the network it
    is not biased towards translation.
    """
    height, width = first.shape
    there, back = _flow(first, second), _flow(second, first)
    ys, xs = _strong_points(first)
    start = np.stack((xs, ys), axis=1).astype(np.float32)
    shift = there[ys, xs]
    end = start + shift
    returned = cv2.remap(back, end[:, None], np.empty(0), cv2.INTER_LINEAR)[:, 0]
    length = np.linalg.norm(shift, axis=1)
    inside = (end >= 0).all(axis=1) & (end <= (width - 1, height - 1)).all(axis=1)
    astray = np.linalg.norm(shift + returned, axis=1)
    tracked = inside & (astray < _ASTRAY + _ASTRAY_SHARE * length)
    if np.count_nonzero(tracked) < _FEWEST:
        return Parallax(0.0, 0.0, 0.0, 0.0)
    matrix = _usual_camera(width, height) if K is None else K
    start, end = start[tracked], end[tracked]
    left = _unexplained_by_turning(start.astype(np.float64), end.astype(np.float64), matrix)
    return Parallax(
        float(np.median(length[tracked]) / width),
        float(np.percentile(left, 75) / width),
        float(np.percentile(_unexplained_by_plane(start, end), 75) / width),
        float(tracked.mean()),
    )


def _flow(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 2) pixels."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    images = [np.clip(image * 255, 0, 255).astype(np.uint8) for image in (first, second)]
    flow = np.zeros((*first.shape, 2), np.float32)
    return np.asarray(method.calc(images[0], images[1], flow), dtype=np.float32)


def _strong_points(gray: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of strong gradients all over the image: the strongest of each cell."""
    gy, gx = np.gradient(gray)
    strength = np.hypot(gx, gy)
    height, width = gray.shape
    cell = max(2, int(np.sqrt(height * width / _POINTS)))
    rows, columns = height // cell, width // cell
    blocks = strength[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    best = blocks.transpose(0, 2, 1, 3).reshape(rows, columns, cell * cell).argmax(axis=2)
    ys = np.arange(rows)[:, None] * cell + best // cell
    xs = np.arange(columns)[None] * cell + best % cell
    # In weaker halves of the image the flow is a guess.
    chosen = strength[ys, xs] >= np.median(strength[ys, xs])
    return ys[chosen], xs[chosen]


def _unexplained_by_turning(
    start: NDArray[np.float64], end: NDArray[np.float64], K: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) pixels between ``end`` and where the best rotation carries ``start``; both (N, 2)."""
    inverse = np.linalg.inv(K)
    rays = [np.column_stack((points, np.ones(len(points)))) @ inverse.T for points in (start, end)]
    first, second = (ray / np.linalg.norm(ray, axis=1, keepdims=True) for ray in rays)
    weight = np.ones(len(start))
    left = np.zeros(len(start))
    for _ in range(_FIT_ROUNDS):
        u, _, vt = np.linalg.svd((second * weight[:, None]).T @ first)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        turned = first @ rotation.T @ K.T
        left = np.linalg.norm(turned[:, :2] / np.maximum(turned[:, 2:], 1e-6) - end, axis=1)
        weight = 1 / (left + 0.1)
    return left


def _unexplained_by_plane(
    start: NDArray[np.float32], end: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N,) pixels between ``end`` and where the homography of most points carries ``start``.

    A moving plane, and any rotation of the camera with any intrinsics, is a homography.
    """
    homography, _ = cv2.findHomography(start, end, cv2.LMEDS)
    if homography is None:
        return np.zeros(len(start), np.float32)
    carried = cv2.perspectiveTransform(start[:, None], homography)[:, 0]
    return np.asarray(np.linalg.norm(carried - end, axis=1), dtype=np.float32)


def _usual_camera(width: int, height: int) -> NDArray[np.float64]:
    focal = 0.5 * width / np.tan(0.5 * _USUAL_VIEW)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def _texture(gray: NDArray[np.float32]) -> float:
    """Mean gradient per pixel."""
    return float(
        np.abs(np.diff(gray, axis=0)).mean() / 2 + np.abs(np.diff(gray, axis=1)).mean() / 2
    )
