"""The images of a recording in order of time, each once, whatever its clocks did."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.bag_recorder import MS, START, Recorder, picture, record

from depth_motion_ros.sources.bag.odometry import OdometryTrack
from depth_motion_ros.sources.bag.reader import BagSource
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.open import open_source

STEP = 100 * MS


def play(recorder: Recorder, stamps: Sequence[int], odometry: bool = False) -> None:
    """Images with these stamps, recorded one after another at 10 Hz, number n of gray 20 n."""
    for index, stamp in enumerate(stamps):
        at = START + STEP * index
        if odometry:
            recorder.odometry("/odom", stamp, 1.0, 0.1 * index, recorded=at)
        recorder.image("/cam/image", stamp, picture(index % 12), recorded=at + MS)


def stamps_of(path: Path) -> list[int]:
    return [frame.stamp for frame in open_source(path)]


RISING = [START + STEP * index for index in range(20)]


def swapped() -> list[int]:
    order = list(RISING)
    for index in range(2, 18, 3):
        order[index], order[index + 1] = order[index + 1], order[index]
    return order


def shuffled() -> list[int]:
    return random.Random(1).sample(RISING, len(RISING))


@pytest.mark.parametrize("kind", ["sqlite3", "mcap", "bag"])
@pytest.mark.parametrize("order", [swapped(), shuffled(), RISING[::-1], [*RISING[7:], *RISING[:7]]])
def test_images_out_of_order_are_put_in_order_without_loss(
    tmp_path: Path, kind: str, order: list[int]
) -> None:
    path = record(tmp_path / "a", kind, lambda recorder: play(recorder, order, odometry=True))
    frames = list(open_source(path))
    assert [frame.stamp for frame in frames] == RISING
    # The picture goes with its stamp, and so does the odometry that was heard with it.
    for frame in frames:
        assert frame.image[0, 0, 0] == 20 * (order.index(frame.stamp) % 12)
        assert frame.truth is not None


@pytest.mark.parametrize(
    "order",
    [
        [s for s in RISING for _ in (0, 1)],
        [s for s in RISING for _ in range(4)],
        [*RISING, *RISING],
    ],
    ids=["each twice", "each four times", "all again"],
)
def test_images_recorded_again_come_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, order: list[int]
) -> None:
    def script(recorder: Recorder) -> None:
        for index, stamp in enumerate(order):
            image = picture(RISING.index(stamp) % 12)
            recorder.image("/cam/image", stamp, image, recorded=START + STEP * index)

    path = record(tmp_path / "a", "mcap", script)
    with caplog.at_level(logging.WARNING):
        assert stamps_of(path) == RISING
    assert f"{len(order) - len(RISING)} images were recorded twice" in caplog.text


def test_of_two_images_of_one_time_the_whole_one_comes(tmp_path: Path) -> None:
    def script(recorder: Recorder) -> None:
        play(recorder, RISING[:1])
        raw = b"\x00\x01\x00\x00" + (RISING[1] // 10**9).to_bytes(4, "little")
        raw += (RISING[1] % 10**9).to_bytes(4, "little")
        recorder.write_raw("/cam/image", "sensor_msgs/msg/Image", START + 2 * MS, raw)
        recorder.image("/cam/image", RISING[1], picture(1))

    source = BagSource(record(tmp_path / "a", "mcap", script))
    assert [frame.stamp for frame in source] == RISING[:2]
    assert source.failures == 1


def test_odometry_of_another_clock_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def script(recorder: Recorder) -> None:
        for index, stamp in enumerate(RISING):
            recorder.odometry("/odom", 5 * 10**9 + STEP * index, 1.0, 0.1 * index, recorded=stamp)
        play(recorder, RISING)

    path = record(tmp_path / "a", "mcap", script)
    with caplog.at_level(logging.WARNING):
        assert [frame.truth for frame in open_source(path)] == [None] * len(RISING)
    assert "/odom: no image has a speed" in caplog.text


def test_parts_listed_by_name_come_in_order_of_time(tmp_path: Path) -> None:
    """metadata.yaml of twelve parts in the order of their names: 0, 1, 10, 11, 2, ..."""
    whole = tmp_path / "whole"
    whole.mkdir()
    for part in range(12):
        made = record(
            tmp_path / f"part{part}", "sqlite3",
            lambda recorder, part=part: recorder.image(
                "/cam/image", START + STEP * part, picture(part)
            ),
        )  # fmt: skip
        shutil.move(made / f"part{part}.db3", whole / f"part{part}.db3")
    metadata = (tmp_path / "part0" / "metadata.yaml").read_text()
    names = "".join(f"  - part{part}.db3\n" for part in sorted(range(12), key=str))
    assert "  - part0.db3\n" in metadata
    (whole / "metadata.yaml").write_text(metadata.replace("  - part0.db3\n", names, 1))
    assert stamps_of(whole) == [START + STEP * part for part in range(12)]


@pytest.mark.parametrize("kind", ["sqlite3", "bag"])
def test_a_clock_set_forwards_while_recording_keeps_every_image(tmp_path: Path, kind: str) -> None:
    order = [5 * 10**9 + STEP * index for index in range(5)] + RISING[:5]
    path = record(tmp_path / "a", kind, lambda recorder: play(recorder, order))
    assert stamps_of(path) == order


def test_a_clock_set_back_while_recording_keeps_every_image(tmp_path: Path) -> None:
    """An hour: more than the images that wait; what came first comes first."""
    first = [START + STEP * index for index in range(100)]
    then = [START - 3600 * 10**9 + STEP * index for index in range(100)]
    path = record(tmp_path / "a", "mcap", lambda r: play(r, [*first, *then], odometry=True))
    frames = list(open_source(path))
    assert [frame.stamp for frame in frames] == [*first, *then]
    assert all(frame.truth is not None for frame in frames)


@pytest.mark.parametrize("first", [0, 1, 3])
def test_simulated_time_may_begin_at_zero(tmp_path: Path, first: int) -> None:
    order = [first * STEP + STEP * index for index in range(10)]
    path = record(tmp_path / "a", "mcap", lambda r: play(r, order, odometry=True))
    source = open_source(path)
    assert source.rate == pytest.approx(10)
    frames = list(source)
    assert [frame.stamp for frame in frames] == order
    assert all(frame.truth is not None for frame in frames)


def test_a_simulation_that_is_reset_begins_at_zero_again(tmp_path: Path) -> None:
    order = [50 * 10**9 + STEP * i for i in range(80)] + [STEP * i for i in range(10)]
    path = record(tmp_path / "a", "sqlite3", lambda recorder: play(recorder, order))
    assert stamps_of(path) == order


@pytest.mark.parametrize("missing", [{0}, {0, 1, 2}, {4}, {9}])
def test_a_header_without_a_time_gets_that_of_its_recording(
    tmp_path: Path, missing: set[int]
) -> None:
    """By the clock of the others, which is not the recorder's."""
    clock = [START - 7 * 10**9 + STEP * index for index in range(10)]
    order = [0 if index in missing else stamp for index, stamp in enumerate(clock)]
    path = record(tmp_path / "a", "mcap", lambda recorder: play(recorder, order))
    assert stamps_of(path) == clock


@pytest.mark.parametrize(
    "stamp_of",
    [
        lambda index: 0,
        lambda index: START,
        lambda index: START + index * STEP // 10**9 * 10**9,
    ],
    ids=["none", "always the same", "whole seconds"],
)
def test_stamps_that_do_not_tell_images_apart_are_those_of_recording(
    tmp_path: Path, stamp_of: object
) -> None:
    order = [stamp_of(index) for index in range(40)]  # type: ignore[operator]
    path = record(tmp_path / "a", "sqlite3", lambda recorder: play(recorder, order))
    source = open_source(path)
    assert source.rate == pytest.approx(10)
    assert [frame.stamp for frame in source] == [START + MS + STEP * i for i in range(40)]


def test_the_rate_is_that_of_the_images(tmp_path: Path) -> None:
    """Not that of the recording, which began a minute before the camera."""

    def script(recorder: Recorder) -> None:
        recorder.odometry("/odom", START - 60 * 10**9, 0.0, 0.0)
        play(recorder, [START + 40 * MS * index for index in range(30)])

    assert open_source(record(tmp_path / "a", "mcap", script)).rate == pytest.approx(25)
    one = record(tmp_path / "b", "mcap", lambda recorder: play(recorder, [START]))
    assert open_source(one).rate is None


@pytest.mark.parametrize("metadata", ["", "stale"])
def test_parts_that_the_metadata_does_not_list_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, metadata: str
) -> None:
    """The recorder was killed after it had begun another part."""
    parts = [
        record(tmp_path / f"part{part}", "mcap", lambda recorder, part=part: play(recorder, [part]))
        for part in (START, START + STEP)
    ]
    folder, other = parts
    shutil.move(other / f"{other.name}.mcap", folder)
    if not metadata:
        (folder / "metadata.yaml").write_text("")
    with caplog.at_level(logging.WARNING):
        assert stamps_of(folder) == [START, START + STEP]
    assert f"{other.name}.mcap: all files are read" in caplog.text


def killed_recorder(tmp_path: Path, name: str, kept: int) -> Path:
    """A recording in write-ahead mode: ``kept`` of 20 images in the file, the rest in its log."""
    whole = record(tmp_path / "whole", "sqlite3", lambda recorder: play(recorder, RISING))
    live = tmp_path / "live.db3"
    shutil.copy(whole / "whole.db3", live)
    database = sqlite3.connect(live)
    rows = database.execute("SELECT * FROM messages ORDER BY id").fetchall()
    database.execute("DELETE FROM messages WHERE id > ?", (kept,))
    database.commit()
    database.execute("VACUUM")
    database.execute("PRAGMA journal_mode=wal")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.executemany("INSERT INTO messages VALUES (?,?,?,?)", rows[kept:])
    database.commit()
    folder = tmp_path / name
    folder.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{live}{end}", folder / f"{name}_0.db3{end}")
    database.close()
    return folder


@pytest.mark.parametrize("kept", [0, 12])
@pytest.mark.parametrize("has_metadata", [False, True])
def test_the_log_of_a_killed_recorder_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: int, has_metadata: bool
) -> None:
    folder = killed_recorder(tmp_path, "killed", kept)
    if has_metadata:
        shutil.copy(tmp_path / "whole" / "metadata.yaml", folder)
    with caplog.at_level(logging.WARNING):
        source = open_source(folder)
    assert caplog.text.count("killed_0.db3-wal beside it is read as well") == 1
    assert source.length == 20
    assert [frame.stamp for frame in source] == RISING
    assert stamps_of(folder / "killed_0.db3") == RISING


def test_a_log_that_cannot_be_read_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = killed_recorder(tmp_path, "killed", 12)

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("depth_motion_ros.sources.bag.files.sqlite3.connect", refuse)
    with pytest.raises(SourceError, match=r"killed_0\.db3-wal beside it.*wal_checkpoint"):
        BagSource(folder)


def test_a_journal_beside_a_recording_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = record(tmp_path / "a", "sqlite3", lambda recorder: play(recorder, RISING))
    (path / "a.db3-journal").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert stamps_of(path / "a.db3") == RISING
    assert "a.db3-journal lies beside it" in caplog.text


def test_late_odometry_is_put_where_it_belongs() -> None:
    track = OdometryTrack()
    for tenth in (0, 2, 1, 4, 3):
        track.add(tenth * STEP, None, float(tenth))
    assert [track.speed_at(tenth * STEP + STEP // 2) for tenth in range(4)] == [0.5, 1.5, 2.5, 3.5]
    track.add(3 * STEP - 2 * 10**9, None, 9.0)  # two seconds back: time began anew
    assert track.speed_at(4 * STEP) is None
