"""Corners of a made-up scene, followed over a known motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.epipolar import TrackedMotion, solve
from depth_motion_ros.estimation.alignment.tracks import Tracks
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera

WIDTH, HEIGHT, FOCAL = 416, 128, 230.0
CAMERA = Camera(np.array([[FOCAL, 0, 208], [0, FOCAL, 64], [0, 0, 1]]), WIDTH, HEIGHT)
COUNT = 400
# Pixels by which a corner is followed wrongly.
NOISE = 0.1
# Of the start: nothing is known of it.
NO_PRIOR = np.zeros(6)
STRAIGHT = se3.exp([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])


def street(rng: np.random.Generator, count: int = COUNT) -> tuple[NDArray, NDArray]:
    """(2, N) pixels and (N,) depths: a ground 1.65 m below the camera, and walls around it."""
    pixel = rng.uniform((6, 6), (WIDTH - 7, HEIGHT - 7), (count, 2)).T
    below = np.maximum(pixel[1] - CAMERA.cy, 1e-6) / FOCAL
    depth = np.minimum(1.65 / below, rng.uniform(8.0, 40.0, count))
    return pixel, depth


def tracks_of(
    pixel: NDArray,
    depth: NDArray,
    motion: NDArray,
    rng: np.random.Generator,
    noise: float | NDArray = NOISE,
    told: NDArray | None = None,
) -> Tracks:
    """Those that stay in the image. noise: pixels, or (2, N) displacements. told: (N,) what the
    depth map says, where that is not the truth."""
    rays = np.linalg.inv(CAMERA.K) @ np.vstack((pixel, np.ones(pixel.shape[1])))
    there = CAMERA.K @ (motion[:3, :3] @ (rays * depth) + motion[:3, 3:])
    target = there[:2] / there[2]
    target = target + (noise * rng.normal(size=target.shape) if np.isscalar(noise) else noise)
    inside = (there[2] > 0) & (target > 0).all(axis=0)
    inside &= (target[0] < WIDTH - 1) & (target[1] < HEIGHT - 1)
    whole = np.rint(pixel).astype(np.intp)
    return Tracks(
        pixel[:, inside].astype(np.float32),
        target[:, inside].astype(np.float32),
        (whole[1] * WIDTH + whole[0])[inside],
        rays[:, inside].astype(np.float32),
        (1 / (depth if told is None else told))[inside].astype(np.float32),
        np.ones(np.count_nonzero(inside), np.float32),
        pixel.shape[1],
    )


def solved(tracks: Tracks, start: NDArray, depth_relative_std: float = 0.1) -> TrackedMotion | None:
    return solve(tracks, start, np.zeros(6), NO_PRIOR, CAMERA, depth_relative_std)


def error_of(found: TrackedMotion, motion: NDArray) -> tuple[float, float, float]:
    """Degrees of turn, degrees of the direction of travel, ratio of the lengths of the steps."""
    e = se3.log(se3.inverse(found.motion) @ motion)
    a, b = found.motion[:3, 3], motion[:3, 3]
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    cosine = np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1) if all(lengths) else 1.0
    ratio = lengths[0] / lengths[1] if lengths[1] else np.inf
    return (
        float(np.degrees(np.linalg.norm(e[3:]))),
        float(np.degrees(np.arccos(cosine))),
        float(ratio),
    )
