"""What the surroundings of a test run may change, put right before anything else is imported."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator

import pytest
from support.domains import free_domain

OURS = "depth_motion_ros"
_Surrounding: type = logging.getLoggerClass()


class _Logger(_Surrounding):
    """ROS 2's launch, a plugin of pytest where it is installed, makes loggers that tell their
    parents nothing: neither caplog nor a bridge would hear of ours."""

    def __init__(self, name: str, level: int = logging.NOTSET) -> None:
        super().__init__(name, level)
        if name.partition(".")[0] == OURS:
            self.propagate = True


logging.setLoggerClass(_Logger)

# A shell's background jobs ignore Ctrl-C, and so would every process that the tests start and end.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests that run side by side (make test) each use one core, and hear no node of the others.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    domain, held = free_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Workers send what was printed as UTF-8, and some tests print names that are none."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report
