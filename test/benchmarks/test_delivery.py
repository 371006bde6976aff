"""``depth_motion bench delivery``: what it sums up, and a short one for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from depth_motion_ros.cli.bench_delivery import HEADING, Case, CaseResult, row, verdict
from depth_motion_ros.cli.main import main

MS = 1_000_000
CASE = Case((640, 480), compressed=False, reliable=False)


def result(arrived: int, late: float = 3.0, case: Case = CASE) -> CaseResult:
    """A hundred images sent at 30 Hz."""
    stamps = [round(index * 1e9 / 30) for index in range(100 - arrived, 100)]
    return CaseResult(case, 100, stamps, [late] * arrived, arrived * 640 * 480 * 3)


def test_the_row_fits_the_heading_and_tells_what_came() -> None:
    assert len(row(result(100))) == len(HEADING)
    said = result(100).summary()
    assert (said["sent"], said["arrived"], said["complete"]) == (100, 100, True)
    assert said["rate_hz"] == pytest.approx(30.0, abs=0.01)
    assert said["kilobytes"] == 921.6  # 640 x 480 x 3 bytes


def test_one_image_too_few_and_a_late_one_in_ten_are_told() -> None:
    assert verdict([result(100)]).count(": yes") == 2
    assert "NO: 640x480 rgb8 best effort" in verdict([result(99)]).splitlines()[0]
    late = result(100)
    late.latency_ms[:10] = [12.0] * 10
    assert "NO: 640x480 rgb8 best effort" in verdict([late]).splitlines()[1]
    # An image that comes twice does not make up for one that is missing.
    twice = result(99)
    twice.stamps.append(twice.stamps[0])
    assert not twice.is_complete


def test_nothing_at_all_is_no_success() -> None:
    nothing = CaseResult(CASE, 100)
    assert len(row(nothing)) == len(HEADING)
    assert verdict([nothing]).count("NO:") == 2


def test_the_coding_of_a_jpeg_is_not_held_against_the_transport() -> None:
    jpeg = result(100, late=15.0, case=Case((640, 480), compressed=True, reliable=True))
    assert verdict([jpeg]).count(": yes") == 2


def test_raw_and_compressed_best_effort_and_reliable_for_real(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    out = tmp_path / "delivery.json"
    # Large enough that Fast DDS's own shared memory of 512 KB would not hold two of them.
    small = ["--size", "480x320", "--rate", "20", "--frames", "20", "--json", str(out)]
    assert main(["bench", "delivery", *small]) == 0
    found = json.loads(out.read_text())
    assert [(case["case"], case["quality"]) for case in found["cases"]] == [
        ("480x320 rgb8", "best effort"), ("480x320 rgb8", "reliable"),
        ("480x320 JPEG", "best effort"), ("480x320 JPEG", "reliable"),
    ]  # fmt: skip
    for case in found["cases"]:
        assert (case["sent"], case["arrived"]) == (20, 20)
        assert 0 < case["median_ms"] <= case["p95_ms"] <= case["max_ms"]
    assert found["cases"][0]["kilobytes"] == 460.8  # 480 x 320 x 3 bytes
    assert "every image arrived: yes" in capsys.readouterr().out
