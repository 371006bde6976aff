"""The learner over recorded video, from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.adaptation_scenes import HEIGHT, LENIENT, WIDTH, K, scene, untrained

from depth_motion_ros.adaptation import offline
from depth_motion_ros.adaptation.offline import AdaptationProgress
from depth_motion_ros.cli.main import main
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.sources.frame import Frame, GroundTruth
from depth_motion_ros.sources.sequence.writer import SequenceWriter

LEARNING = [
    *(f"{name}={value}" for name, value in LENIENT.items()),
    "hold_back_every=3", "min_held_back=2", "steps_per_candidate=3", "learning_rate=3e-4",
    "min_depth_variance=0", "max_forgetting=1", "margin=1", "max_depth_shift=1",
    "max_scale_shift=10", "max_residual=1", "min_gain=-1",
]  # fmt: skip


def options(words: list[str]) -> list[str]:
    return [part for word in words for part in ("--set", word)]


def frames(count: int, moves: bool = True) -> list[Frame]:
    shown = []
    for i in range(count):
        x = 0.2 * i if moves else 0.0
        image, depth = scene(x, seed=i)
        shown.append(
            Frame(i * 100_000_000, image, Camera(K, WIDTH, HEIGHT), GroundTruth(depth=depth))
        )
    return shown


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weights.safetensors, drive (10 frames with depth) and parked (10 frames)."""
    folder = tmp_path_factory.mktemp("adapt")
    untrained().to_file(folder / "weights.safetensors")
    for name, moves in (("drive", True), ("parked", False)):
        with SequenceWriter(folder / name, depth_scale=256) as writer:
            for frame in frames(10, moves):
                writer.write(frame)
    return folder


def adapt(files: Path, data: str, out: Path, *more: str) -> int:
    words = ["adapt", "--weights", str(files / "weights.safetensors")]
    words += [str(files / data), "--out", str(out), "--replay", str(files / "drive")]
    return main([*words, "--replay-pairs", "4", *options(LEARNING), *more])


def test_adapt_writes_what_passed_the_gates(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapted.safetensors"
    state = tmp_path / "state"
    assert adapt(files, "drive", out, "--state", str(state)) == 0
    adapted = Weights.from_file(out)
    assert adapted.version.startswith("base+")
    assert adapted.metadata["parent"].startswith("base")
    # Going on from the state counts on.
    assert adapt(files, "drive", out, "--state", str(state), "--limit", "8") == 0
    again = Weights.from_file(out)
    assert int(again.version.split("+")[1]) > int(adapted.version.split("+")[1])


def test_adapt_to_a_parked_camera_writes_nothing(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "adapted.safetensors"
    assert adapt(files, "parked", out) == 1
    assert not out.exists()
    told = capsys.readouterr()
    assert "still 9" in told.out
    assert "nothing written" in told.err


@pytest.mark.parametrize("after", [2, 10])
def test_an_interrupt_keeps_what_was_released(
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    """After two frames nothing can have been released; after ten something has."""
    out, state = tmp_path / "adapted.safetensors", tmp_path / "state"
    whole = offline.adapt_over

    def interrupted(*given: Any) -> Iterator[AdaptationProgress]:
        for index, progress in enumerate(whole(*given), 1):
            yield progress
            if index == after:
                raise KeyboardInterrupt

    monkeypatch.setattr(offline, "adapt_over", interrupted)
    assert adapt(files, "drive", out, "--state", str(state)) == 130
    told = capsys.readouterr()
    assert out.exists() == (after == 10)
    if after == 10:
        assert f"wrote {out} ({Weights.from_file(out).version})" in told.out
    else:
        assert "nothing written" in told.err
    assert f"{state} holds the state after the last whole recording" in told.err


def test_the_report_has_depth_before_during_and_after(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, result = tmp_path / "adapted.safetensors", tmp_path / "result.json"
    more = ["--report", "--json", str(result)]
    assert adapt(files, "drive", out, *more) == 0
    written = json.loads(result.read_text())
    found = written["drive"]
    stages = [found[f"{stage}_abs_rel"] for stage in ("before", "during", "after")]
    assert all(0 < value < 10 for value in stages)
    assert written["adaptation"]["released"] >= 1
    assert out.exists()
    assert "drive during" in capsys.readouterr().out
    # Released weights predict otherwise, and the first frames were seen with the first weights.
    assert stages[0] != stages[2]
    assert found["before_depth_images"] == found["during_depth_images"] == 10


def test_a_report_alone_needs_no_file_to_write(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["adapt", "--weights", str(files / "weights.safetensors")]
    words += [str(files / "drive"), "--replay", str(files / "drive"), "--replay-pairs", "4"]
    assert main([*words, "--limit", "4", "--report"]) == 0
    assert "drive after" in capsys.readouterr().out
    assert main(words) == 1
    assert "give --out FILE" in capsys.readouterr().err
