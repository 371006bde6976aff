"""Fusing the camera with wheels and a gyro, by the parameters that config/ekf.yaml ships."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from depth_motion_ros.cli.main import main
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.fusion import (
    FilterSettings,
    Noise,
    PlanarFilter,
    Seen,
    Sensor,
    fuse,
    planar,
)
from depth_motion_ros.geometry import se3
from depth_motion_ros.share import config_file

DT = 0.1
# 1 m/s ahead and 0.3 rad/s to the left: a third of a circle in 7 s.
TWIST = np.array([1.0, 0, 0, 0, 0, 0.3])
PATH = [se3.exp(TWIST * DT * index) for index in range(70)]
EXACT = Noise(radius=0, track=0, slip=0, gyro_bias=0, gyro_noise=0)
BLIND = [Seen(None, None)] * (len(PATH) - 1)


@pytest.fixture(scope="module")
def shipped() -> FilterSettings:
    return FilterSettings.from_file(config_file("ekf.yaml"))


def camera(std, rng=None):
    """Velocities with white errors of a standard deviation, and an honest covariance."""
    errors = np.zeros((len(BLIND), 6)) if rng is None else rng.normal(size=(len(BLIND), 6))
    return [Seen(TWIST + std * error, max(std, 1e-3) ** 2 * np.eye(6)) for error in errors]


def test_what_is_shipped_fuses_velocities_of_camera_wheels_and_gyro(shipped):
    # vx vy vyaw; vx and that nothing moves sideways; vyaw.
    velocities = {name: sensor.velocities for name, sensor in shipped.sensors.items()}
    assert velocities == {"odom0": (3, 4, 5), "odom1": (3, 4), "imu0": (5,)}
    assert np.linalg.eigvalsh(shipped.growth).min() > 0


def test_exact_sensors_follow_the_path(shipped):
    for use in (("odom0",), ("odom1",), ("odom1", "imu0"), ("odom0", "odom1", "imu0")):
        errors = fuse(PATH, DT, camera(0.0), shipped, use, EXACT, seed=0)
        # The first of the velocities comes at the end of the first step: 0.1 m, 0.03 rad.
        assert errors.position < 0.2
        assert errors.heading < 3.0


def test_a_silent_camera_leaves_the_others_as_they_are(shipped):
    others = ("odom1", "imu0")
    alone = fuse(PATH, DT, BLIND, shipped, others, Noise(), seed=3)
    assert fuse(PATH, DT, BLIND, shipped, ("odom0", *others), Noise(), seed=3) == alone


def test_a_wild_velocity_is_refused():
    ekf = PlanarFilter(np.eye(6) * 0.1)
    sensor = Sensor((3, 4, 5), gate=4.03)
    sure = 1e-4 * np.eye(3)
    assert ekf.correct(sensor, np.array([1.0, 0, 0]), sure)
    ekf.predict(DT)
    assert not ekf.correct(sensor, np.array([9.0, 0, 0]), sure)
    assert ekf.state[3] == pytest.approx(1.0, abs=0.01)


def test_errors_stay_inside_what_the_filter_claims(shipped):
    # White errors of which the covariance knows: nearly all of 20 runs within 95 %.
    inside = [
        fuse(
            PATH, DT, camera(0.05, np.random.default_rng(seed)), shipped, ("odom0",), EXACT, 0
        ).inside
        for seed in range(20)
    ]
    assert np.mean(inside) > 0.9


def test_a_pose_in_the_plane():
    pose = se3.exp([0, 0, 0, 0, 0, 0.5])
    pose[:3, 3] = 1, 2, 3
    np.testing.assert_allclose(planar(pose), [1, 2, 0.5])


def test_files_that_are_no_parameters_of_a_filter_say_so(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match="no parameters of an ekf_node"):
        FilterSettings.from_file(wrong)
    shipped = config_file("ekf.yaml").read_text(encoding="utf-8")
    wrong.write_text(
        shipped.replace("odom0_config: [false", "odom0_config: [true"), encoding="utf-8"
    )
    with pytest.raises(EvaluationError, match="odom0 fuses poses"):
        FilterSettings.from_file(wrong)


def test_sensors_that_are_equally_good_are_better_together(shipped):
    """Camera and wheels of 3 % each: together the error is less than that of either."""
    noise = replace(EXACT, radius=0.03, gyro_noise=0.01)

    def position(use, offset):
        draws = []
        for seed in range(12):
            # As the wheels, the camera is off by a factor, one for a run.
            factor = 1 + 0.03 * np.random.default_rng(offset + seed).normal()
            twist = TWIST * [factor, factor, factor, 1, 1, 1]
            spread = np.diag([0.06**2] * 3 + [0.01**2] * 3)
            seen = [Seen(twist, spread)] * len(BLIND)
            draws.append(fuse(PATH, DT, seen, shipped, use, noise, seed).position)
        return np.sqrt(np.mean(np.square(draws)))

    both, seeing, rolling = (
        position(use, 100) for use in (("odom0", "odom1"), ("odom0",), ("odom1", "imu0"))
    )
    assert both < seeing
    assert both < rolling


def test_on_the_simulator_all_three_are_better_than_camera_or_wheels_alone(tmp_path, capsys):
    out = tmp_path / "fusion.json"
    command = ["bench", "fusion", "--limit", "30", "--draws", "6"]
    assert main([*command, "--json", str(out)]) == 0
    assert "| all three |" in capsys.readouterr().out
    rows = json.loads(out.read_text(encoding="utf-8"))["all scenes"]
    for alone in ("wheels", "wheels, gyro", "camera", "camera, gyro"):
        assert rows["all three"]["position"] < rows[alone]["position"], alone


@pytest.fixture
def fusion_launch(monkeypatch):
    """launch/fusion.launch.py, with stand-ins for launch where that is not installed."""
    for name in (
        "launch", "launch.actions", "launch.launch_description_sources", "launch.substitutions",
        "launch_ros", "launch_ros.actions", "launch_ros.parameter_descriptions",
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, MagicMock())
    path = Path(__file__).resolve().parents[2] / "launch" / "fusion.launch.py"
    return runpy.run_path(str(path))


@pytest.mark.parametrize("publish_tf", ["false", "true"])
def test_two_owners_of_the_base_are_refused(fusion_launch, tmp_path, publish_tf):
    parameters = tmp_path / "mine.yaml"
    parameters.write_text(
        f"depth_motion:\n  ros__parameters:\n    publish_tf: {publish_tf}\n", encoding="utf-8"
    )
    refuse = fusion_launch["refuse_two_owners"]
    refuse.__globals__["LaunchConfiguration"].return_value.perform.return_value = str(parameters)
    if publish_tf == "true":
        with pytest.raises(RuntimeError, match="publish_tf of depth_motion is true"):
            refuse(None)
    else:
        assert refuse(None) == []


def test_the_parameters_that_ship_have_one_owner(fusion_launch):
    refuse = fusion_launch["refuse_two_owners"]
    configuration = refuse.__globals__["LaunchConfiguration"]
    configuration.return_value.perform.return_value = str(config_file("depth_motion.yaml"))
    assert refuse(None) == []
