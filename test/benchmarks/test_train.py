"""The benchmark of a training step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.train import main

SMALL = [
    "--set=network.input_width=64", "--set=network.input_height=64", "--set=data.batch_size=2",
    "--set=schedule.coarse_steps=0",
]  # fmt: skip


def test_a_full_step_and_its_parts_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    assert main(["--steps=3", "--warmup=1", "--json", str(path), *SMALL]) == 0
    result = json.loads(path.read_text())
    assert len(result["samples_s"]) == 3
    assert result["pairs_per_second"] == pytest.approx(2e3 / result["step_ms"]["p50"], rel=1e-3)
    named = {"copy and augment", "depth", "motion", "losses", "backward", "clip", "optimiser"}
    assert set(result["stage_ms"]) == named
    assert all(stage["p50"] > 0 for stage in result["stage_ms"].values())
    assert "pairs/s" in capsys.readouterr().out
