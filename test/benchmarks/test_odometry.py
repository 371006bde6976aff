from __future__ import annotations

import numpy as np
import pytest

from benchmarks.odometry.moving import static_pixels
from benchmarks.odometry.scoring import jitter_of
from depth_motion_ros.sources.frame import Frame, GroundTruth

IMAGE = np.zeros((40, 60, 3), np.uint8)


def test_what_the_truth_calls_static_is_static_but_for_the_outline_of_what_moves():
    motion = np.zeros((40, 60, 3), np.float32)
    motion[10:20, 10:20, 0] = 0.2
    # The sky is unknown and does not move.
    motion[:5] = np.nan
    static = static_pixels(Frame(0, IMAGE, truth=GroundTruth(motion=motion)), (40, 60))
    # Two pixels around ten by ten.
    assert (~static).sum() == 14 * 14
    assert not static[8:22, 8:22].any()
    # At the size of the network's answer.
    half = static_pixels(Frame(0, IMAGE, truth=GroundTruth(motion=motion)), (20, 30))
    assert half.shape == (20, 30)
    assert (~half).sum() == 7 * 7


def test_without_truth_the_sequence_is_taken_to_be_static():
    assert static_pixels(Frame(0, IMAGE), (20, 30)).all()


def test_jitter_of_the_true_orientations_is_told_from_errors_of_the_estimate():
    rng = np.random.default_rng(0)
    poses = 1e-3 * rng.normal(size=(2001, 3))
    # Each pose's noise turns up in two errors, with opposite signs; drift does not.
    errors = np.zeros((2000, 6))
    errors[:, 3:] = np.diff(poses, axis=0) + 0.01
    np.testing.assert_allclose(np.sqrt(jitter_of(errors)), 1e-3, rtol=0.1)
    errors[:, 3:] = 1e-3 * rng.normal(size=(2000, 3))
    # Of white errors a tenth of the variance at most is taken for jitter.
    assert jitter_of(errors).max() < 0.1 * 1e-6
    assert jitter_of(errors[:5]).max() == pytest.approx(0.0)
