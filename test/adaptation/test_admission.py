"""Pairs that show a scene from two places are admitted, all others refused by their reason."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from support.adaptation_scenes import HEIGHT, WIDTH, K, scene

from depth_motion_ros.adaptation.pairing.admission import (
    AdmissionView,
    check_images,
    parallax,
    view_of,
)
from depth_motion_ros.adaptation.pairing.frame_pairing import FramePairing
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.estimation.estimate import Motion

SETTINGS = AdaptationSettings()


def view(image: NDArray, stamp: float = 0.0, x: float | None = None) -> AdmissionView:
    place = np.eye(4)
    place[0, 3] = x or 0.0
    return view_of(np.asarray(image, np.uint8), stamp, place, x is not None)


def judged(first: NDArray, second: NDArray, step: float = 0.1) -> str:
    return check_images(view(first), view(second, step), K, SETTINGS)


def moved(seed: int = 0) -> tuple[NDArray, NDArray]:
    return scene(0.0, seed=seed)[0], scene(0.15, 0.08, seed=seed + 1)[0]


def test_a_view_from_another_place_is_admitted() -> None:
    assert judged(*moved()) == ""


def test_standing_still_is_refused_although_the_sensor_is_noisy() -> None:
    assert judged(scene(seed=1)[0], scene(seed=2)[0]) == "still"


@pytest.mark.parametrize("level", [3, 90, 250])
def test_one_colour_is_refused(level: int) -> None:
    rng = np.random.default_rng(0)
    images = [level + rng.normal(0, 2, (HEIGHT, WIDTH, 3)) for _ in range(2)]
    assert judged(*(np.clip(image, 0, 255) for image in images)) in ("covered", "still")


@pytest.mark.parametrize("gain", [0.7, 1.35])
def test_flicker_is_refused(gain: float) -> None:
    first, second = moved()
    assert judged(first, np.clip(second * gain, 0, 255)) == "exposure"


def test_a_cut_is_refused() -> None:
    # 30 m further along, nothing of the first view is left.
    assert judged(scene(0.0)[0], scene(30.0)[0]) == "scene_cut"


def test_the_side_of_a_passing_truck_is_refused() -> None:
    # One fronto-parallel plane that slides by six pixels, whatever the camera does.
    rng = np.random.default_rng(0)
    side = scene()[0][8:20].repeat(6, axis=0)[:HEIGHT] + rng.normal(0, 2, (HEIGHT, WIDTH, 3))
    assert judged(np.clip(side, 0, 255), np.clip(np.roll(side, 6, axis=1), 0, 255)) == "flat"


@pytest.mark.parametrize("yaw", [0.02, 0.06, 0.1])
@pytest.mark.parametrize("known", [True, False])
def test_turning_on_the_spot_is_refused(yaw: float, known: bool) -> None:
    first, second = view(scene(seed=1)[0]), view(scene(yaw=yaw, seed=2)[0], 0.1)
    assert check_images(first, second, K if known else None, SETTINGS) == "rotation"


def test_turning_while_driving_is_admitted() -> None:
    assert judged(scene()[0], scene(0.3, 0.1, yaw=0.03)[0]) == ""


def test_parallax_is_what_the_scene_says() -> None:
    # 0.2 m to the right: the floor's near rows move by f·0.2/depth, about 16 m⁻¹ px at 1 m.
    found = parallax(view(scene()[0]).gray, view(scene(0.2)[0]).gray, K)
    depth = scene()[1]
    expected = np.median(80.0 * 0.2 / depth) / WIDTH
    assert found.motion == pytest.approx(expected, rel=0.3)
    assert found.tracked > 0.8


@pytest.mark.parametrize("step", [0.0, 0.001, 0.9, -0.1])
def test_a_time_step_out_of_range_is_refused(step: float) -> None:
    assert judged(*moved(), step) == "time_step"


def test_odometry_that_stands_still_is_believed() -> None:
    # A truck that slides past looks like motion; the wheels know better.
    first, second = moved()
    assert check_images(view(first, 0.0, 0.0), view(second, 0.1, 0.0), K, SETTINGS) == "still"
    assert check_images(view(first, 0.0, 0.0), view(second, 0.1, 0.17), K, SETTINGS) == ""


def motion(x: float) -> Motion:
    return Motion(np.eye(3), np.array([x, 0, 0]), np.eye(6), 0.1)


def test_a_slow_robot_is_held_against_an_older_frame() -> None:
    eye = FramePairing(WIDTH, HEIGHT)
    reasons = []
    for i in range(4):
        view_pair = eye.see(scene(0.03 * i)[0], 0.1 * i, K, None)
        assert not isinstance(view_pair, str) or view_pair == "first"
        if isinstance(view_pair, str):
            continue
        reasons.append(view_pair.second.stamp - view_pair.first.stamp)
        eye.refuse("displacement", SETTINGS)
    # The first frame serves until twice its age is more than the longest time step, 0.5 s.
    assert reasons == pytest.approx([0.1, 0.2, 0.3])


def test_odometry_adds_up_over_the_frames_in_between() -> None:
    eye = FramePairing(WIDTH, HEIGHT)
    eye.see(scene()[0], 0.0, K, None)
    for i in (1, 2):
        view_pair = eye.see(scene()[0], 0.1 * i, K, motion(0.05))
        eye.refuse("displacement", SETTINGS)
    assert not isinstance(view_pair, str)
    assert view_pair.record().displacement == pytest.approx(0.1)


def test_odometry_with_a_gap_is_not_used() -> None:
    eye = FramePairing(WIDTH, HEIGHT)
    eye.see(scene()[0], 0.0, K, None)
    for i, heard in enumerate((motion(0.05), None, motion(0.05))):
        view_pair = eye.see(scene()[0], 0.1 * (i + 1), K, heard)
        if i < 2:
            eye.refuse("displacement", AdaptationSettings(max_time_step=2.0))
    assert not isinstance(view_pair, str)
    assert np.isnan(view_pair.record().displacement)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        None,
    ],
)
def test_what_is_no_image_is_refused(image: object) -> None:
    assert FramePairing(WIDTH, HEIGHT).see(image, 0.0, K, None) == "bad_image"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "matrix", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(2), -np.eye(3)]
)
def test_intrinsics_that_are_none_are_refused(matrix: NDArray) -> None:
    assert FramePairing(WIDTH, HEIGHT).see(scene()[0], 0.0, matrix, None) == "bad_image"


def test_every_pair_of_a_drive_is_admitted() -> None:
    images = [scene(0.12 * i, 0.06 * i, seed=i)[0] for i in range(8)]
    assert [judged(a, b) for a, b in itertools.pairwise(images)] == [""] * 7
