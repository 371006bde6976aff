"""Trajectory metrics against drift that is known by construction."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.trajectory import (
    absolute_error,
    align,
    chain,
    end_drift,
    evaluate_trajectory,
    path_length,
    scaled,
    segment_errors,
    snippet_errors,
)
from depth_motion_ros.geometry import se3

# A segment ends at the first frame beyond its length: with steps of 0.5 m at most 0.5 m late, so
# an error per metre comes out up to 0.5 % of itself too large over 100 m.
STEP = 0.5
LATE = 0.5 / 100


def drive(steps: int, yaw_per_step: float = 0.0, step: float = STEP) -> np.ndarray:
    """Forward along the optical axis, turning about the vertical by so many degrees a step."""
    turn = Rotation.from_euler("y", yaw_per_step, degrees=True).as_matrix()
    forward = se3.transform(turn, (0, 0, step))
    poses = [np.eye(4)]
    for _ in range(steps):
        poses.append(poses[-1] @ forward)
    return np.stack(poses)


def at(positions: list[tuple[float, float, float]]) -> np.ndarray:
    return np.stack([se3.transform(np.eye(3), p) for p in positions])


def test_driving_forward_brings_points_nearer() -> None:
    # Points of frame t lie 2 m nearer in frame t + 1, so the camera has moved 2 m along z.
    poses = chain([se3.transform(np.eye(3), (0, 0, -2))] * 2)
    assert poses[:, :3, 3].tolist() == [[0, 0, 0], [0, 0, 2], [0, 0, 4]]


def test_chaining_the_true_motions_gives_the_true_poses() -> None:
    truth = drive(20, 3.0)
    motions = [se3.inverse(b) @ a for a, b in pairwise(truth)]
    assert chain(motions) == pytest.approx(truth)


def test_a_scale_error_of_5_percent_is_a_t_err_of_5() -> None:
    truth = drive(600)
    result = segment_errors(scaled(truth, 1.05), truth)
    assert result is not None
    assert 5 <= result.t_err <= 5 * (1 + LATE)
    assert result.r_err == pytest.approx(0, abs=1e-6)
    # 300 m: 100 m fit from frames 0 … 390, 200 m from 0 … 190; 300 m would end past the last frame.
    assert result.lengths == (100, 200)
    assert result.count == 40 + 20


def test_a_rotation_drift_of_1_degree_per_100_m_is_an_r_err_of_1() -> None:
    result = segment_errors(drive(600, STEP / 100), drive(600))
    assert result is not None
    assert 1 <= result.r_err <= 1 + LATE


def test_segments_start_at_every_tenth_frame() -> None:
    # 110 m: 100 m fit from the first twenty frames, of which two are tenth ones.
    tenth, every = (segment_errors(drive(220), drive(220), step=step) for step in (10, 1))
    assert tenth is not None
    assert every is not None
    assert (tenth.count, every.count) == (2, 20)


def test_segment_errors_do_not_see_where_the_trajectory_starts() -> None:
    truth, estimate = drive(400, 0.3), drive(400, 0.31)
    elsewhere = se3.transform(
        Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix(), (5, 6, 7)
    )
    here, there = segment_errors(estimate, truth), segment_errors(elsewhere @ estimate, truth)
    assert here is not None
    assert there is not None
    assert there.t_err == pytest.approx(here.t_err)
    assert there.r_err == pytest.approx(here.r_err)


def test_a_short_path_has_no_t_err_but_drift_over_what_fits() -> None:
    truth = drive(60)  # 30 m
    assert segment_errors(scaled(truth, 1.05), truth) is None
    metrics = evaluate_trajectory(drive(60, 0.1), truth).metrics
    assert metrics["t_err"] is None
    assert metrics["r_err"] is None
    assert metrics["lengths"] == []
    assert metrics["lengths_short"] == [5, 10, 20]
    # 0.1 degrees every 0.5 m is 20 degrees in 100 m; over 5 m a segment ends at most 10 % late.
    assert 20 <= metrics["r_err_short"] <= 22
    assert metrics["r_drift"] == pytest.approx(20)


def test_end_drift_of_a_path_10_percent_too_long() -> None:
    assert end_drift(scaled(drive(20), 1.1), drive(20)) == pytest.approx((10, 0))


def test_standing_still_has_no_drift_per_metre() -> None:
    still = at([(1, 2, 3)] * 6)
    assert end_drift(still, still) is None
    metrics = evaluate_trajectory(still, still).metrics
    assert metrics["t_drift"] is None
    assert metrics["ate"] == 0


def test_ate_is_zero_up_to_a_similarity() -> None:
    truth = drive(50, 4.0)
    moved = se3.transform(
        Rotation.from_euler("xyz", (10, -20, 70), degrees=True).as_matrix(), (5, 6, 7)
    )
    estimate = scaled(moved @ truth, 0.2)
    similarity = align(estimate, truth)
    assert similarity.scale == pytest.approx(5)
    assert similarity.applied_to(estimate) == pytest.approx(truth, abs=1e-9)
    assert evaluate_trajectory(estimate, truth).metrics["ate"] == pytest.approx(0, abs=1e-9)


def test_ate_of_a_square_bent_into_a_saddle() -> None:
    truth = at([(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)])
    estimate = at([(1, 0, 0.75), (0, 1, -0.75), (-1, 0, 0.75), (0, -1, -0.75)])
    # By symmetry no rotation helps; the best factor is Σxy/Σx² = 1/(1 + d²), and what is left is
    # d/√(1 + d²) = 0.75/1.25.
    similarity = align(estimate, truth)
    assert similarity.scale == pytest.approx(1 / (1 + 0.75**2))
    assert absolute_error(similarity.applied_to(estimate), truth) == pytest.approx(0.6)


def test_a_straight_road_can_be_aligned_though_evo_refuses() -> None:
    truth = drive(20)
    sideways = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    estimate = scaled(se3.transform(sideways, (1, 1, 1)) @ truth, 2.0)
    result = evaluate_trajectory(estimate, truth)
    assert result.metrics["track_scale"] == pytest.approx(0.5)
    assert result.metrics["ate"] == pytest.approx(0, abs=1e-9)


def test_an_estimate_that_never_moves_is_as_wrong_as_the_path_is_wide() -> None:
    metrics = evaluate_trajectory(
        at([(0, 0, 0)] * 3), at([(-3, 0, 0), (0, 0, 0), (3, 0, 0)])
    ).metrics
    assert metrics["ate"] == pytest.approx(math.sqrt((9 + 0 + 9) / 3))
    assert metrics["t_drift"] == pytest.approx(100)


def test_t_err_is_after_the_scale_of_the_sequence_and_unscaled_before() -> None:
    truth = drive(600, 0.3)
    metrics = evaluate_trajectory(scaled(truth, 0.1), truth).metrics
    assert metrics["t_err"] == pytest.approx(0, abs=1e-6)
    assert metrics["unscaled_t_err"] == pytest.approx(90, rel=0.1)
    assert metrics["track_scale"] == pytest.approx(10)


def test_on_a_straight_road_the_floor_has_no_error() -> None:
    metrics = evaluate_trajectory(drive(300, 0.5), drive(300)).metrics
    assert metrics["floor_straight_ate"] == pytest.approx(0, abs=1e-9)
    assert metrics["floor_straight_t_err"] == pytest.approx(0, abs=1e-9)
    assert metrics["ate"] > 1


def test_in_a_quarter_circle_the_floor_is_a_chord() -> None:
    # 90 degrees in 90 steps: straight ahead misses the turn, 90 degrees on the whole path.
    truth = drive(90, 1.0)
    metrics = evaluate_trajectory(truth, truth).metrics
    assert metrics["floor_straight_ate"] > 1
    # A turn of 1 degree every half metre is 200 degrees in 100 m; see above for being late.
    assert 200 <= metrics["floor_straight_r_err_short"] <= 200 * 1.1


def test_a_snippet_with_its_last_frame_one_metre_off() -> None:
    truth = at([(0, 0, z) for z in range(5)])
    estimate = at([(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (1, 0, 4)])
    # Σxy = 1+4+9+16 = 30, Σx² = 31: what the best factor leaves is 30 - 30²/31 = 30/31.
    expected = math.sqrt(30 / 31) / 5
    assert snippet_errors(estimate, truth) == pytest.approx([expected])
    assert snippet_errors(scaled(estimate, 7.0), truth) == pytest.approx([expected])


def test_snippets_are_all_runs_of_five_frames() -> None:
    assert len(snippet_errors(drive(9), drive(9))) == 6
    assert len(snippet_errors(drive(3), drive(3))) == 0
    assert evaluate_trajectory(drive(3), drive(3)).metrics["snippet_ate"] is None


def test_path_length_adds_up_steps() -> None:
    assert path_length(at([(0, 0, 0), (3, 4, 0), (3, 4, 1)])).tolist() == [0, 5, 6]


def test_bad_trajectories_are_errors_with_the_reason() -> None:
    with pytest.raises(EvaluationError, match=r"\(3, 4, 4\).*\(4, 4, 4\)"):
        evaluate_trajectory(drive(2), drive(3))
    broken = drive(3)
    broken[2, 0, 3] = np.nan
    with pytest.raises(EvaluationError, match="diverged"):
        evaluate_trajectory(broken, drive(3))
