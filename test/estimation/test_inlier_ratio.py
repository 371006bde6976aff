"""Fewer corners than usual agree on the camera's motion: it is doubted, or lost."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.alignment_scenes import HEIGHT, WIDTH, pairs
from support.estimation_helpers import SECOND

from depth_motion_ros.estimation.alignment.constant_velocity import ConstantVelocity
from depth_motion_ros.estimation.alignment.inlier_ratio import InlierRatio
from depth_motion_ros.estimation.estimate import Quality
from depth_motion_ros.estimation.pair import FrameView, PairMotion
from depth_motion_ros.geometry import se3

LEAST = 0.55
CAMERA = pairs("drive", 1)[0].camera
DEPTH = 5.0
SEEN = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
VIEW = FrameView(SEEN, np.full((HEIGHT, WIDTH), DEPTH, np.float32), SEEN)


def moved(share, tracking="ok"):
    step = np.array([0.0, 0.0, 0.2])
    return PairMotion(np.eye(3), step, 1e-8 * np.eye(6), Quality(tracking), inlier_ratio=share)


def play(shares, seconds=0.1):
    inlier_ratio = InlierRatio()
    return [
        inlier_ratio.checked(moved(share), round(index * seconds * SECOND), VIEW, CAMERA, LEAST)
        for index, share in enumerate(shares)
    ]


def pixels_in_doubt(pair):
    """By what was added to the covariance of the turn."""
    focal = 0.5 * (CAMERA.fx + CAMERA.fy)
    return focal * np.sqrt(pair.covariance[4, 4] - 1e-8)


def test_as_many_as_usual_change_nothing():
    for share in (0.9, 0.4):
        for pair in play([share] * 20):
            assert pair.quality.tracking == "ok"
            assert pixels_in_doubt(pair) == pytest.approx(0, abs=1e-6)


def test_more_than_usual_are_welcome():
    assert pixels_in_doubt(play([0.5] * 5 + [0.9])[-1]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("part", "pixels"), [(0.9, 0.04), (0.7, 0.36)])
def test_fewer_than_usual_cost_certainty(part, pixels):
    pair = play([0.8] * 10 + [part * 0.8])[-1]
    assert pair.quality.tracking == "ok"
    assert pixels_in_doubt(pair) == pytest.approx(pixels, rel=1e-3)
    # A turn by so many pixels looks like a step aside, as far as things are away.
    assert pair.covariance[0, 0] - 1e-8 == pytest.approx(DEPTH**2 * (pair.covariance[4, 4] - 1e-8))


def test_far_fewer_than_usual_are_lost_and_the_reason_is_said():
    pair = play([0.8] * 10 + [0.3])[-1]
    assert pair.quality.tracking == "lost"
    assert "inlier ratio 30%, usually 80%" in pair.quality.reason
    assert pair.triangulated is None
    assert pair.depth_factor is None


def heard(degrees, metres=1.0):
    """What another odometry says: a step so far aside of straight ahead."""
    turn = np.radians(degrees)
    return se3.transform(np.eye(3), metres * np.array([np.sin(turn), 0.0, np.cos(turn)]))


@pytest.mark.parametrize(
    ("share", "other", "least", "tracking"),
    [
        (0.6, heard(30), LEAST, "lost"),
        # It says the same; it hardly moves and so has no direction; it says nothing.
        (0.6, heard(10), LEAST, "ok"),
        (0.6, heard(30, metres=0.01), LEAST, "ok"),
        (0.6, None, LEAST, "ok"),
        # Wheels slip: as many corners as usual speak against them.
        (0.75, heard(30), LEAST, "ok"),
        # Nobody asked.
        (0.6, heard(30), 0.0, "ok"),
    ],
)
def test_where_fewer_agree_another_odometry_is_asked(share, other, least, tracking):
    inlier_ratio = InlierRatio()
    inlier_ratio.checked(moved(0.8), 0, VIEW, CAMERA, least)
    pair = inlier_ratio.checked(moved(share), SECOND // 10, VIEW, CAMERA, least, other)
    assert pair.quality.tracking == tracking
    if tracking == "lost":
        assert "differs from the odometry by 30 degrees" in pair.quality.reason


def test_what_stays_becomes_usual():
    """A place with fewer corners: after some seconds they are believed, and at once when they are
    back."""
    lost = [pair.quality.tracking == "lost" for pair in play([0.8] * 10 + [0.3] * 100 + [0.8])]
    assert 10 <= sum(lost) <= 50
    assert not any(lost[-20:])


def test_nothing_is_said_where_nothing_is_known():
    inlier_ratio = InlierRatio()
    assert inlier_ratio.usual == 0
    for pair in (moved(None), moved(0.9, "lost"), moved(None, "static")):
        assert inlier_ratio.checked(pair, SECOND, VIEW, CAMERA, LEAST) is pair
    assert inlier_ratio.usual == 0


def test_a_camera_at_rest_is_at_rest_whatever_passes_by():
    inlier_ratio = InlierRatio()
    inlier_ratio.checked(moved(0.9), 0, VIEW, CAMERA, LEAST)
    still = moved(0.1, "static")
    assert inlier_ratio.checked(still, SECOND // 10, VIEW, CAMERA, LEAST) is still


def test_a_lost_motion_goes_on_as_it_went_for_a_while():
    inertia = ConstantVelocity()
    assert inertia.expected(0, SECOND) is None
    turn = Rotation.from_euler("y", 0.02).as_matrix()
    step = PairMotion(turn, np.array([0, 0, 0.1]), np.eye(6), Quality("ok"))
    inertia.note(0, SECOND // 10, step, 0.25)
    # Twice the time, twice the way.
    expected = inertia.expected(SECOND // 10, 3 * SECOND // 10)
    once = se3.transform(step.rotation, step.translation)
    np.testing.assert_allclose(expected, once @ once, atol=1e-12)
    assert inertia.expected(0, SECOND) is None
    for tenth in (1, 2):
        inertia.note(tenth * SECOND // 10, (tenth + 1) * SECOND // 10, moved(0.1, "lost"), 0.25)
        since = (tenth + 1) * SECOND // 10
        np.testing.assert_allclose(inertia.expected(since, since + SECOND // 10), once, atol=1e-12)
    inertia.note(3 * SECOND // 10, 4 * SECOND // 10, moved(0.1, "lost"), 0.25)
    assert inertia.expected(4 * SECOND // 10, SECOND) is None
