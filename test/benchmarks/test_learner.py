"""``depth_motion bench learner``: what it concludes, and a short one for real."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from depth_motion_ros.cli import bench_learner
from depth_motion_ros.cli.bench_learner_report import (
    KILLED,
    OFF,
    OWN,
    SHARED,
    CaseResult,
    judge,
    table,
)
from depth_motion_ros.cli.main import main
from depth_motion_ros.cli.process_vitals import processor_seconds
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import weights_of


def result(case: str, rate: float, late: float, cores: float | None = None) -> CaseResult:
    return CaseResult(case, rate, 100, 99, [late] * 20, cores, steps=7)


def test_perception_is_judged_with_a_core_of_its_own_and_the_budget_in_any_case() -> None:
    good = [result(OFF, 10.0, 50.0), result(OWN, 9.1, 54.9, 0.5), result(SHARED, 4.0, 200.0, 0.54),
            result(KILLED, 9.9, 51.0)]  # fmt: skip
    verdicts = judge(good, budget=0.5)
    assert all(verdict["good"] for verdict in verdicts.values())
    assert verdicts[SHARED]["p95"] == 4.0
    slow = judge([*good, result(OWN, 9.0, 56.0), result(OWN, 8.9, 56.0)], budget=0.5)
    assert not slow[OWN]["good"]
    greedy = judge([result(OFF, 10.0, 50.0), result(SHARED, 10.0, 50.0, 0.6)], budget=0.5)
    assert not greedy[f"budget, {SHARED}"]["good"]
    assert "MISSED" in greedy[f"budget, {SHARED}"]["text"]


def test_the_table_has_medians_over_the_rounds() -> None:
    rounds = [result(OFF, rate, 50.0) for rate in (10.0, 9.0, 2.0)]
    assert "| off | 9.00 | 99.0% | 50.0 | 50.0 |  |  |" in table(rounds)


def test_processor_time_is_that_of_all_threads() -> None:
    before, begin = processor_seconds(os.getpid()), time.process_time()
    while time.process_time() - begin < 0.3:
        np.linalg.inv(np.random.default_rng(0).random((50, 50)))
    after = processor_seconds(os.getpid())
    assert before is not None
    assert after is not None
    # The kernel counts in hundredths of a second.
    assert after - before == pytest.approx(time.process_time() - begin, abs=0.03)
    assert processor_seconds(2**30) is None


def test_what_cannot_be_measured_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    monkeypatch.setattr(bench_learner, "weights_path", lambda name: tmp_path / name)
    assert main(["bench", "learner"]) == 1
    assert "needs trained --weights" in capsys.readouterr().err
    assert main(["bench", "learner", "--weights", "x", "--cores", "0", "0"]) == 1
    assert "two different ones" in capsys.readouterr().err


def test_two_cases_for_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network of the smallest size, and a learner that takes what it is shown."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    monkeypatch.setattr(bench_learner, "WARM_UP_S", 0.5)
    monkeypatch.setattr(bench_learner, "KILL_AFTER", (1.0, 2.0))
    monkeypatch.setattr(bench_learner, "CASES", (OFF, KILLED))
    monkeypatch.setattr(bench_learner, "on_core", lambda core: nullcontext())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    weights = tmp_path / "net.safetensors"
    weights_of(DepthMotionNet(NetworkConfig("lite", 96, 64)), version="small").to_file(weights)
    out = tmp_path / "bench.json"
    cores = sorted(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, *cores})
    everything = ["max_warp_ratio=10", "min_displacement=0", "min_parallax=0", "min_valid=0",
                  "min_parallax_share=0", "max_residual=1", "min_image_change=0", "replay_pairs=2",
                  "max_displacement=10", "nice=0"]  # fmt: skip
    given = [word for setting in everything for word in ("--learner-set", setting)]
    main(["bench", "learner", "--weights", str(weights), "--size", "96x64", "--rounds", "1",
          "--seconds", "3", "--set", "engine=torch", "--json", str(out), *given])  # fmt: skip
    found = json.loads(out.read_text())
    assert [case["case"] for case in found["rounds"]] == [OFF, KILLED]
    assert all(case["served"] > 0 for case in found["rounds"])
    assert found["rounds"][1]["kills"] >= 1
    assert f"learner {KILLED}: rate x" in capsys.readouterr().out
