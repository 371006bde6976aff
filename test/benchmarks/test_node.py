"""The benchmark of the node: what it sums up, and a short one for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import node as benchmark
from benchmarks.node import NodeCase, NodeResult, costs_table, main, verdicts

COSTS = {
    f"{prefix}{part}{suffix}_ms": str(value)
    for prefix in ("", "cpu_")
    for part, value in (("engine", 20), ("refine", 4), ("other", 3))
    for suffix in ("", "_p95")
}


def result(cpu_other: float, target: float = 2.0) -> NodeResult:
    said = {**COSTS, "rate_hz": "30.00", "tracking": "ok", "cpu_other_ms": str(cpu_other)}
    return NodeResult(
        NodeCase("odometry alone", ("odom",), target),
        said=[said, {**said, "cpu_other_ms": "90"}, said],  # one hiccup of the machine
        before={"received": "100", "served": "90", "dropped/busy": "10"},
        after={"received": "400", "served": "385", "dropped/busy": "15"},
        latency_ms=[10.0, 20.0, 30.0],
    )


def test_costs_are_medians_and_drops_are_those_of_the_case() -> None:
    summary = result(1.9).summary()
    assert summary["cpu_other_ms"] == {"p50": 1.9, "p95": 3.0}
    assert (summary["received"], summary["served"]) == (300, 295)
    assert summary["causes"] == {"dropped/busy": 5}
    assert summary["latency_ms"]["p50"] == 20.0
    assert summary["tracking_ok"] == 1.0
    json.dumps(summary)


def test_the_target_is_for_all_but_engine_and_refinement() -> None:
    assert result(1.9).meets_target
    assert not result(2.1).meets_target
    [verdict] = verdicts([result(2.1)])
    assert not verdict.good
    assert verdict.detail == "30.0 Hz, received 300, served 295 (dropped/busy 5)"
    assert "odometry alone: everything else |" in costs_table([result(2.1)])


def test_both_cases_for_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    monkeypatch.setattr(benchmark, "SCENE_FRAMES", 4)
    monkeypatch.setattr(benchmark, "WARM_UP_S", 1.0)
    out = tmp_path / "bench.json"
    small = ["--size", "96x64", "--rate", "10", "--seconds", "2", "--json", str(out)]
    for setting in ("engine=torch", "input_width=64", "input_height=32"):
        small += ["--set", setting]
    assert main(small) == 0
    found = json.loads(out.read_text())
    assert [case["case"] for case in found["cases"]] == ["all outputs", "odometry alone"]
    for case in found["cases"]:
        assert case["served"] > 0
        for part in ("engine", "other"):
            assert 0 < case[f"{part}_ms"]["p50"] <= case[f"{part}_ms"]["p95"]
    assert len(found["machine"]["versions"]) > 1
    assert "everything else" in capsys.readouterr().out
