"""Textured rectangles that face the camera: images and depth of known geometry."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.filter import DepthFilter, Step
from depth_motion_ros.estimation.depth.output import FusedDepth
from depth_motion_ros.estimation.depth.pose_correction import RelativePose
from depth_motion_ros.estimation.scene_flow.optical_flow import dense_flow
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera

WIDTH, HEIGHT, FOCAL = 208, 128, 150.0
CAMERA = Camera(np.array([[FOCAL, 0, 103.5], [0, FOCAL, 63.5], [0, 0, 1]]), WIDTH, HEIGHT)
# Of a pose as the alignment finds it: m, in a scene of some metres, and rad.
POSE_COVARIANCE = np.diag([1e-3**2] * 3 + [2e-4**2] * 3)
PRIOR_STD = 0.3
_PIXELS_PER_METRE = 60.0


def _texture(seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(1024, 1024)).astype(np.float32)
    fine, coarse = cv2.GaussianBlur(noise, (0, 0), 1.5), cv2.GaussianBlur(noise, (0, 0), 5)
    mixed = fine / fine.std() + coarse / coarse.std()
    return np.clip(128 + 40 * mixed, 0, 255).astype(np.float32)


@dataclass(frozen=True)
class Rectangle:
    """At a distance z (m) along the axis of the first camera; left, right, top, bottom: m.
    velocity: m per frame along x."""

    z: float
    left: float = -50.0
    right: float = 50.0
    top: float = -50.0
    bottom: float = 50.0
    seed: int = 0
    velocity: float = 0.0


def look(scene: list[Rectangle], pose: NDArray[np.float64], frame: int = 0):
    """(image (H, W) uint8, depth (H, W)) of a camera; pose: (4, 4) camera to world."""
    rays = CAMERA.rays().reshape(-1, 3) @ pose[:3, :3].T
    image = np.zeros(WIDTH * HEIGHT, np.float32)
    depth = np.full(WIDTH * HEIGHT, np.inf)
    for part in scene:
        far = (part.z - pose[2, 3]) / rays[:, 2]
        x, y = pose[0, 3] + far * rays[:, 0], pose[1, 3] + far * rays[:, 1]
        x = x - frame * part.velocity
        hit = (far > 0) & (far < depth) & (x >= part.left) & (x <= part.right)
        hit &= (y >= part.top) & (y <= part.bottom)
        scale = _PIXELS_PER_METRE * 3.0 / part.z
        u, v = ((scale * c + 512).astype(np.float32).reshape(HEIGHT, WIDTH) for c in (x, y))
        seen = cv2.remap(_texture(part.seed), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        image[hit] = seen.ravel()[hit]
        depth[hit] = far[hit]
    shape = HEIGHT, WIDTH
    return np.rint(image).astype(np.uint8).reshape(shape), depth.reshape(shape).astype(np.float32)


def moving_camera(count: int, step: list[float], turn: list[float] | None = None):
    """Poses (4, 4) of ``count`` frames; step (m) and turn (rad) of each."""
    pose, change = np.eye(4), se3.exp([*step, *(turn or [0.0, 0.0, 0.0])])
    poses = []
    for _ in range(count):
        poses.append(pose)
        pose = pose @ change
    return poses


def filtered(
    scene: list[Rectangle],
    poses: list[NDArray[np.float64]],
    prior: float | list[NDArray[np.float32]],
    told: list[NDArray[np.float64]] | None = None,
    depth_filter: DepthFilter | None = None,
) -> tuple[list[FusedDepth], list[NDArray[np.float32]]]:
    """(what the filter makes of the frames, true depths).

    prior: factor on the true depth, or depths. told: poses that the odometry tells; None = true.
    """
    depth_filter, told = depth_filter or DepthFilter(), told or poses
    results, depths, before = [], [], None
    for frame, pose in enumerate(poses):
        grey, depth = look(scene, pose, frame)
        guess = prior[frame] if isinstance(prior, list) else depth * np.float32(prior)
        if before is None:
            result = depth_filter.first(grey, 1 / guess, PRIOR_STD, CAMERA)
        elif np.array_equal(told[frame - 1], told[frame]):
            result = depth_filter.at_rest(1 / guess, PRIOR_STD)
        else:
            pose = RelativePose(se3.inverse(told[frame - 1]) @ told[frame], POSE_COVARIANCE)
            step = Step(dense_flow(grey, before), pose)
            result = depth_filter.update(grey, 1 / guess, PRIOR_STD, CAMERA, step)
        results.append(result)
        depths.append(depth)
        before = grey
    return results, depths


def error_of(result: FusedDepth, depth, where=None) -> float:
    """Mean relative error of depth, away from the rims of the image."""
    off = np.abs(1 / result.inverse_depth - depth) / depth
    inner = np.zeros(depth.shape, bool)
    inner[8:-8, 8:-8] = True
    return float(off[inner if where is None else inner & where].mean())
