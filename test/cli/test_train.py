"""``depth_motion train`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.training_helpers import Room, write_sequence

from depth_motion_ros.cli.main import main
from depth_motion_ros.cli.training_data import parse_share, simulated_per_step, training_data
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.training.recipe import Recipe, RecipeError

SMALL = [
    "--set=network.input_width=64", "--set=network.input_height=64", "--set=data.batch_size=2",
    "--set=schedule.coarse_steps=0",
]  # fmt: skip


def test_words_become_shares_of_the_mixture() -> None:
    assert parse_share("a/b") == parse_share("a/b")
    assert (parse_share("a/b=2").spec, parse_share("a/b=2").weight) == ("a/b", 2.0)
    # A path may have an equals sign.
    assert parse_share("run=x/b").spec == "run=x/b"
    with pytest.raises(RecipeError, match="positive"):
        parse_share("a=0")


def test_a_folder_may_be_called_as_a_weight_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark, Hive and others call folders day=2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day=2").mkdir()
    for spec in ("day=2", str(tmp_path / "day=2")):
        assert (parse_share(spec).spec, parse_share(spec).weight) == (spec, None)
        assert (parse_share(f"{spec}=3").spec, parse_share(f"{spec}=3").weight) == (spec, 3.0)
    (tmp_path / "run=0.5").mkdir()
    assert parse_share("run=0.5").weight is None
    (tmp_path / "day").mkdir()  # now it may be either
    with pytest.raises(RecipeError, match=r"write day=2=1 or \./day/=2"):
        parse_share("day=2")
    assert parse_share("./day/=2").weight == 2.0


@pytest.mark.parametrize(
    ("words", "batch", "rendered"),
    [
        (["a"], 8, 0),
        (["sim:yard"], 8, 8),
        (["a", "sim:yard"], 8, 4),
        (["a=3", "sim:yard=1"], 8, 2),
        (["a=1", "sim:yard=1", "sim:drive=2"], 8, 6),
        # A mixture has at least one of each.
        (["a=100", "sim:yard=1"], 4, 1),
    ],
)
def test_the_simulators_share_of_a_batch(words: list[str], batch: int, rendered: int) -> None:
    assert simulated_per_step([parse_share(word) for word in words], batch) == rendered


def test_mistaken_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="sim:yard"):
        training_data(["sim:jard"], Recipe(), [], 1)
    with pytest.raises(RecipeError, match="every source a weight, or none"):
        training_data(["sim:yard=1", "sim:drive"], Recipe(), [], 1)


def test_recorded_and_rendered_pairs_train_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence = write_sequence(Room(4, 64, 64), tmp_path / "room")
    words = ["train", str(sequence), "sim:indoor", "--out", str(tmp_path / "run"), "--quiet"]
    words += ["--fast-dev-run"]
    out = tmp_path / "run" / "fast_dev_run"
    words += ["--set=data.supervision=exact", "--validation", str(sequence), "--workers=0"]
    assert main([*words, *SMALL]) == 0
    assert str(out / "report.html") in capsys.readouterr().out
    assert Weights.from_file(out / "weights.safetensors").metadata["trained_on"] == (
        "room, sim:indoor"
    )
    results = json.loads((out / "validation.json").read_text())
    assert {"abs_rel", "focal_error", "warp_error"} <= set(results["room"])


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert main(words) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert main([*words, "--set", "data.batchsize=3"]) == 1
    assert "did you mean 'batch_size'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
