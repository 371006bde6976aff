"""What the README tells a user to type and to open exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from depth_motion_ros.cli.demo.recording import TOPICS
from depth_motion_ros.cli.main import commands
from depth_motion_ros.models.weights import Weights

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#][^)]*)\)", TEXT)
    assert "docs/overview.png" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_picture_is_light_enough_to_load() -> None:
    assert (ROOT / "docs" / "overview.png").stat().st_size < 500_000


def test_commands_exist() -> None:
    named = set(re.findall(r"\bdepth_motion ([a-z]+)\b", TEXT))
    assert {"prepare", "train"} <= named
    assert named <= {words.split()[0] for words in commands()}


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z]+)\b", TEXT)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_launch_files_and_their_arguments_exist() -> None:
    camera = (ROOT / "launch" / "camera.launch.py").read_text(encoding="utf-8")
    for line in re.findall(r"ros2 launch depth_motion_ros (.*)", TEXT):
        name, *arguments = line.split()
        own = (ROOT / "launch" / name).read_text(encoding="utf-8")
        for argument in arguments:
            assert f'"{argument.partition(":=")[0]}"' in own + camera


def test_every_recorded_output_is_in_the_table_of_topics() -> None:
    missing = [
        topic
        for topic in TOPICS
        if f"`{topic}`" not in TEXT and topic not in ("depth_truth/image", "pose_truth")
    ]
    assert missing == []


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
