"""Statistics of processes are those of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.process import processor_seconds, resident_bytes, statistics_of


def test_memory_threads_and_files(tmp_path: Path) -> None:
    before = statistics_of(os.getpid())
    assert before is not None
    assert before.memory > 10e6  # an interpreter with numpy
    assert resident_bytes() > 10e6
    with (tmp_path / "open").open("w"):
        after = statistics_of(os.getpid())
    assert after is not None
    assert after.files == before.files + 1
    assert after.threads >= 1


def test_a_process_that_has_ended_has_none() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    # Ended but not waited for.
    while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)
    assert statistics_of(ended.pid) is None
    ended.wait()
    assert statistics_of(ended.pid) is None
    assert processor_seconds(ended.pid) is None


def test_processor_time_is_that_of_all_threads() -> None:
    before, begin = processor_seconds(os.getpid()), time.process_time()
    while time.process_time() - begin < 0.3:
        np.linalg.inv(np.random.default_rng(0).random((50, 50)))
    after = processor_seconds(os.getpid())
    assert before is not None
    assert after is not None
    # The kernel counts in hundredths of a second.
    assert after - before == pytest.approx(time.process_time() - begin, abs=0.03)
