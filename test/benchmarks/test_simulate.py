"""The benchmark of the simulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.simulate import main


def test_every_scene_and_batches_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    words = ["--width", "64", "--height", "32", "--pairs", "2", "--seconds", "0.01"]
    assert main([*words, "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert {"yard", "drive", "indoor", "handheld", "crowd"} <= set(result["one_by_one"])
    for row in (*result["one_by_one"].values(), result["batches"]):
        # Three repetitions at least, however little time there is.
        assert row["samples"] >= 3
        assert 0 < row["p50"] <= row["p95"]
    assert "batches of 2 pairs" in capsys.readouterr().out
