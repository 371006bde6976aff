"""``make bench WHAT=...`` knows every benchmark, and each explains itself."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
NAMES = re.findall(r"^BENCHMARKS := (.*)$", MAKEFILE, re.MULTILINE)[0].split()
PACKAGES = {path.parent.name for path in (ROOT / "benchmarks").glob("*/command.py")}


@pytest.mark.parametrize("name", NAMES)
def test_each_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(
        f"benchmarks.{name}.command" if name in PACKAGES else f"benchmarks.{name}"
    )
    with pytest.raises(SystemExit) as stop:
        module.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in shown
    assert module.__doc__ is not None
    assert module.__doc__.split()[0] in shown


def test_no_package_is_left_out() -> None:
    assert set(NAMES) >= PACKAGES
    for name in PACKAGES:
        assert (ROOT / "benchmarks" / name / "__main__.py").is_file()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_says_which_there_are() -> None:
    done = subprocess.run(
        ["make", "-n", "bench", "WHAT=eggs"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"one of {' '.join(NAMES)}" in done.stderr
