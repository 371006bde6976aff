"""Boards of known motion before a wall, seen by a camera of known motion."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from depth_motion_ros.estimation.estimate import Quality
from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.estimation.scene_flow.detection import FlowMotionDetector
from depth_motion_ros.estimation.scene_flow.optical_flow import follow
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera

WIDTH, HEIGHT, FOCAL = 208, 128, 150.0
K = np.array([[FOCAL, 0, 103.5], [0, FOCAL, 63.5], [0, 0, 1]])
CAMERA = Camera(K, WIDTH, HEIGHT)
WALL, BOARD, SIDE = 8.0, 4.0, 1.4
DT = 0.1
LEAST = 0.2
UP = np.array([0.0, -1, 0])
# As well as the refined motion of a frame usually is: 3 mm, 0.01 degrees.
COVARIANCE = np.diag([3e-3**2] * 3 + [2e-4**2] * 3)


class Picture(NamedTuple):
    image: np.ndarray
    depth: np.ndarray
    board: np.ndarray


def cloth(seed: int, contrast: float = 1.0) -> np.ndarray:
    grains = np.random.default_rng(seed).normal(size=(512, 512)).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(grains, (0, 0), s) * s for s in (1.5, 5.0))
    return 128 + 60 * contrast * (fine + coarse)


# About two texels of the board for a pixel: more would be noise that is not the same twice.
WALL_CLOTH, BOARD_CLOTH = cloth(1), cloth(2)[:128, :128]


def plane(pose: np.ndarray, corner: np.ndarray, size: float, texture: np.ndarray):
    """Image and depth of a square that faces z, NaN outside. pose: camera to world."""
    to_camera = se3.inverse(pose)
    scale = size / (len(texture) - 1)
    world = np.column_stack(([scale, 0, 0, 0], [0, scale, 0, 0], [*corner, 1]))
    homography = K @ (to_camera @ world)[:3]
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    s, t, q = np.einsum("ij,jhw->ihw", np.linalg.inv(homography), [column, row, row * 0 + 1])
    s, t = (s / q).astype(np.float32), (t / q).astype(np.float32)
    inside = (s >= 0) & (t >= 0) & (s < len(texture) - 1) & (t < len(texture) - 1)
    seen = cv2.remap(texture, s, t, cv2.INTER_LINEAR)
    # The third row of the homography gives depth, over what makes (s, t, 1) homogeneous.
    depth = homography[2] @ np.stack((s, t, np.ones_like(s))).reshape(3, -1)
    return seen, np.where(inside, depth.reshape(s.shape), np.nan)


def photograph(pose, board, wall=WALL_CLOTH, seed=0) -> Picture:
    """board: its middle in the world; None = there is none."""
    image, depth = plane(pose, np.array([-12.0, -12.0, WALL]), 24.0, cv2.resize(wall, (2048, 2048)))
    mask = np.zeros(depth.shape, bool)
    if board is not None:
        corner = np.asarray(board) - [SIDE / 2, SIDE / 2, 0]
        near, nearer = plane(pose, corner, SIDE, BOARD_CLOTH)
        mask = ~np.isnan(nearer)
        image, depth = np.where(mask, near, image), np.where(mask, nearer, depth)
    noisy = image + np.random.default_rng(seed).normal(scale=1.5, size=image.shape)
    grey = np.clip(noisy, 0, 255).astype(np.uint8)
    return Picture(np.repeat(grey[..., None], 3, axis=2), depth.astype(np.float32), mask)


def play(camera_step, velocity, frames=4, depth_of=lambda p: p.depth, wall=WALL_CLOTH, tell=None):
    """The last picture, the velocity found there in world axes, and the true pixels.

    camera_step: (4, 4) pose of each camera in the one before. velocity: of the board, m/s; None =
    there is no board. tell: motion told in place of camera_step.
    """
    motion = FlowMotionDetector()
    pose, pictures, found = np.eye(4), [], None
    for index in range(frames):
        board = None
        if velocity is not None:
            board = np.array([-0.1, 0.0, BOARD]) + np.array(velocity) * DT * index
        pictures.append(photograph(pose, board, wall, seed=index))
        if index:
            told = camera_step if tell is None else tell
            pair = PairMotion(told[:3, :3], told[:3, 3], COVARIANCE, Quality("ok"))
            now, before = pictures[:-3:-1]
            stamps = round((index - 1) * DT * 1e9), round(index * DT * 1e9)
            seen, depth = follow(now.image, before.image), depth_of(now)
            residual = motion.residual(seen, depth, pair, CAMERA, stamps, 0.3, LEAST, UP)
            # It is in the previous camera's axes, and says where things were.
            found = -residual @ (pose @ se3.inverse(camera_step))[:3, :3].T / DT
        if index < frames - 1:
            pose = pose @ camera_step
    return pictures[-1], found


def overlap(picture: Picture, found: np.ndarray) -> float:
    moves = np.any(found != 0, axis=2)
    return float((moves & picture.board).sum() / (moves | picture.board).sum())


STILL = np.eye(4)
AHEAD = se3.transform(np.eye(3), [0, 0, 0.08])
ASIDE = se3.transform(np.eye(3), [0.06, 0, 0])
TURN = se3.transform(Rotation.from_euler("y", 1.0, degrees=True).as_matrix(), [0, 0, 0])
CAMERAS = {"static": STILL, "ahead": AHEAD, "aside": ASIDE, "turning": TURN}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("velocity", [(0.8, 0, 0), (0, -0.8, 0), (-0.6, 0.4, 0)])
def test_a_board_that_crosses_is_found_with_its_velocity(camera, velocity):
    picture, found = play(CAMERAS[camera], velocity)
    # Of the board's 52 pixels, one or two are lost at each outline, or won.
    assert overlap(picture, found) > 0.75
    inside = picture.board & np.any(found != 0, axis=2)
    # A quarter of the slowest of these speeds; flow is good to a tenth of a pixel, here 0.03 m/s,
    # and depth along the line of sight to less.
    np.testing.assert_allclose(np.median(found[inside], axis=0), velocity, atol=0.2)


@pytest.mark.parametrize("camera", ["static", "ahead", "aside"])
def test_a_fast_board_is_found_whole(camera):
    # 7.5 pixels a frame: flow misses by more there and back than it does of what moves slowly.
    picture, found = play(CAMERAS[camera], (2.0, 0, 0))
    assert overlap(picture, found) > 0.75


@pytest.mark.parametrize("velocity", [(0, 0, -2.0), (0, 0, 2.0)])
def test_a_board_that_comes_or_goes_is_found_by_its_growing(velocity):
    picture, found = play(STILL, velocity)
    # Its middle does not move in the image.
    assert overlap(picture, found) > 0.4
    inside = picture.board & np.any(found != 0, axis=2)
    np.testing.assert_allclose(np.median(found[inside], axis=0), velocity, atol=0.6)


@pytest.mark.parametrize("camera", CAMERAS)
def test_still_things_stay_still(camera):
    _, found = play(CAMERAS[camera], (0, 0, 0))
    # Flow at the outline of the board, where a strip of wall appears.
    assert np.any(found != 0, axis=2).mean() < 0.005


@pytest.mark.parametrize("camera", ["ahead", "aside"])
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_depth_that_is_wrong_everywhere_moves_nothing(camera, factor):
    _, found = play(CAMERAS[camera], None, depth_of=lambda p: p.depth * np.float32(factor))
    assert not found.any()


def test_depth_that_is_wrong_in_waves_moves_nothing():
    wave = 1 + 0.2 * np.cos(np.linspace(0, 2 * np.pi, WIDTH, dtype=np.float32))
    _, found = play(ASIDE, None, depth_of=lambda p: p.depth * wave)
    assert not found.any()


def test_a_small_error_of_the_cameras_motion_moves_nothing():
    # Twice its standard deviation: 0.02 degrees and 6 mm.
    wrong = ASIDE @ se3.exp([0.006, 0, 0.006, 0, 4e-4, 0])
    _, found = play(ASIDE, None, tell=wrong)
    assert not found.any()


def test_a_wall_without_texture_gives_nothing():
    blank = np.full_like(WALL_CLOTH, 128.0)
    # What is said of the motion is wrong by a pixel, and more than it admits: nobody can see it.
    wrong = ASIDE @ se3.exp([0.05, 0, 0, 0, 0, 0])
    _, found = play(ASIDE, None, wall=blank, tell=wrong)
    assert not found.any()


def test_unknown_depth_is_not_said_to_move():
    def without_the_left(picture):
        depth = picture.depth.copy()
        depth[:, : WIDTH // 2] = np.nan
        return depth

    _, found = play(STILL, (0.8, 0, 0), depth_of=without_the_left)
    assert not found[:, : WIDTH // 2].any()
    assert found[:, WIDTH // 2 :].any()
    assert np.isfinite(found).all()


def test_slower_than_the_least_speed_is_still():
    # LEAST is 0.2 m/s. The board moves 0.4 pixels a frame, which is seen well.
    _, found = play(STILL, (0.12, 0, 0))
    assert np.any(found != 0, axis=2).mean() < 0.005
