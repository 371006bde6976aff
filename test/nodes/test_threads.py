"""What the threads of numerical libraries may take from the other processes of a robot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

_COUNT = """
import os, sys
assert "numpy" not in sys.modules
import depth_motion_ros.nodes.perception.node
import numpy as np
before = len(os.listdir("/proc/self/task"))
np.linalg.solve(np.eye(600), np.eye(600))
print(os.environ["OPENBLAS_NUM_THREADS"], len(os.listdir("/proc/self/task")) - before)
"""


def _run(**given: str) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    found = subprocess.run(
        [sys.executable, "-c", _COUNT],
        env={**environment, **given},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return found.stdout.split()


def test_a_node_solves_its_small_systems_on_its_own_thread() -> None:
    # 600 unknowns are enough for OpenBLAS to wake threads that it is allowed.
    assert _run() == ["1", "0"]


def test_what_the_user_has_set_stays() -> None:
    assert _run(OPENBLAS_NUM_THREADS="2")[0] == "2"
