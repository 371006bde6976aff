"""What moves by itself, by geometry: optical flow against the camera's motion and depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.estimation.point_cloud import rays
from depth_motion_ros.estimation.scene_flow.optical_flow import DenseFlow, FlowResult
from depth_motion_ros.estimation.scene_flow.rigid_flow import (
    FLOW_ERROR,
    FLOW_SHARE,
    Doubles,
    Floats,
    RigidFlow,
    rigid_flow,
    without_motion_error,
)
from depth_motion_ros.geometry.camera import Camera

# Pixels of a square over which flow is averaged, and the share of them that must be good.
_POOL, _ENOUGH = 5, 0.5
# What was left over a frame ago counts so much now: flow's noise averages out, motion does not.
_MEMORY = 0.6
# Standard deviations: grown into from something sure, and so many sure pixels at least.
_DOUBTFUL, _SURE, _SURE_PIXELS = 2.5, 7.0, 12
# Depth is told too far (thin things are missed) further than too near: nothing is beyond infinity.
_TOO_FAR = 5 / 3
# However good depth is on the whole, at edges and thin things it is wrong by more.
_LEAST_DEPTH_ERROR = 0.3
# What looks endlessly far above the horizon is taken to be so (sky), at the price of so many
# standard deviations. Flow of clouds is uncertain by so many more pixels. Below the horizon is the
# ground: what looks endlessly far there drives ahead, as fast as the camera.
_ENDLESS, _CLOUDS = 2.0, 0.15
# Pixels of the rim of a patch that are compared, and gray levels by which the camera's motion must
# explain them worse than flow does: flow is carried over outlines.
_RIM, _WORSE = 4, 1.0
# What a pixel shows is its motion across the ray of sight: this much of the slowest that counts.
_ACROSS = 0.5
# Pixels by which a patch grows into what was not judged: flow is lost at outlines and on limbs.
_GROWTH = 2
# Fitting a patch: rounds, degrees of freedom of Student's t, neighbours that err alike,
# and how much faster than the slowest that counts a thing usually is, as a standard deviation.
_FITS, _FREEDOM, _ALIKE, _USUAL = 3, 4.0, 5.0, 5.0
_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class _Memory:
    """left: (H, W, 3): x and y in pixels per second, and how many frames count in them."""

    stamp: int
    left: Floats


class FlowMotionDetector:
    """Finds what flow shows and neither the camera's motion nor errors of depth explain.

    Across the epipolar line depth moves no pixel: what deviates there by more than the noise of
    flow and motion moves. Along it, what depth would have to be wrong by is weighed by how wrong
    depth usually is; behind infinity it cannot be. Averaged over a few frames that follow each
    other, joined to patches that grow from what is sure.
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
        depth_error: float,
        least: float,
        up: Doubles,
    ) -> Floats:
        """(H, W, 3) T_res: a point X of this frame lies at R X + t + T_res in the previous camera's
        axes; one for each patch, zero where nothing moves or nothing is known.

        followed: the optical flow between the two frames. depth: (H, W) in the unit of the pair,
        NaN = unknown. stamps: ns, of the previous frame and this one. depth_error: relative
        standard deviation of depth. least: length of T_res per second below which nothing counts
        as moving.
        """
        depth_error = max(depth_error, _LEAST_DEPTH_ERROR)
        size = depth.shape[1::-1]
        flow = followed.flow.resized(size)
        known = ~np.isnan(depth)
        z = np.where(known, depth, np.float32(1))
        seen = rigid_flow(flow, z, pair.rotation, pair.translation, pair.covariance, camera)
        good = flow.good & known
        seen = without_motion_error(seen, good, depth_error)
        dt = (stamps[1] - stamps[0]) * 1e-9
        x, y, frames = self._averaged(seen, flow, good, stamps, dt)
        length_x = x * seen.point[2] * np.float32(1 / camera.fx)
        length_y = y * seen.point[2] * np.float32(1 / camera.fy)
        slowest = _ACROSS * least * dt
        fast = length_x * length_x + length_y * length_y > slowest * slowest
        ray_x, ray_y = rays(camera)
        sky = ray_x * up[0] + ray_y * up[1] + up[2] > 0
        sigmas = _significance(x, y, frames, seen, depth_error, sky)
        judged = frames > 0
        moves = _patches(np.where(fast & judged, sigmas, np.float32(0)))
        if moves.any():
            moves = _grown(moves, known & ~judged)
            moves &= ~_explained(moves, followed, seen)
        return _translations(moves, judged, length_x, length_y, flow, camera, least * dt)

    def _averaged(
        self,
        seen: RigidFlow,
        flow: DenseFlow,
        good: NDArray[np.bool_],
        stamps: tuple[int, int],
        dt: float,
    ) -> tuple[Floats, Floats, Floats]:
        """What is left over, pixels of one frame (H, W), and how many frames' worth; 0 = none."""
        share = _pooled(good.astype(np.float32))
        weight = np.float32(1 / dt) / np.maximum(share, np.float32(1e-3))
        x, y = (_pooled(np.where(good, part, np.float32(0))) * weight for part in (seen.x, seen.y))
        now = (share > _ENOUGH).astype(np.float32)
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
            old = np.float32(_MEMORY) * np.where(good, past_frames, np.float32(0))
            total = np.maximum(now + old, np.float32(1e-6))
            x, y = (x * now + old * past_x) / total, (y * now + old * past_y) / total
            frames = np.where(now > 0, np.minimum(now + old, np.float32(1 / (1 - _MEMORY))), now)
        self._memory = _Memory(stamps[1], np.asarray(cv2.merge((x, y, frames)), np.float32))
        return x * np.float32(dt), y * np.float32(dt), frames


def _significance(
    x: Floats,
    y: Floats,
    frames: Floats,
    seen: RigidFlow,
    depth_error: float,
    sky: NDArray[np.bool_],
) -> Floats:
    """(H, W) standard deviations by which (x, y) is more than noise."""
    jx, jy = seen.by_depth
    parallax = np.maximum((x - jx) ** 2 + (y - jy) ** 2, jx * jx + jy * jy)
    # Noise averages out: 1 / sum of squared weights.
    independent = 1 / np.maximum(np.float32(1), frames * np.float32(1 + _MEMORY))
    noise = np.float32(FLOW_ERROR**2) + np.float32(FLOW_SHARE**2) * parallax
    xx, yy, xy = seen.motion_variance()
    xx, yy, xy = independent * (xx + noise), independent * (yy + noise), independent * xy
    towards = np.where(x * jx + y * jy > 0, np.float32(1), np.float32(_TOO_FAR**2))
    by_depth = np.float32(depth_error**2) * towards
    a, b, c = xx + by_depth * jx * jx, xy + by_depth * jx * jy, yy + by_depth * jy * jy
    squared = _squared(x, y, a, b, c)
    if not sky.any():
        return np.sqrt(squared)
    soft = np.float32(_CLOUDS**2)
    endless = _squared(x - jx, y - jy, xx + soft, xy, yy + soft) + np.float32(_ENDLESS**2)
    return np.sqrt(np.where(sky, np.minimum(squared, endless), squared))


def _squared(x: Floats, y: Floats, a: Floats, b: Floats, c: Floats) -> Floats:
    """Mahalanobis distance of (x, y), of covariance ((a, b), (b, c))."""
    return (c * x * x - 2 * b * x * y + a * y * y) / np.maximum(a * c - b * b, np.float32(1e-9))


def _patches(sigmas: Floats) -> NDArray[np.bool_]:
    """Connected doubtful pixels with enough sure ones among them."""
    mask = (sigmas > _DOUBTFUL).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SQUARE), np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    keep = np.bincount(labels[sigmas > _SURE], minlength=count) >= _SURE_PIXELS
    keep[0] = False
    return np.asarray(keep[labels], bool)


def _grown(moves: NDArray[np.bool_], where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """moves, and what borders on it ``where``, _GROWTH pixels far."""
    mask, allowed = moves.astype(np.uint8), where.astype(np.uint8)
    for _ in range(_GROWTH):
        mask |= np.asarray(cv2.dilate(mask, _SQUARE), np.uint8) & allowed
    return mask > 0


def _explained(
    moves: NDArray[np.bool_], followed: FlowResult, seen: RigidFlow
) -> NDArray[np.bool_]:
    """The pixels of the rims that the camera's motion alone explains as well as flow does."""
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
    inner = cv2.erode(moves.view(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8)) > 0
    return np.asarray(moves & ~inner & (differences[1] < differences[0] + _WORSE), bool)


def _translations(
    moves: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    x: Floats,
    y: Floats,
    flow: DenseFlow,
    camera: Camera,
    least: float,
) -> Floats:
    """(H, W, 3): every patch is one thing that is displaced without turning.

    A pixel alone cannot tell what goes along its ray of sight; a patch can, by growing or
    shrinking. Robust least squares over its pixels; what they leave open is near zero.

    x, y: (H, W) left over, as lengths across the optical axis, where it is judged. least: a patch
    that is displaced by less is zero.
    """
    usual = _USUAL * least
    field = np.zeros((*moves.shape, 3), np.float32)
    count, labels = cv2.connectedComponents(moves.view(np.uint8), connectivity=4)
    ray_x, ray_y = rays(camera)
    for label in range(1, count):
        patch = labels == label
        inside = patch & judged
        if not inside.any():
            continue
        u = (ray_x + flow.x / np.float32(camera.fx))[inside].astype(np.float64)
        v = (ray_y + flow.y / np.float32(camera.fy))[inside].astype(np.float64)
        ones, zeros = np.ones(len(u)), np.zeros(len(u))
        J = np.concatenate((np.c_[ones, zeros, -u], np.c_[zeros, ones, -v]))
        seen = np.concatenate((x[inside], y[inside])).astype(np.float64)
        prior = np.eye(3) / usual**2
        weight = np.full(len(seen), 1 / np.maximum(np.median(np.abs(seen)), 1e-9) ** 2)
        for _ in range(_FITS):
            weighted = J * weight[:, None]
            motion = np.linalg.solve(prior + weighted.T @ J / _ALIKE, weighted.T @ seen / _ALIKE)
            off = seen - J @ motion
            spread = max(1.4826 * float(np.median(np.abs(off))), 1e-3 * usual)
            weight = (_FREEDOM + 1) / (_FREEDOM * spread**2 + off * off)
        if motion @ motion >= least * least:
            field[patch] = motion
    return field


def _pooled(values: Floats) -> Floats:
    return np.asarray(cv2.boxFilter(values, -1, (_POOL, _POOL)), np.float32)
