"""Depth of the robot's own frames by geometry alone: how good, when not, and within what memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.adaptation_scenes import HEIGHT, WIDTH, K, scene, settings

from depth_motion_ros.adaptation.pairing.triangulation import _LAGS, FrameTriangulator

SIZE = (64, 32)  # of the network: half of the images


def drive(surveyor: FrameTriangulator, count: int, step: float = 0.1, start: int = 0) -> None:
    """step: m to the right in each frame, and half of that ahead; 10 Hz."""
    for i in range(start, start + count):
        surveyor.see(scene(step * i, step * i / 2)[0], 0.1 * i, K)


def error(depth: torch.Tensor, x: float) -> float:
    """Mean abs relative error after median scaling."""
    truth = torch.from_numpy(scene(x, x / 2)[1][::2, ::2].copy())
    known = torch.isfinite(depth[0])
    found, true = depth[0][known].float(), truth[known]
    return float((found * true.median() / found.median() / true - 1).abs().mean())


def test_depth_of_a_drive_without_a_network() -> None:
    surveyor = FrameTriangulator(*SIZE, settings())
    drive(surveyor, 6)
    first, newest = surveyor.depths(0.4)
    assert first is None
    assert newest is not None
    assert (newest.shape, newest.dtype) == ((1, 32, 64), torch.float16)
    # Images of 128x64 at a step of 0.1 m: a parallax of a few pixels, known to some tenths.
    assert error(newest, 0.5) < 0.1
    assert torch.isfinite(newest).float().mean() > 0.3
    assert surveyor.status == "triangulated"


def test_a_pair_of_which_the_first_frame_was_surveyed_has_both_depths() -> None:
    surveyor = FrameTriangulator(*SIZE, settings())
    drive(surveyor, 6)
    _, before = surveyor.depths(0.4)
    drive(surveyor, 1, start=6)
    first, newest = surveyor.depths(0.5)
    assert first is before
    assert newest is not None
    # Of another frame nothing is kept.
    drive(surveyor, 1, start=7)
    assert surveyor.depths(0.5)[0] is None


def test_a_slow_robot_looks_further_back() -> None:
    surveyor = FrameTriangulator(*SIZE, settings())
    found = []
    for i in range(30):
        drive(surveyor, 1, 0.012, start=i)
        found.append(surveyor.depths(-1.0)[1])
    # In 8 frames it has gone 0.1 m, in 24 about 0.3 m.
    assert all(depth is None for depth in found[:6])
    last = [depth for depth in found[20:] if depth is not None]
    assert last
    assert error(last[-1], 0.012 * 29) < 0.15


@pytest.mark.parametrize(
    ("changes", "matrix", "says"),
    [({}, None, "no CameraInfo"), ({"triangulated": 0.0}, K, "weight triangulated is 0")],
)
def test_without_intrinsics_or_weight_nothing_is_triangulated(
    changes: dict[str, float], matrix: np.ndarray | None, says: str
) -> None:
    surveyor = FrameTriangulator(*SIZE, settings(**changes))
    for i in range(6):
        surveyor.see(scene(0.1 * i, 0.05 * i)[0], 0.1 * i, matrix)
        assert surveyor.depths(-1.0) == (None, None)
    assert says in surveyor.status


def test_turning_and_standing_tell_no_depth() -> None:
    for x, yaw in ((0.0, 0.02), (0.0, 0.0)):
        surveyor = FrameTriangulator(*SIZE, settings())
        for i in range(12):
            surveyor.see(scene(x, yaw=yaw * i, seed=i)[0], 0.1 * i, K)
            assert surveyor.depths(-1.0)[1] is None


def test_a_gap_or_another_camera_begins_anew() -> None:
    for stamp, matrix in ((5.0, K), (-1.0, K), (0.6, K * np.array([[1.2], [1.2], [1.0]]))):
        surveyor = FrameTriangulator(*SIZE, settings())
        drive(surveyor, 6)
        surveyor.see(scene(0.6, 0.3)[0], stamp, matrix)
        assert surveyor.depths(-1.0) == (None, None)


def test_memory_is_bounded_and_large_images_are_made_smaller() -> None:
    surveyor = FrameTriangulator(*SIZE, settings(triangulation_width=64))
    drive(surveyor, 3 * _LAGS[-1], 0.0)
    assert len(surveyor._past) == _LAGS[-1] + 1
    assert {seen.gray.shape for seen in surveyor._past} == {(HEIGHT // 2, WIDTH // 2)}
