from __future__ import annotations

import numpy as np
import pytest
from support.epipolar_scenes import (
    CAMERA,
    FOCAL,
    HEIGHT,
    NOISE,
    STRAIGHT,
    WIDTH,
    error_of,
    solved,
    street,
    tracks_of,
)

from depth_motion_ros.estimation.alignment.epipolar import loss_of, solve
from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.estimation.odometry import Odometry
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL

# A network's motion may be this wrong: 0.3 degrees and a fifth of the step.
WRONG = se3.exp([0.1, -0.1, 0.15, 0.003, -0.004, 0.002])
# Degrees. Noise of 0.1 pixels, of focal length 230, over 400 corners is 0.025 / 20 of a turn alone.
# Turns and sidesteps are told apart by differences of depth, which costs a factor of some five
# ahead (measured over 20 seeds: 0.006, at most 0.015) and sideways, across a low image, ten to
# twenty (0.02, at most 0.04).
TURN, TURN_SIDEWAYS = 0.02, 0.05

MOTIONS = {
    "ahead": [0, 0, 1, 0, 0, 0],
    "back": [0, 0, -1, 0, 0, 0],
    "sideways": [0.5, 0, 0, 0, 0, 0],
    "up": [0, -0.4, 0, 0, 0, 0],
    "a bend": [0.1, 0, 1, 0, 0.05, 0],
    "a bump": [0, 0.05, 0.5, 0.02, 0, 0],
    "a roll": [0, 0, 0.5, 0, 0, 0.03],
}


@pytest.mark.parametrize("name", MOTIONS)
def test_every_motion_is_found_from_a_wrong_start(name):
    rng = np.random.default_rng(0)
    motion = se3.exp(MOTIONS[name])
    found = solved(tracks_of(*street(rng), motion, rng), motion @ WRONG)
    turn, direction, length = error_of(found, motion)
    assert turn < (TURN_SIDEWAYS if name in ("sideways", "up") else TURN)
    assert direction < 0.5
    assert length == pytest.approx(1, abs=0.03)
    # What the tracks are off by is told as it is.
    assert found.spread == pytest.approx(NOISE, rel=0.15)


FORWARD = BODY_FROM_OPTICAL[:3, :3]
LEFT = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
DOWN = np.array([[0.0, -1, 0], [-1, 0, 0], [0, 0, -1]])


@pytest.mark.parametrize("axes", [FORWARD, LEFT, DOWN], ids=["forward", "left", "down"])
def test_the_robot_s_motion_is_found_whichever_way_the_camera_looks(axes):
    mounting = se3.transform(axes, [0.3, 0.1, 1.0])
    driven = se3.exp([0.5, 0, 0, 0, 0, 0.02])
    seen = se3.inverse(mounting) @ driven @ mounting
    rng = np.random.default_rng(0)
    found = solved(tracks_of(*street(rng), seen, rng), seen @ WRONG)
    odometry = Odometry(mounting)
    odometry.integrate(Motion(found.motion[:3, :3], found.motion[:3, 3], np.eye(6), 0.1))
    e = se3.log(se3.inverse(odometry.state.pose) @ driven)
    assert np.degrees(np.linalg.norm(e[3:])) < TURN_SIDEWAYS
    # 2 % of half a metre.
    assert np.linalg.norm(e[:3]) < 0.01


def test_smooth_errors_of_depth_neither_turn_the_camera_nor_change_its_course():
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    # Half as far again on the left, and two thirds on the right: by depth that is known, a turn.
    told = depth * 1.5 ** np.linspace(1, -1, WIDTH)[pixel[0].astype(int)]
    motion = se3.exp(MOTIONS["a bend"])
    found = solved(tracks_of(pixel, depth, motion, rng, told=told), motion @ WRONG, 0.3)
    turn, direction, length = error_of(found, motion)
    assert turn < TURN
    assert direction < 0.5
    # The step is as long as depth is in the middle.
    assert length == pytest.approx(1, abs=0.1)


def test_the_error_of_depth_is_found_at_every_corner_with_parallax():
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    told = depth * np.where(pixel[0] < WIDTH / 2, 1.2, 1 / 1.2)
    tracks = tracks_of(pixel, depth, STRAIGHT, rng, told=told)
    found = solved(tracks, STRAIGHT @ WRONG, 0.3)
    # ln(inverse depth): what is there less what was told.
    expected = np.where(tracks.pixel[0] < WIDTH / 2, np.log(1.2), -np.log(1.2))
    off = (found.error - expected)[found.good]
    # Up to the one factor that no image shows.
    off -= np.median(off)
    surprise = off / np.sqrt(found.variance[found.good])
    assert found.good.mean() > 0.5
    # As exact as is claimed: the robust deviation of normalised errors is 1.
    assert 1.4826 * np.median(np.abs(surprise)) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("unit", [0.2, 3.0])
def test_the_step_is_in_the_unit_of_the_depth_map(unit):
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    # The network's step need not be in the unit of its depth.
    found = solved(tracks_of(pixel, depth, STRAIGHT, rng, told=depth / unit), STRAIGHT @ WRONG, 0.3)
    turn, direction, length = error_of(found, STRAIGHT)
    assert turn < TURN
    assert direction < 0.5
    assert length == pytest.approx(1 / unit, rel=0.02)


def test_corners_that_were_followed_wrongly_do_not_count():
    rng = np.random.default_rng(0)
    noise = NOISE * rng.normal(size=(2, 400))
    # A quarter of them lie anywhere within 20 pixels.
    noise[:, ::4] = rng.uniform(-20, 20, (2, 100))
    found = solved(tracks_of(*street(rng), STRAIGHT, rng, noise), STRAIGHT @ WRONG)
    turn, direction, length = error_of(found, STRAIGHT)
    # Three quarters are left to see it by, and what lies near is doubted a little.
    assert turn < TURN
    assert direction < 1.0
    assert length == pytest.approx(1, abs=0.02)


def test_a_car_that_drives_beside_does_not_count():
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    # A fifth of the width, where a car overtakes by half a metre a frame, to the right.
    is_car = (pixel[0] > 250) & (pixel[0] < 333)
    depth[is_car] = 8.0
    noise = NOISE * rng.normal(size=pixel.shape)
    noise[0, is_car] += FOCAL * 0.5 / 8.0
    found = solved(tracks_of(pixel, depth, STRAIGHT, rng, noise), STRAIGHT @ WRONG)
    turn, direction, length = error_of(found, STRAIGHT)
    assert turn < TURN
    assert direction < 1.0
    assert length == pytest.approx(1, abs=0.02)


def test_a_turn_on_the_spot_is_a_turn_on_the_spot():
    rng = np.random.default_rng(0)
    motion = se3.exp([0, 0, 0, 0, 0.03, 0])
    found = solved(tracks_of(*street(rng), motion, rng), motion @ WRONG)
    turn, _, _ = error_of(found, motion)
    assert turn < TURN
    # 0.1 pixels at the usual 15 m are 7 mm; of 400 corners there is less of it.
    assert np.linalg.norm(found.motion[:3, 3]) < 0.007
    # No parallax, so nothing is known of depth, and that is said.
    known = found.good & (found.variance < 0.3**2)
    assert known.mean() < 0.05


@pytest.mark.parametrize("step", [0.0, 0.01])
def test_a_passer_by_does_not_move_a_robot_that_stands(step):
    """Depth that is hardly known let any corner move as it liked, and a robot that stopped went on:
    a turn of 0.1 degrees and a sidestep made up for it."""
    rng = np.random.default_rng(0)
    pixel, depth = street(rng)
    # A tenth of the width, 3 m away and walking by at 7 cm a frame; the robot sways.
    is_person = (pixel[0] > 150) & (pixel[0] < 192)
    depth[is_person] = 3.0
    motion = se3.exp([0, 0, step, 0.002, 0.02, 0])
    noise = NOISE * rng.normal(size=pixel.shape)
    noise[0, is_person] += FOCAL * 0.07 / 3.0
    told = depth * np.exp(0.2 * rng.normal(size=depth.shape))
    start = motion @ se3.exp([0.1, -0.02, 0.05, 0.003, -0.004, 0.002])
    found = solved(tracks_of(pixel, depth, motion, rng, noise, told), start, 0.2)
    turn, _, _ = error_of(found, motion)
    assert turn < TURN_SIDEWAYS
    assert np.linalg.norm(found.motion[:3, 3] - motion[:3, 3]) < 0.01


def test_a_flat_world_suffices():
    rng = np.random.default_rng(0)
    # Half the image is ground; nothing else has corners.
    pixel = rng.uniform((6, 74), (WIDTH - 7, HEIGHT - 7), (400, 2)).T
    depth = 1.65 * FOCAL / (pixel[1] - CAMERA.cy)
    motion = se3.exp(MOTIONS["a bend"])
    found = solved(tracks_of(pixel, depth, motion, rng), motion @ WRONG)
    turn, direction, length = error_of(found, motion)
    # The plane allows a second motion, which depth excludes.
    assert turn < TURN_SIDEWAYS
    assert direction < 1.0
    assert length == pytest.approx(1, abs=0.02)


def test_too_few_corners_show_no_motion():
    rng = np.random.default_rng(0)
    pixel, depth = street(rng, 59)
    assert solved(tracks_of(pixel, depth, np.eye(4), rng), np.eye(4)) is None
    # Many, but one in ten of those that were looked for: what was found again may be anything.
    pixel, depth = street(rng, 1000)
    few = tracks_of(pixel[:, :100], depth[:100], np.eye(4), rng)
    assert solved(few, np.eye(4)) is not None
    assert solved(type(few)(**{**vars(few), "tried": 1000}), np.eye(4)) is None


def test_tracks_that_no_motion_explains_show_none():
    rng = np.random.default_rng(0)
    anywhere = rng.uniform(-20, 20, (2, 400))
    assert solved(tracks_of(*street(rng), STRAIGHT, rng, anywhere), STRAIGHT) is None


def test_what_no_corner_shows_is_as_expected():
    rng = np.random.default_rng(0)
    # Everything is infinitely far: the step cannot be seen.
    pixel, _ = street(rng)
    tracks = tracks_of(pixel, np.full(pixel.shape[1], 1e7), np.eye(4), rng)
    prior = np.array([1.0] * 3 + [1e2] * 3)
    found = solve(tracks, STRAIGHT, np.zeros(6), prior, CAMERA, 0.1)
    # What is left of noise, by which one would take a step of kilometres.
    np.testing.assert_allclose(found.motion[:3, 3], STRAIGHT[:3, 3], atol=0.05)


def test_a_network_that_never_learnt_to_step_is_no_hindrance():
    rng = np.random.default_rng(0)
    motion = se3.exp(MOTIONS["a bend"])
    # Nowhere is there a direction in which depth would move a corner.
    found = solved(tracks_of(*street(rng), motion, rng), np.eye(4))
    turn, direction, _ = error_of(found, motion)
    assert turn < TURN
    assert direction < 0.5


def test_the_loss_is_least_at_the_truth():
    rng = np.random.default_rng(0)
    tracks = tracks_of(*street(rng), STRAIGHT, rng)
    found = solved(tracks, STRAIGHT)
    at_truth = loss_of(tracks, STRAIGHT, CAMERA, found)
    for axis in range(3, 6):
        off = np.zeros(6)
        # A degree.
        off[axis] = np.radians(1)
        assert loss_of(tracks, STRAIGHT @ se3.exp(off), CAMERA, found) > at_truth + 10


def test_how_well_the_length_is_known_is_what_many_draws_show():
    lengths, claimed = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pixel, depth = street(rng)
        # Errors that ten neighbours share, as those of a depth map are.
        share = np.repeat(rng.normal(size=len(depth) // 10), 10)
        told = depth * np.exp(0.2 * share)
        found = solved(tracks_of(pixel, depth, STRAIGHT, rng, told=told), STRAIGHT, 0.2)
        lengths.append(np.log(np.linalg.norm(found.motion[:3, 3])))
        claimed.append(found.length_variance)
    assert np.std(lengths) == pytest.approx(np.sqrt(np.mean(claimed)), rel=0.35)


def test_the_information_tells_the_error():
    """Normalised estimation error squared. Ten neighbours share what they are off by, as windows
    that overlap do; what is left to the depth map, the length of the step, is not judged here."""
    rng = np.random.default_rng(0)
    seen, nees = [0, 1, 3, 4, 5], []
    for _ in range(40):
        places, depths = street(rng, 150)
        pixel = np.repeat(places, 10, axis=1) + rng.uniform(-4, 4, (2, 1500))
        pixel = np.clip(pixel, 6, np.array([[WIDTH - 7], [HEIGHT - 7]]))
        noise = np.repeat(NOISE * rng.normal(size=(2, 150)), 10, axis=1)
        tracks = tracks_of(pixel, np.repeat(depths, 10), STRAIGHT, rng, noise)
        found = solved(tracks, STRAIGHT @ WRONG)
        e = se3.log(se3.inverse(found.motion) @ STRAIGHT)[seen]
        nees.append(e @ found.information[np.ix_(seen, seen)] @ e)
    # 95 % of the means over 40 draws of 5 degrees of freedom lie between 0.81 and 1.21 times 5.
    # Student's t says a quarter too much where nothing is an outlier, E 6 / (4 + z²) = 1.27.
    assert 0.81 < np.mean(nees) / 5 < 1.27 * 1.21
