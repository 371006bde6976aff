"""The benchmark of delivery: what it sums up, and a short one for real."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.delivery import DeliveryCase, DeliveryResult, main, results_table, verdicts

MS = 1_000_000
CASE = DeliveryCase((640, 480), compressed=False, reliable=False)


def result(arrived: int, late: float = 3.0, case: DeliveryCase = CASE) -> DeliveryResult:
    """A hundred images sent at 30 Hz."""
    stamps = [round(index * 1e9 / 30) for index in range(100 - arrived, 100)]
    return DeliveryResult(case, 100, stamps, [late] * arrived, arrived * 640 * 480 * 3)


def answers(made: DeliveryResult) -> list[bool | None]:
    return [verdict.good for verdict in verdicts([made])]


def test_the_table_tells_what_came() -> None:
    assert "| 640x480 rgb8 | best effort |  100 |     100 | 30.0 |" in results_table([result(100)])
    said = result(100).summary()
    assert (said["sent"], said["arrived"], said["complete"]) == (100, 100, True)
    assert said["rate_hz"] == pytest.approx(30.0, abs=0.01)
    assert said["kilobytes"] == 921.6  # 640 x 480 x 3 bytes


def test_one_image_too_few_and_a_late_one_in_ten_are_told() -> None:
    assert answers(result(100)) == [True, True]
    [missing, _] = verdicts([result(99)])
    assert (missing.good, missing.detail) == (False, "640x480 rgb8 best effort")
    late = result(100)
    late.latency_ms[:10] = [12.0] * 10
    assert answers(late) == [True, False]
    # An image that comes twice does not make up for one that is missing.
    twice = result(99)
    twice.stamps.append(twice.stamps[0])
    assert not twice.is_complete


def test_nothing_at_all_is_no_success() -> None:
    nothing = DeliveryResult(CASE, 100)
    assert "–" in results_table([nothing])
    assert answers(nothing) == [False, False]


def test_the_coding_of_a_jpeg_is_not_held_against_the_transport() -> None:
    jpeg = result(100, late=15.0, case=DeliveryCase((640, 480), compressed=True, reliable=True))
    assert answers(jpeg) == [True, True]


def test_raw_and_compressed_best_effort_and_reliable_for_real(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    out = tmp_path / "delivery.json"
    # Large enough that Fast DDS's own shared memory of 512 KB would not hold two of them.
    small = ["--size", "480x320", "--rate", "20", "--frames", "20", "--json", str(out)]
    status = main(small)
    found = json.loads(out.read_text())
    assert [(case["case"], case["quality"]) for case in found["cases"]] == [
        ("480x320 rgb8", "best effort"), ("480x320 rgb8", "reliable"),
        ("480x320 JPEG", "best effort"), ("480x320 JPEG", "reliable"),
    ]  # fmt: skip
    for case in found["cases"]:
        # A busy machine may lose one.
        assert 10 <= case["arrived"] <= case["sent"] == 20
        late = case["latency_ms"]
        assert 0 < late["p50"] <= late["p95"] <= late["max"]
    assert found["cases"][0]["kilobytes"] == 460.8  # 480 x 320 x 3 bytes
    complete = all(case["complete"] for case in found["cases"])
    assert status == int(not complete)
    answer = "yes" if complete else r"\*\*no\*\*"
    assert re.search(rf"every image arrived +\| +{answer}", capsys.readouterr().out)
