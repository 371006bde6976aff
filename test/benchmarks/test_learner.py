"""What perception loses beside the learner: conclusions, and a short one for real."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from benchmarks.learner import perception
from benchmarks.learner.command import main
from benchmarks.learner.perception_report import (
    KILLED,
    OFF,
    OWN,
    SHARED,
    LearnerResult,
    judge,
    results_table,
)
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import weights_of


def result(case: str, rate: float, late: float, cores: float | None = None) -> LearnerResult:
    return LearnerResult(case, rate, 100, 99, [late] * 20, cores, steps=7)


def test_perception_is_judged_with_a_core_of_its_own_and_the_budget_in_any_case() -> None:
    good = [result(OFF, 10.0, 50.0), result(OWN, 9.1, 54.9, 0.5), result(SHARED, 4.0, 200.0, 0.54),
            result(KILLED, 9.9, 51.0)]  # fmt: skip
    own, shared, killed, *budgets = judge(good, budget=0.5)
    assert own.good
    assert killed.good
    assert all(verdict.good for verdict in budgets)
    # Without a core of its own perception is not judged, but told of.
    assert shared.good is None
    assert "p95 latency x 4.000" in shared.detail
    slow = [result(OWN, 9.0, 56.0), result(OWN, 8.9, 56.0)]
    assert judge([*good, *slow], budget=0.5)[0].good is False
    _, greedy = judge([result(OFF, 10.0, 50.0), result(SHARED, 10.0, 50.0, 0.6)], budget=0.5)
    assert (greedy.good, greedy.detail) == (False, "0.60 cores of 0.5")


def test_the_table_has_medians_over_the_rounds() -> None:
    rounds = [result(OFF, rate, 50.0) for rate in (10.0, 9.0, 2.0)]
    row = results_table(rounds).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "off", "9.00", "99.0%", "50.0", "50.0", "", "",
    ]  # fmt: skip


def test_what_cannot_be_measured_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    monkeypatch.setattr(perception, "weights_path", lambda name: tmp_path / name)
    assert main(["perception"]) == 1
    assert "trained --weights are needed" in capsys.readouterr().err
    assert main(["perception", "--weights", "x", "--cores", "0", "0"]) == 1
    assert "two different ones" in capsys.readouterr().err


def test_two_cases_for_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network of the smallest size, and a learner that takes what it is shown."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    monkeypatch.setattr(perception, "WARM_UP_S", 0.5)
    monkeypatch.setattr(perception, "KILL_AFTER", (1.0, 2.0))
    monkeypatch.setattr(perception, "CASES", (OFF, KILLED))
    monkeypatch.setattr(perception, "on_core", lambda core: nullcontext())
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
    main(["perception", "--weights", str(weights), "--size", "96x64", "--rounds", "1",
          "--seconds", "3", "--set", "engine=torch", "--json", str(out), *given])  # fmt: skip
    found = json.loads(out.read_text())
    assert [case["case"] for case in found["rounds"]] == [OFF, KILLED]
    assert all(case["served"] > 0 for case in found["rounds"])
    assert found["rounds"][1]["kills"] >= 1
    assert f"learner {KILLED}: rate and latency" in capsys.readouterr().out
