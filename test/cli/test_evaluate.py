"""``depth_motion evaluate`` and the validator, end to end on a small folder, and the reports."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depth_motion_ros.cli.main import main
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.plots import curves_plot, file_stem, spread
from depth_motion_ros.evaluation.report import table, write_json
from depth_motion_ros.evaluation.validator import depth_validator
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import weights_of
from depth_motion_ros.sources.frame import Frame, GroundTruth
from depth_motion_ros.sources.sequence.writer import SequenceWriter

CAMERA = Camera.from_field_of_view(64, 32, 1.2)
DEPTH_KEYS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "d1", "d2", "d3")


@pytest.fixture(scope="module")
def network() -> DepthMotionNet:
    torch.manual_seed(0)
    return DepthMotionNet(NetworkConfig("lite", 64, 32)).eval()


@pytest.fixture(scope="module")
def weights(network: DepthMotionNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lite.safetensors"
    weights_of(network).to_file(path)
    return path


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames, driving forward through noise; depth for every other one."""
    path = tmp_path_factory.mktemp("data") / "street"
    generator = np.random.default_rng(0)
    with SequenceWriter(path) as writer:
        for index in range(7):
            pose = np.eye(4)
            pose[2, 3] = 0.5 * index
            pose[0, 3] = 0.01 * index**2
            depth = generator.uniform(2, 30, (32, 64)).astype(np.float32)
            motion = np.zeros((32, 64, 3), np.float32)
            motion[:8, :8, 0] = 0.3
            truth = GroundTruth(depth if index % 2 == 0 else None, pose, motion)
            image = generator.integers(0, 255, (32, 64, 3), dtype=np.uint8)
            writer.write(Frame(index * 10**8, image, CAMERA, truth))
    return path


def run(*arguments: object) -> int:
    return main(["evaluate", *(str(argument) for argument in arguments)])


def test_the_command_prints_a_table_and_writes_json_and_pictures(
    weights: Path, sequence: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plots = tmp_path / "new" / "out.json", tmp_path / "plots"
    code = run("--weights", weights, sequence, "--json", out, "--plots", plots)
    assert code == 0
    metrics = json.loads(out.read_text())["street"]
    for key in DEPTH_KEYS:
        for prefix in ("", "unscaled_", "floor_constant_", "floor_row_"):
            assert np.isfinite(metrics[prefix + key]), prefix + key
    # A path of 3 m: nothing of 100 m fits.
    assert metrics["t_err"] is None
    assert metrics["r_err"] is None
    for key in ("ate", "snippet_ate", "motion_epe", "motion_iou", "focal_error", "t_drift"):
        assert np.isfinite(metrics[key]), key
    assert (metrics["depth_images"], metrics["depth_skipped"]) == (4, 3)
    text = capsys.readouterr().out
    assert "street" in text
    for value in (metrics["abs_rel"], metrics["floor_constant_abs_rel"]):
        assert f"{value:.3f}" in text
    names = sorted(path.name for path in plots.iterdir())
    # Panels were asked for at frames 0, 2, 4 and 6 of seven, all of which have depth.
    assert names == [
        "street_curves.png",
        *(f"street_depth_{index:06d}.png" for index in (0, 2, 4, 6)),
        "street_trajectory.png",
    ]
    for name in names:
        assert cv2.imread(str(plots / name)) is not None, name


def test_two_folders_of_one_name_keep_apart(weights: Path, sequence: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run("--weights", weights, sequence, sequence, "--json", out, "--limit", 2) == 0
    assert list(json.loads(out.read_text())) == ["street", str(sequence)]


def test_errors_are_one_line(
    weights: Path, sequence: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--weights", weights, sequence, "--batch", 0) == 1
    assert "batch must be 1 or more, got 0" in capsys.readouterr().err
    assert run("--weights", weights, tmp_path / "nowhere") == 1
    assert "nowhere" in capsys.readouterr().err


def test_the_validator_maps_a_network_to_depth_metrics(
    network: DepthMotionNet, weights: Path, sequence: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    run("--weights", weights, sequence, "--json", out)
    expected = json.loads(out.read_text())["street"]
    found = depth_validator([str(sequence)])(network)
    for key in ("abs_rel", "rmse_log", "d1"):
        assert found[key] == found[f"street/{key}"] == pytest.approx(expected[key])


def test_the_validator_says_when_it_has_nothing_to_go_by(
    network: DepthMotionNet, sequence: Path, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match="at least one sequence"):
        depth_validator([])
    bare = tmp_path / "bare"
    with SequenceWriter(bare) as writer:
        for index in range(2):
            writer.write(Frame(index * 10**8, np.zeros((32, 64, 3), np.uint8), CAMERA))
    with pytest.raises(EvaluationError, match="none of 2 frames has true depth:"):
        depth_validator([str(bare)])(network)


def test_json_has_null_where_a_value_is_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    write_json(path, {"a": {"t_err": None, "ate": float("nan"), "lengths": [5, 10]}})
    assert json.loads(path.read_text()) == {"a": {"t_err": None, "ate": None, "lengths": [5, 10]}}
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.json"]


def test_the_table_shows_only_what_there_is_truth_for() -> None:
    text = table({"a": {"focal_error": 0.1234, "focal_x": 100.0, "focal_y": None}})
    assert "Depth" not in text
    assert text.splitlines()[-1].split() == ["a", "0.123", "100.0", "-", "-"]


def test_panels_are_spread_over_the_sequence() -> None:
    assert spread(100, 4) == [12, 37, 62, 87]
    assert spread(2, 4) == [0, 1]
    assert spread(None, 3) == [0, 1, 2]


def test_names_become_file_names() -> None:
    assert file_stem("sim:street/1") == "sim_street_1"


def test_no_curves_cannot_be_drawn() -> None:
    with pytest.raises(EvaluationError, match="street: no curves"):
        curves_plot({}, "street")
