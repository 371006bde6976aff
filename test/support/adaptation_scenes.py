"""What the tests of adaptation look at: a floor before a wall, and an untrained network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from depth_motion_ros.adaptation.pairing.records import PairRecord
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of

WIDTH, HEIGHT = 128, 64
K = np.array([[80.0, 0, 63.5], [0, 80.0, 31.5], [0, 0, 1]])
_CAMERA_HEIGHT, _WALL = 1.0, 8.0

# An untrained network moves by next to nothing and warps no better than standing still: these
# tests are about what happens to pairs, not about what such a network thinks of them.
LENIENT = {
    "min_displacement": 0.0,
    "max_displacement": 10.0,
    "max_warp_ratio": 10.0,
    "min_valid": 0.0,
}


def _texture(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    rough = [gaussian_filter(rng.standard_normal((256, 256, 3)), (s, s, 0), mode="wrap")
             for s in (1.2, 4.0)]  # fmt: skip
    mixed = sum(layer / layer.std() for layer in rough)
    return np.clip(128 + 35 * mixed, 0, 255)


_FLOOR, _BACK = _texture(1), _texture(2)


def scene(
    x: float = 0.0, z: float = 0.0, yaw: float = 0.0, seed: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Image and depth from a camera 1 m above a floor, ``8 - z`` m before a wall.

    x, z: m to the right and ahead; yaw: rad to the right. seed: of noise of 2 levels; None = none.
    """
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack((u, v, np.ones_like(u)), axis=-1) @ np.linalg.inv(K).T
    turned = rays @ Rotation.from_euler("y", yaw).as_matrix().T
    to_wall = (_WALL - z) / np.maximum(turned[..., 2], 1e-6)
    to_floor = np.where(
        turned[..., 1] > 1e-6, _CAMERA_HEIGHT / np.maximum(turned[..., 1], 1e-6), 1e9
    )
    on_floor = to_floor < to_wall
    length = np.where(on_floor, to_floor, to_wall)
    points = turned * length[..., None] + np.array([x, 0, z])
    image = np.empty((HEIGHT, WIDTH, 3))
    for texture, mask, rows, columns in (
        (_FLOOR, on_floor, points[..., 2], points[..., 0]),
        (_BACK, ~on_floor, points[..., 1], points[..., 0]),
    ):
        places = np.stack((rows, columns))[:, mask] * 16
        for channel in range(3):
            values = map_coordinates(texture[..., channel], places, order=1, mode="grid-wrap")
            image[mask, channel] = values
    if seed is not None:
        image = image + np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), length.astype(np.float32)


def pair(start: float = 0.0, step: float = 0.15, with_depth: bool = True) -> PairRecord:
    """Two views, ``step`` m apart to the right and half of that ahead."""
    (one, depth_1), (two, depth_2) = (
        scene(start, start / 2),
        scene(start + step, (start + step) / 2),
    )
    images = [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in (one, two)]
    depths = [torch.from_numpy(depth)[None] if with_depth else None for depth in (depth_1, depth_2)]
    return PairRecord(
        images[0], images[1], torch.from_numpy(K).float(), depths[0], depths[1], 1.1 * step
    )


def rehearsal_pairs(count: int = 6) -> list[PairRecord]:
    return [pair(0.3 * i) for i in range(count)]


def untrained(seed: int = 0) -> Weights:
    torch.manual_seed(seed)
    return weights_of(DepthMotionNet(NetworkConfig("lite", WIDTH, HEIGHT)), version="base")


def settings(**changes: object) -> AdaptationSettings:
    return AdaptationSettings(**{**LENIENT, **changes})  # type: ignore[arg-type]
