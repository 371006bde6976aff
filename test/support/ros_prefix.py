"""An install prefix as colcon would make it, and stand-ins for packages that are not at hand."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from depth_motion_ros.share import NODE_MODULES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "depth_motion_ros"
# The smallest network input, in plain PyTorch: this is about processes, not about depth.
SMALL = {
    "engine": "torch", "architecture": "lite", "input_width": 96, "input_height": 64, "threads": 1,
}  # fmt: skip
# Seconds that launch gives a node after SIGINT, and after SIGTERM; its own 5 and 10 are too few
# for a machine that runs other things.
PATIENT_LAUNCH = ("sigterm_timeout:=60", "sigkill_timeout:=60")


def make_prefix(folder: Path) -> Path:
    """An entry in the index, the executables, and the launch files and configuration."""
    for name, module in NODE_MODULES.items():
        add_executable(folder, PACKAGE, name, f"-m {module}")
    share = folder / "share" / PACKAGE
    share.mkdir(parents=True)
    # Copies: what looks for a launch file does not follow links to folders.
    for name in ("launch", "config"):
        shutil.copytree(ROOT / name, share / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "package.xml", share)
    return folder


def add_executable(prefix: Path, package: str, name: str, python: str) -> None:
    """A package in the index with an executable: what follows ``python`` on a command line."""
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True, exist_ok=True)
    (index / package).touch()
    script = prefix / "lib" / package / name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {python} "$@"\n', encoding="utf-8")
    script.chmod(0o755)


def with_prefix(environment: Mapping[str, str], prefix: Path, log: Path) -> dict[str, str]:
    """The environment after sourcing the prefix's setup file."""
    given = dict(environment)
    for name, first in (
        ("AMENT_PREFIX_PATH", prefix),
        ("PYTHONPATH", ROOT),
        ("PATH", prefix / "bin"),
    ):
        given[name] = os.pathsep.join(filter(None, (str(first), given.get(name))))
    given["ROS_LOG_DIR"] = str(log)
    return given
