from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from depth_motion_ros.estimation.settings import (
    DEPTH_ERROR,
    EstimatorSettings,
    SettingsError,
    depth_error_of,
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_gap": -1.0}, r"max_gap must lie in \[0, inf\] s, got -1.0"),
        ({"max_depth": float("nan")}, "max_depth must lie in .* m, got nan"),
        ({"intrinsics_window": 0}, r"intrinsics_window must lie in \[1, 1000\] frames, got 0"),
        ({"min_depth": 5.0, "max_depth": 5.0}, r"min_depth 5.0 m must be less than max_depth"),
        (
            {"object_motion": "optical"},
            "object_motion must be one of flow, network, got 'optical'",
        ),
        ({"scale": 0.0}, "scale must be positive and finite, got 0.0"),
        ({"scale": float("inf")}, "scale must be positive"),
        ({"base_from_camera": np.eye(3)}, "must be a finite 4x4 matrix"),
        ({"base_from_camera": 2 * np.eye(4)}, "no rigid transform"),
        # A mirror: determinant -1.
        ({"base_from_camera": np.diag([1.0, 1, -1, 1])}, "no rigid transform"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_range(values, message):
    with pytest.raises(SettingsError, match=message):
        EstimatorSettings(**values)


def test_every_number_states_range_unit_and_meaning():
    numbers = [entry for entry in fields(EstimatorSettings) if "range" in entry.metadata]
    choices = [entry for entry in fields(EstimatorSettings) if "choices" in entry.metadata]
    # scale, unit, base_from_camera, refine, square_pixels
    assert len(numbers) + len(choices) == len(fields(EstimatorSettings)) - 5
    assert all(entry.default in entry.metadata["choices"] for entry in choices)
    for entry in numbers:
        low, high = entry.metadata["range"]
        assert low <= entry.default <= high
        assert entry.metadata["unit"]
        assert entry.metadata["description"]


def test_a_pose_typed_with_six_digits_becomes_an_exact_rotation():
    c, s = 0.866025, 0.5
    pose = np.array([[c, -s, 0, 1], [s, c, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    R = EstimatorSettings(base_from_camera=pose).base_from_camera[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)


def test_the_default_camera_looks_ahead():
    forward = EstimatorSettings().base_from_camera @ [0, 0, 1, 1]
    np.testing.assert_array_equal(forward, [1, 0, 0, 1])


def test_weights_may_say_how_wrong_their_depth_is():
    assert depth_error_of({"depth_error": "0.12"}) == 0.12
    # Without a usable number the cautious default holds.
    for said in ({}, {"depth_error": "good"}, {"depth_error": "nan"}, {"depth_error": "-1"}):
        assert depth_error_of(said) == DEPTH_ERROR
