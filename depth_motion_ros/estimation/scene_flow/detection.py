"""What moves by itself, by geometry: optical flow against the camera's motion and depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.estimation.scene_flow.optical_flow import DenseFlow, FlowResult
from depth_motion_ros.estimation.scene_flow.rigid_flow import (
    FLOW_STD_PARALLAX_SHARE,
    FLOW_STD_PX,
    Doubles,
    Floats,
    RigidFlow,
    rigid_flow,
    without_motion_error,
)
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

# Square over which flow is averaged, and the share of its pixels that must be good.
_POOL_SIDE_PX, _MIN_GOOD_SHARE = 5, 0.5
# Weight of the residual flow of the frame before: noise averages out, motion does not.
_MEMORY_PER_FRAME = 0.6
# Hysteresis: a patch grows to the lower threshold from enough pixels above the higher one.
_GROW_STDS, _SEED_STDS, _MIN_SEED_PIXELS = 2.5, 7.0, 12
# Depth is too far more often than too near (thin things are missed): the error is larger that way.
_TOO_FAR_ERROR_FACTOR = 5 / 3
# At edges and thin things depth is worse than on average.
_MIN_DEPTH_RELATIVE_STD = 0.3
# What appears infinitely far above the horizon may be sky, at this penalty, and the flow of clouds
# is less certain. Below the horizon it is something that drives ahead as fast as the camera.
_SKY_PENALTY_STDS, _CLOUD_FLOW_STD_PX = 2.0, 0.15
# Width of the compared rim of a patch, and how much worse ego-motion must explain it than flow does
# (gray levels): flow spreads over outlines.
_RIM_WIDTH_PX, _MIN_RIM_DIFFERENCE_GREY = 4, 1.0
# A pixel shows only motion across its ray: threshold as a share of the slowest speed that counts.
_ACROSS_SPEED_SHARE = 0.5
# A patch grows this far into pixels without good flow, which is lost at outlines and on limbs.
_GROWTH_PX = 2
# Fit of a patch: iterations, Student's t, neighbours with correlated errors, and the standard
# deviation of speed in units of the slowest that counts.
_FIT_ITERATIONS, _STUDENT_T_DOF, _CORRELATED_PIXELS, _USUAL_SPEED_FACTOR = 3, 4.0, 5.0, 5.0
_SQUARE_KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class _Memory:
    """The residual flow so far.

    stamp: of the last frame, ns.
    left: (H, W, 3): x and y in pixels per second, and their weight in frames.
    """

    stamp: int
    left: Floats


class FlowMotionDetector:
    """Finds optical flow that neither ego-motion nor errors of depth explain.

    Across the epipolar line depth moves no pixel: a deviation above the noise of flow and
    ego-motion is an object's motion. Along the line, the deviation is compared with the usual error
    of depth, which cannot lie beyond infinity. The residual is averaged over a few frames and
    joined to patches by hysteresis.
    """

    def __init__(self) -> None:
        self._memory: _Memory | None = None

    def residual(
        self,
        followed: FlowResult,
        depth: Floats,
        pair: PairMotion,
        camera: Camera,
        stamps: tuple[int, int],
        depth_relative_std: float,
        least: float,
        up: Doubles,
    ) -> Floats:
        """(H, W, 3) T_res: a point X of this frame lies at R X + t + T_res in the previous camera's
        axes; one per patch, zero where nothing moves or nothing is known.

        followed: the optical flow between the two frames. depth: (H, W) in the unit of the pair,
        NaN = unknown. stamps: ns, of the previous frame and this one. depth_relative_std: relative
        standard deviation of depth. least: length of T_res per second below which a pixel
        counts as static.
        """
        depth_relative_std = max(depth_relative_std, _MIN_DEPTH_RELATIVE_STD)
        size = depth.shape[1::-1]
        flow = followed.flow.resized(size)
        known = ~np.isnan(depth)
        z = np.where(known, depth, np.float32(1))
        seen = rigid_flow(flow, z, pair.rotation, pair.translation, pair.covariance, camera)
        good = flow.good & known
        seen = without_motion_error(seen, good, depth_relative_std)
        dt = (stamps[1] - stamps[0]) * 1e-9
        x, y, frames = self._averaged(seen, flow, good, stamps, dt)
        length_x = x * seen.point[2] * np.float32(1 / camera.fx)
        length_y = y * seen.point[2] * np.float32(1 / camera.fy)
        slowest = _ACROSS_SPEED_SHARE * least * dt
        fast = length_x * length_x + length_y * length_y > slowest * slowest
        ray_x, ray_y = rays(camera)
        sky = ray_x * up[0] + ray_y * up[1] + up[2] > 0
        sigmas = _significance(x, y, frames, seen, depth_relative_std, sky)
        has_flow = frames > 0
        moves = _patches(np.where(fast & has_flow, sigmas, np.float32(0)))
        if moves.any():
            moves = _grown(moves, known & ~has_flow)
            moves &= ~_explained(moves, followed, seen)
        return _translations(moves, has_flow, length_x, length_y, flow, camera, least * dt)

    def _averaged(
        self,
        seen: RigidFlow,
        flow: DenseFlow,
        good: NDArray[np.bool_],
        stamps: tuple[int, int],
        dt: float,
    ) -> tuple[Floats, Floats, Floats]:
        """Residual flow in pixels of one frame, x and y (H, W), and its weight in frames."""
        share = _pooled(good.astype(np.float32))
        weight = np.float32(1 / dt) / np.maximum(share, np.float32(1e-3))
        x, y = (_pooled(np.where(good, part, np.float32(0))) * weight for part in (seen.x, seen.y))
        now = (share > _MIN_GOOD_SHARE).astype(np.float32)
        memory, frames = self._memory, now
        if memory is not None and memory.stamp == stamps[0] and memory.left.shape[:2] == x.shape:
            height, width = x.shape
            past = cv2.remap(
                memory.left,
                flow.x + np.arange(width, dtype=np.float32),
                flow.y + np.arange(height, dtype=np.float32)[:, None],
                cv2.INTER_LINEAR,
                borderValue=(0, 0, 0),
            )
            past_x, past_y, past_frames = cv2.split(past)
            old = np.float32(_MEMORY_PER_FRAME) * np.where(good, past_frames, np.float32(0))
            total = np.maximum(now + old, np.float32(1e-6))
            x, y = (x * now + old * past_x) / total, (y * now + old * past_y) / total
            frames = np.where(
                now > 0, np.minimum(now + old, np.float32(1 / (1 - _MEMORY_PER_FRAME))), now
            )
        self._memory = _Memory(stamps[1], np.asarray(cv2.merge((x, y, frames)), np.float32))
        return x * np.float32(dt), y * np.float32(dt), frames


def _significance(
    x: Floats,
    y: Floats,
    frames: Floats,
    seen: RigidFlow,
    depth_relative_std: float,
    sky: NDArray[np.bool_],
) -> Floats:
    """(H, W) significance of (x, y), in standard deviations of its noise."""
    jx, jy = seen.by_depth
    parallax = np.maximum((x - jx) ** 2 + (y - jy) ** 2, jx * jx + jy * jy)
    # Noise averages out: 1 / sum of squared weights.
    independent = 1 / np.maximum(np.float32(1), frames * np.float32(1 + _MEMORY_PER_FRAME))
    noise = np.float32(FLOW_STD_PX**2) + np.float32(FLOW_STD_PARALLAX_SHARE**2) * parallax
    xx, yy, xy = seen.motion_variance()
    xx, yy, xy = independent * (xx + noise), independent * (yy + noise), independent * xy
    towards = np.where(x * jx + y * jy > 0, np.float32(1), np.float32(_TOO_FAR_ERROR_FACTOR**2))
    by_depth = np.float32(depth_relative_std**2) * towards
    a, b, c = xx + by_depth * jx * jx, xy + by_depth * jx * jy, yy + by_depth * jy * jy
    squared = _squared(x, y, a, b, c)
    if not sky.any():
        return np.sqrt(squared)
    soft = np.float32(_CLOUD_FLOW_STD_PX**2)
    endless = _squared(x - jx, y - jy, xx + soft, xy, yy + soft) + np.float32(_SKY_PENALTY_STDS**2)
    return np.sqrt(np.where(sky, np.minimum(squared, endless), squared))


def _squared(x: Floats, y: Floats, a: Floats, b: Floats, c: Floats) -> Floats:
    """Mahalanobis distance of (x, y), of covariance ((a, b), (b, c))."""
    return (c * x * x - 2 * b * x * y + a * y * y) / np.maximum(a * c - b * b, np.float32(1e-9))


def _patches(sigmas: Floats) -> NDArray[np.bool_]:
    """Connected pixels above the lower threshold with enough above the higher one."""
    mask = (sigmas > _GROW_STDS).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SQUARE_KERNEL), np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    keep = np.bincount(labels[sigmas > _SEED_STDS], minlength=count) >= _MIN_SEED_PIXELS
    keep[0] = False
    return np.asarray(keep[labels], bool)


def _grown(moves: NDArray[np.bool_], where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``moves``, grown by _GROWTH_PX pixels within ``where``."""
    mask, allowed = moves.astype(np.uint8), where.astype(np.uint8)
    for _ in range(_GROWTH_PX):
        mask |= np.asarray(cv2.dilate(mask, _SQUARE_KERNEL), np.uint8) & allowed
    return mask > 0


def _explained(
    moves: NDArray[np.bool_], followed: FlowResult, seen: RigidFlow
) -> NDArray[np.bool_]:
    """Pixels of the rims that ego-motion alone explains as well as flow does."""
    fine = followed.flow
    height, width = followed.grey.shape
    column, row = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    left_x, left_y = (cv2.resize(part, (width, height)) for part in (seen.x, seen.y))
    ratio_x, ratio_y = width / moves.shape[1], height / moves.shape[0]
    rigid = fine.x - np.float32(ratio_x) * left_x, fine.y - np.float32(ratio_y) * left_y
    differences = []
    for x, y in ((fine.x, fine.y), rigid):
        there = cv2.remap(
            followed.previous,
            x + column,
            y + row,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        difference = cv2.blur(cv2.absdiff(there, followed.grey).astype(np.float32), (3, 3))
        differences.append(cv2.resize(difference, moves.shape[1::-1], interpolation=cv2.INTER_AREA))
    inner = cv2.erode(moves.view(np.uint8), np.ones((2 * _RIM_WIDTH_PX + 1,) * 2, np.uint8)) > 0
    return np.asarray(
        moves & ~inner & (differences[1] < differences[0] + _MIN_RIM_DIFFERENCE_GREY), bool
    )


def _translations(
    moves: NDArray[np.bool_],
    has_flow: NDArray[np.bool_],
    x: Floats,
    y: Floats,
    flow: DenseFlow,
    camera: Camera,
    least: float,
) -> Floats:
    """(H, W, 3) translation of every patch, taken as one rigid object without rotation.

    A single pixel cannot show motion along its ray; a patch can, by growing or shrinking. Robust
    least squares over its pixels, with zero as the prior mean.

    x, y: (H, W) residual flow as lengths across the optical axis, where ``has_flow``. least:
    patches that move by less count as static.
    """
    usual = _USUAL_SPEED_FACTOR * least
    field = np.zeros((*moves.shape, 3), np.float32)
    count, labels = cv2.connectedComponents(moves.view(np.uint8), connectivity=4)
    ray_x, ray_y = rays(camera)
    for label in range(1, count):
        patch = labels == label
        inside = patch & has_flow
        if not inside.any():
            continue
        u = (ray_x + flow.x / np.float32(camera.fx))[inside].astype(np.float64)
        v = (ray_y + flow.y / np.float32(camera.fy))[inside].astype(np.float64)
        ones, zeros = np.ones(len(u)), np.zeros(len(u))
        J = np.concatenate((np.c_[ones, zeros, -u], np.c_[zeros, ones, -v]))
        seen = np.concatenate((x[inside], y[inside])).astype(np.float64)
        prior = np.eye(3) / usual**2
        weight = np.full(len(seen), 1 / np.maximum(np.median(np.abs(seen)), 1e-9) ** 2)
        for _ in range(_FIT_ITERATIONS):
            weighted = J * weight[:, None]
            motion = np.linalg.solve(
                prior + weighted.T @ J / _CORRELATED_PIXELS, weighted.T @ seen / _CORRELATED_PIXELS
            )
            off = seen - J @ motion
            spread = max(1.4826 * float(np.median(np.abs(off))), 1e-3 * usual)
            weight = (_STUDENT_T_DOF + 1) / (_STUDENT_T_DOF * spread**2 + off * off)
        if motion @ motion >= least * least:
            field[patch] = motion
    return field


def _pooled(values: Floats) -> Floats:
    return np.asarray(cv2.boxFilter(values, -1, (_POOL_SIDE_PX, _POOL_SIDE_PX)), np.float32)
