"""README is short, light, and its example runs; test_docs.py checks its links and commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from depth_motion_ros.models.weights import Weights

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 130


def test_the_pictures_are_light_enough_to_load() -> None:
    for path in (ROOT / "docs" / "images").iterdir():
        assert path.stat().st_size < (2_000_000 if path.suffix == ".gif" else 500_000), path.name


def test_it_says_how_to_try_train_and_test() -> None:
    for command in ("make demo", "make demo VIDEO=", "make test", "depth_motion train"):
        assert f"    {command}" in TEXT


def test_the_table_of_topics_has_six_rows() -> None:
    table = TEXT[TEXT.index("| topic | type |") :].split("\n\n")[0]
    assert len(table.splitlines()) == 2 + 6


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code.count("drive.mp4") == 1
    code = code.replace("drive.mp4", "sim:drive").replace(
        'open_source("sim:drive")', 'open_source("sim:drive", width=96, height=64, frames=3)'
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    network = Weights.from_file("default").config
    shape = f"({network.input_height}, {network.input_width})"
    assert capsys.readouterr().out.count(shape) == 3
