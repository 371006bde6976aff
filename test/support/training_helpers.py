"""A textured room whose depth and motion are known exactly, as frames to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.se3 import transform
from depth_motion_ros.sources.frame import Frame, GroundTruth
from depth_motion_ros.sources.sequence.writer import SequenceWriter

# Rectangles as (corner, edge u, edge v), metres, camera-like axes: x right, y down, z ahead.
FLOOR = ((-6.0, 1.4, 1.0), (12.0, 0.0, 0.0), (0.0, 0.0, 11.0))
# The wall takes more than half of the image, so that the median depth, by which errors are scaled,
# lies on it and not on the edge between near and far, where a hair moves it.
WALL = ((-12.0, -9.0, 6.5), (24.0, 0.0, 0.0), (0.0, 18.0, 0.0))
BOX_LEFT = ((-1.6, -0.4, 3.5), (1.0, 0.0, 0.3), (0.0, 1.4, 0.0))
BOX_RIGHT = ((0.7, -0.8, 5.0), (1.3, 0.0, -0.3), (0.0, 1.8, 0.0))
MOVER = ((-0.45, -0.2, 3.0), (0.9, 0.0, 0.0), (0.0, 0.9, 0.0))


class Room:
    """A FrameSet of ``count`` frames.

    A camera of ``field_of_view`` degrees drifts to and fro, right and ahead, by up to 0.7 m
    times ``drift``, and turns by up to ``turn`` rad; with ``moving`` a board in front of it rises
    or sinks by 0.08 m a frame. depths: (H, W) float32; poses: (4, 4), camera to room; movers:
    (H, W) bool, the board.
    """

    name = "room"
    has_masks = False
    has_triangulated = False
    folder: Path | None = None

    def __init__(
        self,
        count: int,
        width: int,
        height: int,
        turn: float = 0.02,
        moving: bool = False,
        field_of_view: float = 70.0,
        drift: float = 1.0,
    ) -> None:
        self.size = (width, height)
        self.true_camera = Camera.from_field_of_view(width, height, np.radians(field_of_view))
        self.camera: Camera | None = self.true_camera
        self.images: list[NDArray[np.uint8]] = []
        self.depths: list[NDArray[np.float32]] = []
        self.poses: list[NDArray[np.float64]] = []
        self.movers: list[NDArray[np.bool_]] = []
        rays = self.true_camera.rays().astype(np.float64)
        for index in range(count):
            phase = 2 * np.pi * index / 20
            angles = turn * np.array([np.sin(1.3 * phase), np.cos(phase), 0.0])
            rotation = Rotation.from_euler("xyz", angles).as_matrix()
            # Back and forth, so that any number of frames stays in the room.
            path = np.array([0.7 * np.sin(phase), 0.05 * np.cos(phase), 0.3 * np.sin(2 * phase)])
            rise = np.array([0.0, -0.08 * (10 - abs(index % 20 - 10)), 0.0])
            self.poses.append(transform(rotation, drift * path))
            self._render(drift * path, rays @ rotation.T, rise if moving else None)

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        return self.images[index]

    def mask(self, index: int) -> None:
        return None

    def triangulated(self, index: int) -> NDArray[np.float32] | None:
        return None

    def stem(self, index: int) -> str:
        return str(index)

    def _render(
        self,
        centre: NDArray[np.float64],
        rays: NDArray[np.float64],
        rise: NDArray[np.float64] | None,
    ) -> None:
        surfaces = [FLOOR, WALL, BOX_LEFT, BOX_RIGHT]
        if rise is not None:
            corner, u, v = MOVER
            surfaces.append((tuple(np.add(corner, rise)), u, v))
        nearest = np.full(rays.shape[:2], np.inf)
        colour = np.zeros(rays.shape)
        owner = np.zeros(rays.shape[:2], int)
        for number, (corner, u, v) in enumerate(np.array(surface) for surface in surfaces):
            normal = np.cross(u, v)
            facing = rays @ normal
            scale = (corner - centre) @ normal / np.where(np.abs(facing) < 1e-9, 1e-9, facing)
            offset = centre + scale[..., None] * rays - corner
            a, b = offset @ u / (u @ u), offset @ v / (v @ v)
            hit = (scale > 0) & (scale < nearest) & (a >= 0) & (a <= 1) & (b >= 0) & (b <= 1)
            nearest = np.where(hit, scale, nearest)
            owner = np.where(hit, number, owner)
            pattern = _texture(a * np.linalg.norm(u), b * np.linalg.norm(v), number)
            colour = np.where(hit[..., None], pattern, colour)
        self.images.append(np.clip(255 * colour, 0, 255).round().astype(np.uint8))
        # A ray has z = 1 in the camera's axes: its length in rays is depth.
        self.depths.append(nearest.astype(np.float32))
        self.movers.append(owner == 4)


def _texture(x: NDArray[np.float64], y: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """(H, W, 3) smooth colours: waves of 0.5 to 4 m, half as long again on the distant wall."""
    rng = np.random.default_rng(seed)
    colour = np.broadcast_to(0.4 + 0.2 * rng.random(3), (*x.shape, 3)).copy()
    for length in np.geomspace(0.5, 4.0, 8) * (1.5 if seed == 1 else 1):
        angle, phase = 2 * np.pi * rng.random(2)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length + phase)
        # The longer the stronger: a gradient that leads to the right match from further away.
        colour += 0.045 * np.sqrt(length) * wave[..., None] * (0.5 + rng.random(3))
    return colour


def abs_rel(predicted: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """Mean abs relative depth error after median scaling (Eigen et al. 2014)."""
    scaled = predicted * np.median(true) / np.median(predicted)
    return float(np.mean(np.abs(scaled - true) / true))


def write_sequence(room: Room, path: Path) -> Path:
    """The room as a sequence folder with true depth and poses."""
    with SequenceWriter(path, image_format="png") as writer:
        for index, image in enumerate(room.images):
            truth = GroundTruth(depth=room.depths[index], pose=room.poses[index])
            writer.write(Frame(index * 100_000_000, image, room.camera, truth))
    return path
