"""What lies beside the images of a recording never takes them away."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bag_recorder import MS, START, Recorder, picture, record

from depth_motion_ros.sources.bag.reader import BagSource
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.open import open_source

COUNT = 8
NAN, INF = math.nan, math.inf
LEVEL = (0.0, 0.0, 0.0, 1.0)


def drive(recorder: Recorder, odd: Callable[[Recorder, int, int], bool] = lambda *_: False) -> None:
    """Images, camera and odometry (2 m/s) at 10 Hz. odd: writes another odometry, or says no."""
    for index in range(COUNT):
        stamp = START + 100 * MS * index
        recorder.info("/cam/camera_info", stamp)
        if not odd(recorder, index, stamp):
            recorder.odometry("/odom", stamp, 2.0, 0.2 * index)
        recorder.image("/cam/image_raw", stamp + 50 * MS, picture(index))


@pytest.mark.parametrize("kind", ["sqlite3", "mcap", "bag"])
@pytest.mark.parametrize("topic", ["/cam/image_raw", "/cam/camera_info", "/odom"])
def test_a_second_type_on_a_topic_is_not_read(tmp_path: Path, kind: str, topic: str) -> None:
    def script(recorder: Recorder) -> None:
        recorder.text(topic, START - MS)
        drive(recorder)
        recorder.text(topic, START + 90_000 * MS)

    frames = list(open_source(record(tmp_path / "a", kind, script)))
    assert len(frames) == COUNT
    assert all(frame.camera is not None and frame.truth is not None for frame in frames)


@pytest.mark.parametrize("kind", ["sqlite3", "mcap", "bag"])
def test_a_second_type_that_we_know_is_no_odometry_either(tmp_path: Path, kind: str) -> None:
    """CameraInfo on /odom, Odometry on the image's topic: each by its own type alone."""

    def script(recorder: Recorder) -> None:
        recorder.info("/odom", START)
        recorder.odometry("/cam/image_raw", START, 1.0, 0.0)
        drive(recorder)

    source = BagSource(record(tmp_path / "a", kind, script), odometry_topic="/odom")
    frames = list(source)
    assert source.length == len(frames) == COUNT
    assert [frame.truth is not None for frame in frames] == [True] * COUNT


@pytest.mark.parametrize(
    ("turn", "x"),
    [
        ((0.0,) * 4, 0.1),
        ((NAN,) * 4, 0.1),
        ((0.0, 0.0, 1e-9, 0.0), 0.1),
        ((0.0, 0.0, INF, 1.0), 0.1),
        ((0.0, 30.0, 0.0, 1.0), 0.1),
        (LEVEL, NAN),
        (LEVEL, -INF),
    ],
)
@pytest.mark.parametrize("hurt", [{0}, {3, 4}, set(range(COUNT))])
def test_poses_that_are_none_cost_no_image(
    tmp_path: Path, turn: tuple[float, ...], x: float, hurt: set[int]
) -> None:
    def odd(recorder: Recorder, index: int, stamp: int) -> bool:
        if index in hurt:
            recorder.odometry("/odom", stamp, 2.0, x, turn=turn)
        return index in hurt

    path = record(tmp_path / "a", "mcap", lambda recorder: drive(recorder, odd))
    frames = list(open_source(path, pose=True))
    assert len(frames) == COUNT
    truths = [frame.truth for frame in frames]
    assert [truth and truth.speed for truth in truths] == [pytest.approx(2.0)] * COUNT
    poses = [truth.pose for truth in truths if truth is not None]
    if len(hurt) == COUNT:
        assert all(pose is None for pose in poses)
    else:
        # Between good samples it is known: x = 2 t at the time of the image.
        known = [(i, pose[0, 3]) for i, pose in enumerate(poses) if pose is not None]
        assert len(known) >= COUNT - 1
        for index, found in known[1:-1]:
            assert found == pytest.approx(0.2 * index + 0.1)


def test_a_twist_that_is_no_number_leaves_the_speed_to_the_poses(tmp_path: Path) -> None:
    def odd(recorder: Recorder, index: int, stamp: int) -> bool:
        recorder.odometry("/odom", stamp, NAN, 0.2 * index)
        return True

    path = record(tmp_path / "a", "sqlite3", lambda recorder: drive(recorder, odd))
    speeds = [frame.truth and frame.truth.speed for frame in open_source(path)]
    assert speeds == [pytest.approx(2.0)] * COUNT


@pytest.mark.parametrize(
    ("x_of", "expected"),
    [
        (lambda index: 0.2 * index, 2.0),
        (lambda index: -0.1 * index, -1.0),
        (lambda index: 3.0, 0.0),
    ],
    ids=["forwards", "backwards", "standing"],
)
def test_a_twist_of_zeros_is_believed_only_where_the_poses_stand(
    tmp_path: Path, x_of: Callable[[int], float], expected: float
) -> None:
    def odd(recorder: Recorder, index: int, stamp: int) -> bool:
        recorder.odometry("/odom", stamp, 0.0, x_of(index))
        return True

    path = record(tmp_path / "a", "mcap", lambda recorder: drive(recorder, odd))
    speeds = [frame.truth and frame.truth.speed for frame in open_source(path)]
    assert speeds == [pytest.approx(expected, abs=1e-9)] * COUNT


def test_a_twist_of_zeros_without_poses_says_nothing(tmp_path: Path) -> None:
    def odd(recorder: Recorder, index: int, stamp: int) -> bool:
        recorder.odometry("/odom", stamp, 0.0, NAN)
        return True

    path = record(tmp_path / "a", "mcap", lambda recorder: drive(recorder, odd))
    assert [frame.truth for frame in open_source(path)] == [None] * COUNT


@pytest.mark.parametrize("kind", ["sqlite3", "mcap", "bag"])
@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("/odom", "nav_msgs/msg/Odometry"),
        ("/cam/camera_info", "sensor_msgs/msg/CameraInfo"),
        ("/cam/image_raw", "sensor_msgs/msg/Image"),
    ],
)
def test_a_message_that_was_cut_off_costs_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, topic: str, message: str
) -> None:
    def script(recorder: Recorder) -> None:
        drive(recorder)
        recorder.write_raw(topic, message, START + 3 * MS, b"\x00\x01\x00\x00\x01\x00")

    source = BagSource(record(tmp_path / "a", kind, script))
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert len(frames) == COUNT
    assert all(frame.camera is not None and frame.truth is not None for frame in frames)
    assert source.failures == (topic == "/cam/image_raw")
    assert f"6 bytes are no whole {message}" in caplog.text


def test_definitions_that_nobody_can_parse_are_not_asked_for(tmp_path: Path) -> None:
    """A topic of somebody's own type, whose definition in the recording is broken."""

    def script(recorder: Recorder) -> None:
        drive(recorder)
        connection = recorder.writer.add_connection(
            "/custom", "their_msgs/msg/Thing", msgdef="Nonsense[ x\n???", rihs01="RIHS01_0"
        )
        recorder.writer.write(connection, START, b"\x00\x01\x00\x00\x01")

    assert len(list(open_source(record(tmp_path / "a", "mcap", script)))) == COUNT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("serialization_format: cdr", "serialization_format: protobuf"),
        ("version: 9", "version: 12"),
        ("duration:", "duration: ["),
    ],
    ids=["another serialisation", "a newer version", "broken YAML"],
)
def test_metadata_that_cannot_be_used_costs_no_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, after: str
) -> None:
    path = record(tmp_path / "a", "sqlite3", drive)
    metadata = (path / "metadata.yaml").read_text()
    assert before in metadata
    (path / "metadata.yaml").write_text(metadata.replace(before, after, 1))
    with caplog.at_level(logging.WARNING):
        assert len(list(open_source(path))) == COUNT
    assert "metadata.yaml: not used (" in caplog.text


def test_an_error_of_the_caller_is_not_called_a_damaged_file(tmp_path: Path) -> None:
    frames = open_source(record(tmp_path / "a", "mcap", drive))
    iterator = iter(frames)
    next(iterator)
    with pytest.raises(AttributeError, match="ours"):
        iterator.throw(AttributeError("ours"))  # type: ignore[attr-defined]


def test_an_error_of_our_own_is_not_called_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> np.ndarray:
        raise TypeError("a defect of ours")

    monkeypatch.setattr("depth_motion_ros.sources.bag.reader.pixels_of", broken)
    with pytest.raises(TypeError, match="a defect of ours"):
        list(open_source(record(tmp_path / "a", "mcap", drive)))


def test_an_odometry_topic_is_chosen_by_its_type(tmp_path: Path) -> None:
    path = record(tmp_path / "a", "mcap", drive)
    with pytest.raises(SourceError, match="no odometry topic '/cam/camera_info'; there are: /odom"):
        BagSource(path, odometry_topic="/cam/camera_info")
