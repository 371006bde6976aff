"""What all tests of training have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from depth_motion_ros.training import run


@pytest.fixture(scope="session", autouse=True)
def _without_reports() -> Iterator[None]:
    """Pictures of all curves take longer than these runs: where nobody looks, none are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "write_report", lambda *_: None)
        yield


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by tests that look at the report of a run."""
    from depth_motion_ros.training.report import write_report

    monkeypatch.setattr(run, "write_report", write_report)
