from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from depth_motion_ros.estimation.settings import (
    EstimatorSettings,
    depth_relative_std_of,
)
from depth_motion_ros.settings import SettingsError, declared


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_gap": -1.0}, "max_gap is -1.0; it must be a finite number from 0.01 to 3600 s"),
        ({"max_depth": float("nan")}, "max_depth is nan; it must be a finite number .* m"),
        ({"intrinsics_window": 0}, "intrinsics_window is 0; .* whole number from 1 to 1000 frames"),
        ({"min_depth": 5.0, "max_depth": 5.0}, "min_depth is 5.0 m; .* less than max_depth"),
        (
            {"object_motion": "optical"},
            "object_motion is 'optical'; it must be one of flow, network",
        ),
        ({"scale": -1.0}, "scale is -1.0; it must be a finite number from 0 to 10000 m"),
        ({"scale": float("inf")}, "scale is inf"),
        ({"base_from_camera": np.eye(3)}, "must be a finite 4x4 matrix"),
        ({"base_from_camera": 2 * np.eye(4)}, "no rigid transform"),
        # A mirror: determinant -1.
        ({"base_from_camera": np.diag([1.0, 1, -1, 1])}, "no rigid transform"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_range(values, message):
    with pytest.raises(SettingsError, match=message):
        EstimatorSettings(**values)


def test_every_setting_states_what_is_allowed_and_means():
    settings = declared(EstimatorSettings)
    assert {entry.name for entry in fields(EstimatorSettings)} - set(settings) == {
        "base_from_camera"
    }
    for name, setting in settings.items():
        assert setting.check(setting.default) == setting.default
        assert setting.range_text or isinstance(setting.default, bool), name
        assert len(setting.description) > 6, name


def test_a_pose_typed_with_six_digits_becomes_an_exact_rotation():
    c, s = 0.866025, 0.5
    pose = np.array([[c, -s, 0, 1], [s, c, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    R = EstimatorSettings(base_from_camera=pose).base_from_camera[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)


def test_the_default_camera_looks_ahead():
    forward = EstimatorSettings().base_from_camera @ [0, 0, 1, 1]
    np.testing.assert_array_equal(forward, [1, 0, 0, 1])


def test_weights_may_say_how_wrong_their_depth_is():
    assert depth_relative_std_of({"depth_relative_std": "0.12"}) == 0.12
    # Without a usable number the cautious default holds.
    for said in ("good", "nan", "-1", "0", "1e400"):
        assert depth_relative_std_of({"depth_relative_std": said}) == 0.3
    assert depth_relative_std_of({}) == EstimatorSettings().depth_relative_std
