"""timestamps.txt in any unit: recognised, or refused with a sentence."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.timestamps import read_stamps

TENTH = 100_000_000
DATE = 1_700_000_000 * 10**9


def read(tmp_path: Path, lines: list[str], rate: float | None = None) -> list[int]:
    path = tmp_path / "timestamps.txt"
    path.write_text("\n".join(lines) + "\n")
    return read_stamps(path, sum(not line.startswith("#") for line in lines), rate)


UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("begin", [0, 12_345 * 10**9, DATE], ids=["0", "uptime", "date"])
@pytest.mark.parametrize("step", [TENTH, 33_333_000, 500_000_000])
def test_every_unit_is_recognised(tmp_path: Path, unit: str, begin: int, step: int) -> None:
    stamps = [begin + step * index for index in range(5)]
    size = UNITS[unit]
    lines = [
        f"{s // size}.{s % size:0{len(str(size)) - 1}d}" if size > 1 else str(s) for s in stamps
    ]
    assert read(tmp_path, lines) == stamps


def test_another_unit_than_seconds_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path, ["0", "33", "67", "100"]) == [0, 33_000_000, 67_000_000, TENTH]
        assert "read as milliseconds" in caplog.text
        caplog.clear()
        assert read(tmp_path, ["0.0", "5.0", "10.0"]) == [0, 5 * 10**9, 10**10]
    assert caplog.text == ""


def test_seconds_of_a_date_may_be_far_apart(tmp_path: Path) -> None:
    assert read(tmp_path, ["1700000000", "1700000060"]) == [DATE, DATE + 60 * 10**9]


@pytest.mark.parametrize("first", [0, 1, 500])
def test_frame_numbers_are_no_times(tmp_path: Path, first: int) -> None:
    lines = [str(first + index) for index in range(4)]
    with pytest.raises(SourceError, match=rf"count {first}, {first + 1}.*Give the rate"):
        read(tmp_path, lines)
    assert read(tmp_path, lines, rate=20.0) == [0, 50_000_000, TENTH, 150_000_000]


def test_seconds_at_one_hertz_are_times(tmp_path: Path) -> None:
    assert read(tmp_path, ["0.0", "1.0", "2.0"]) == [0, 10**9, 2 * 10**9]
    dates = ["1700000000", "1700000001", "1700000002"]
    assert read(tmp_path, dates) == [DATE, DATE + 10**9, DATE + 2 * 10**9]


@pytest.mark.parametrize(
    "lines",
    [
        ["0 12.5", "1 12.6", "2 12.7"],
        ["0,12.5,0.01", "1,12.6,0.01", "2,12.7,0.01"],
        ["# time  file", "12.5 a.png", "12.6 b.png", "12.7 c.png"],
    ],
    ids=["number time", "number time exposure", "time file"],
)
def test_further_columns_are_no_obstacle(tmp_path: Path, lines: list[str]) -> None:
    assert read(tmp_path, lines) == [12_500_000_000, 12_600_000_000, 12_700_000_000]


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (["0", "5000000000000", "10000000000000"], "rise by 5e\\+12 from image to image"),
        (["0", "3000", "6000"], "rise by 3000"),
        (["0.1", "nan"], "line 2 is not a number of seconds: 'nan'"),
        (["0.1", "inf"], "line 2"),
        (["12:30:01", "12:30:02"], "line 1 is not a number of seconds: '12:30:01'"),
    ],
)
def test_what_is_no_time_is_refused(tmp_path: Path, lines: list[str], match: str) -> None:
    with pytest.raises(SourceError, match=match) as caught:
        read(tmp_path, lines)
    assert "timestamps.txt" in str(caught.value)


def image_folder(path: Path, lines: list[str]) -> Path:
    path.mkdir()
    for index in range(len(lines)):
        cv2.imwrite(str(path / f"{index}.png"), np.full((32, 48, 3), 20 * index, np.uint8))
    (path / "timestamps.txt").write_text("\n".join(lines))
    return path


def test_images_of_a_folder_come_in_order_of_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = image_folder(tmp_path / "a", ["0.0", "0.2", "0.1", "0.3"])
    with caplog.at_level(logging.WARNING):
        source = open_source(folder)
    assert "1 of 4 times are not later than the one before" in caplog.text
    assert source.rate == pytest.approx(10)
    frames = list(source)
    assert [frame.stamp for frame in frames] == [0, TENTH, 2 * TENTH, 3 * TENTH]
    assert [frame.image[0, 0, 0] for frame in frames] == [0, 40, 20, 60]


def test_a_folder_with_frame_numbers_asks_for_the_rate(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "a", ["0", "1", "2"])
    with pytest.raises(SourceError, match="frame numbers, not times"):
        open_source(folder)
    frames = list(open_source(folder, rate=25.0))
    assert [frame.stamp for frame in frames] == [0, 40_000_000, 80_000_000]


@pytest.mark.parametrize(("first", "is_clock"), [("0.0", False), ("1700000000.0", True)])
def test_only_dates_are_a_clock(tmp_path: Path, first: str, is_clock: bool) -> None:
    second = f"{float(first) + 0.1:.1f}"
    assert open_source(image_folder(tmp_path / "a", [first, second])).has_clock is is_clock  # type: ignore[attr-defined]
