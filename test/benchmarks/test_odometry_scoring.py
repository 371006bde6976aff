from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from support.estimation_helpers import SECOND

from benchmarks.odometry.command import main
from benchmarks.odometry.ground_truth_engine import Disturbance, GroundTruthEngine
from benchmarks.odometry.scoring import ReplayEngine, record, run_estimator, score
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.open import open_source

SIZE = (416, 128)
# As many degrees and as much of the step as an ordinary network is off by.
TURN, SHARE = 0.3, 0.2


@pytest.fixture(scope="module")
def frames():
    with open_source("sim:indoor", width=SIZE[0], height=SIZE[1]) as source:
        return list(itertools.islice(source, 12))


def predictions(frames, unit=1.0):
    oracle = GroundTruthEngine(SIZE, Disturbance(0.1, TURN, SHARE, unit), sky=True)
    return record(oracle, frames, oracle.show)


def test_refinement_measures_better_and_its_covariance_is_true(frames):
    said = predictions(frames)
    raw, refined = (
        score(frames, run_estimator(frames, said, SIZE, EstimatorSettings(refine=refine)))
        for refine in (False, True)
    )
    # The disturbance is what it was asked to be.
    assert raw["turn"] == pytest.approx(TURN, rel=1e-3)
    assert raw["step"] == pytest.approx(100 * SHARE, rel=0.2)
    # About random axes: a mean of 11 is smaller by the root of it, 0.1 degrees, give or take.
    assert raw["bias"] < 0.6 * TURN
    # Measured: 0.03 degrees, 4 %.
    assert refined["turn"] < 0.3 * TURN
    assert refined["step"] < 0.5 * 100 * SHARE
    assert refined["ate"] < raw["ate"]
    # 11 pairs: at least 10 within the ellipsoid in which 95 % should lie.
    assert refined["inside"] > 0.9
    assert refined["lost"] == 0
    # What it costs is told where it is done.
    assert raw["refinement"] is None
    assert 0 < refined["refinement_least"] <= refined["refinement"]


def test_what_is_not_metric_is_compared_after_one_factor(frames):
    said = predictions(frames, unit=0.4)
    unit = score(frames, run_estimator(frames, said, SIZE, EstimatorSettings(refine=True)))
    assert unit["scale"] is None
    assert unit["factor"] == pytest.approx(0.4, rel=0.05)
    settings = EstimatorSettings(scale_source="odometry", refine=True)
    metric = score(frames, run_estimator(frames, said, SIZE, settings, feed_odometry=True))
    assert metric["factor"] == 1.0
    assert abs(metric["scale"] / 0.4 - 1) < 3 * metric["scale_std"]


def test_the_camera_height_of_a_scene_is_its_scale(capsys):
    assert main(["sim:indoor", "--limit", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if "refined" in line]
    assert [row.split()[2] for row in rows] == ["unit", "camera_height", "odometry"]
    headings = next(line for line in lines if "NEES" in line)
    assert "inside 95 %" in headings


def test_the_camera_height_makes_a_street_metric(tmp_path):
    # Depth wrong by 10 %, smoothly and anew in every frame.
    words = ["sim:drive", "--limit", "20"]
    assert main([*words, "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["odometry"]
    # Measured: 1 %; by the ground of the depth map 3 % and more.
    assert abs(figures["sim:drive camera_height refined"]["scale_error"]) < 2.5


def test_a_sequence_may_be_measured_from_a_later_frame_on(frames, monkeypatch):
    seen = []

    def remember(_, given, __):
        seen.extend(frame.stamp for frame in given)
        raise EvaluationError("enough")

    monkeypatch.setattr("benchmarks.odometry.command.predicted", remember)
    words = ["sim:indoor", "--first", "2", "--limit", "3"]
    assert main(words) != 0
    assert seen == [frame.stamp for frame in frames[2:5]]


def test_sequences_without_poses_or_cameras_say_so(frames):
    blind = [Frame(i * SECOND, frame.image, frame.camera) for i, frame in enumerate(frames[:2])]
    run = run_estimator(blind, predictions(frames), SIZE, EstimatorSettings())
    with pytest.raises(EvaluationError, match="this sequence has none"):
        score(blind, run)
    oracle = GroundTruthEngine(SIZE, Disturbance(), sky=True)
    with pytest.raises(EvaluationError, match="truth about the depth"):
        record(oracle, blind, oracle.show)
    uncalibrated = [Frame(0, frames[0].image)]
    with pytest.raises(EvaluationError, match="known intrinsics"):
        record(oracle, uncalibrated, oracle.show)


def test_a_recording_ends(frames):
    engine = ReplayEngine(SIZE, predictions(frames)[:1])
    engine.step(None, None, frames[0].image)
    with pytest.raises(EngineError, match="nothing more"):
        engine.step(None, None, np.zeros_like(frames[0].image))
