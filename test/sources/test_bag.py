"""Bags of ROS 2 and ROS 1 become frames with camera, speed and pose; the rest is named."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.bag_recorder import MS, START, K, Recorder, picture, record

from depth_motion_ros.sources.bag.reader import BagSource
from depth_motion_ros.sources.frame import Frame, SourceError
from depth_motion_ros.sources.open import open_source

DATA = Path(
    os.environ.get("DEPTH_MOTION_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)


def drive(recorder: Recorder) -> None:
    """Five images at 10 Hz; odometry at 20 Hz that arrives 60 ms late; x = t, speed = 1 + t."""
    for step in range(10):
        stamp = START + 50 * MS * step
        if step % 2 == 0:
            recorder.image("/front/image_raw", stamp + 25 * MS, picture(step // 2))
            recorder.info("/front/camera_info", stamp + 25 * MS)
        recorder.odometry("/odom", stamp, 1 + 0.05 * step, 0.05 * step, delay=60 * MS)


@pytest.mark.parametrize("kind", ["sqlite3", "mcap", "bag"])
def test_every_kind_of_bag_gives_images_camera_and_interpolated_odometry(
    tmp_path: Path, kind: str
) -> None:
    path = record(tmp_path / "drive", kind, drive)
    with open_source(path, pose=True) as source:
        assert (source.name, source.length) == ("drive", 5)
        frames = list(source)
    assert [frame.stamp for frame in frames] == [
        START + 25 * MS + 100 * MS * index for index in range(5)
    ]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, picture(index))
        assert frame.camera is not None
        np.testing.assert_allclose(frame.camera.K.ravel(), K)
        np.testing.assert_allclose(frame.camera.distortion, [0.1, 0, 0, 0, 0])
        assert frame.truth is not None
        assert frame.truth.speed == pytest.approx(1.025 + 0.1 * index)
        # The camera looks along the robot's x and sits at its origin, seen in optical axes.
        np.testing.assert_allclose(
            frame.truth.pose,
            [[0, 0, 1, 0.025 + 0.1 * index], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]],
            atol=1e-12,
        )


@pytest.mark.parametrize(
    ("kind", "compression"), [("sqlite3", "FILE"), ("sqlite3", "MESSAGE"), ("mcap", "STORAGE")]
)
def test_compressed_bags_are_read(tmp_path: Path, kind: str, compression: str) -> None:
    path = record(tmp_path / "drive", kind, drive, compression)
    np.testing.assert_array_equal(list(open_source(path))[4].image, picture(4))


@pytest.mark.parametrize(("kind", "suffix"), [("sqlite3", ".db3"), ("mcap", ".mcap")])
def test_one_storage_file_or_a_folder_without_metadata_is_enough(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = record(tmp_path / "drive", kind, drive)
    assert len(list(open_source(path / f"drive{suffix}"))) == 5
    (path / "metadata.yaml").unlink()
    assert len(list(open_source(path))) == 5


def test_pose_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    truth = next(iter(open_source(record(tmp_path / "a", "mcap", drive)))).truth
    assert truth is not None
    assert truth.pose is None
    assert truth.speed == pytest.approx(1.025)


def test_images_recorded_before_the_first_camera_info_have_it_too(tmp_path: Path) -> None:
    def script(recorder: Recorder) -> None:
        recorder.image("/cam/image", START, picture(0))
        recorder.info("/cam/camera_info", START + 500 * MS)

    camera = next(iter(open_source(record(tmp_path / "a", "sqlite3", script)))).camera
    assert camera is not None
    assert camera.fx == 50


def test_an_uncalibrated_camera_is_no_camera(tmp_path: Path) -> None:
    def script(recorder: Recorder) -> None:
        recorder.info("/cam/camera_info", START, k=(0.0,) * 9)
        recorder.image("/cam/image", START + MS, picture(0))

    assert next(iter(open_source(record(tmp_path / "a", "mcap", script)))).camera is None


def test_a_camera_info_of_another_size_is_scaled_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def script(width: int, height: int) -> Callable[[Recorder], None]:
        def run(recorder: Recorder) -> None:
            recorder.info("/cam/camera_info", START, width=width, height=height)
            recorder.image("/cam/image", START + MS, picture(0))
            recorder.image("/cam/image", START + 2 * MS, picture(0))

        return run

    scaled = next(iter(open_source(record(tmp_path / "a", "mcap", script(128, 96))))).camera
    assert scaled is not None
    assert (scaled.size, scaled.fx) == ((64, 48), 25)
    with caplog.at_level(logging.WARNING):
        frames = list(open_source(record(tmp_path / "b", "mcap", script(128, 72))))
    assert [frame.camera for frame in frames] == [None, None]
    assert caplog.text.count("128x72, the images are 64x48") == 1


def test_messages_without_a_stamp_have_the_time_of_recording(tmp_path: Path) -> None:
    def script(recorder: Recorder) -> None:
        recorder.image("/cam/image", 0, picture(0))

    assert next(iter(open_source(record(tmp_path / "a", "mcap", script)))).stamp == START + 7 * MS


def test_images_far_from_any_odometry_have_no_speed(tmp_path: Path) -> None:
    def script(recorder: Recorder) -> None:
        recorder.odometry("/odom", START, 1.0, 0.0)
        for seconds in (0, 5):
            recorder.image("/cam/image", START + 1000 * seconds * MS + MS, picture(0))
        recorder.odometry("/odom", START + 10_000 * MS, 3.0, 0.0)

    frames = list(open_source(record(tmp_path / "a", "sqlite3", script)))
    assert [frame.truth and frame.truth.speed for frame in frames] == [1.0, None]


def two_cameras(recorder: Recorder) -> None:
    for name, level in (("left", 1), ("right", 2)):
        recorder.info(f"/{name}/camera_info", START, k=(10.0 * level, *K[1:]))
        recorder.image(f"/{name}/image_raw", START + MS, picture(level))
    for name in ("/odom", "/wheel/odom"):
        recorder.odometry(name, START, 1.0, 0.0)


def test_of_several_image_topics_one_must_be_chosen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = record(tmp_path / "a", "mcap", two_cameras)
    with pytest.raises(SourceError, match=r"/left/image_raw \(1\), /right/image_raw \(1\)"):
        open_source(path)
    with caplog.at_level(logging.WARNING):
        frame: Frame = next(iter(open_source(path, topic="/right/image_raw")))
    assert "several odometry topics (/odom, /wheel/odom)" in caplog.text
    assert frame.truth is None
    assert frame.image[0, 0, 0] == 40
    assert frame.camera is not None
    assert frame.camera.fx == 20
    chosen = open_source(path, topic="/left/image_raw", odometry_topic="/wheel/odom")
    assert next(iter(chosen)).truth is not None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"topic": "/gone"}, "no topic '/gone'; image topics: /front/image_raw"),
        ({"topic": "/odom"}, "/odom is a nav_msgs/msg/Odometry, not an image"),
        ({"odometry_topic": "/wheels"}, "no odometry topic '/wheels'; there are: /odom"),
    ],
)
def test_a_wrong_topic_is_answered_with_the_right_ones(
    tmp_path: Path, options: dict[str, str], match: str
) -> None:
    path = record(tmp_path / "a", "sqlite3", drive)
    with pytest.raises(SourceError, match=match) as caught:
        open_source(path, **options)
    assert str(path) in str(caught.value)


def test_a_bag_without_images_lists_what_it_has(tmp_path: Path) -> None:
    path = record(tmp_path / "a", "mcap", lambda recorder: recorder.odometry("/odom", START, 1, 0))
    with pytest.raises(SourceError, match=r"no images.*/odom \[nav_msgs/msg/Odometry\]"):
        open_source(path)


def test_a_damaged_image_is_skipped_counted_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jpeg = cv2.imencode(".jpg", picture(3))[1].tobytes()

    def script(recorder: Recorder) -> None:
        for index, data in enumerate((jpeg, jpeg[:-40], jpeg)):
            recorder.jpeg("/cam/image/compressed", START + index * MS, data)

    source = BagSource(record(tmp_path / "a", "mcap", script))
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    assert [frame.stamp - START for frame in frames] == [0, 2 * MS]
    assert source.failures == 1
    assert "truncated" in caplog.text


def test_a_bag_of_damaged_images_only_is_an_error(tmp_path: Path) -> None:
    path = record(
        tmp_path / "a", "mcap", lambda recorder: recorder.jpeg("/image", START, b"\xff\xd8\xff")
    )
    with pytest.raises(SourceError, match=r"no image could be read from /image: .*truncated"):
        list(open_source(path))


def test_an_encoding_that_is_no_picture_stops_at_once(tmp_path: Path) -> None:
    def script(recorder: Recorder) -> None:
        recorder.image("/depth", START, np.zeros((48, 64), np.float32), "32FC1")

    with pytest.raises(SourceError, match="/depth: unknown image encoding '32FC1'"):
        list(open_source(record(tmp_path / "a", "mcap", script)))


@pytest.mark.parametrize("kind", ["sqlite3", "mcap", "bag"])
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_cut_off_bag_is_named(tmp_path: Path, kind: str, part: float) -> None:
    path = record(tmp_path / "drive", kind, drive)
    file = path if kind == "bag" else next(p for p in path.iterdir() if p.name != "metadata.yaml")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(SourceError, match="cannot read this bag") as caught:
        list(open_source(path))
    assert "drive" in str(caught.value)


@pytest.mark.parametrize("kind", ["sqlite3", "mcap", "bag"])
def test_a_bag_whose_name_is_no_utf8_is_read_or_told_so(tmp_path: Path, kind: str) -> None:
    """Old disks, zip files. sqlite3 takes UTF-8 alone."""
    path = record(tmp_path / "a", kind, drive)
    path = path.rename(path.with_name(os.fsdecode(b"stra\xdfe") + path.suffix))
    if kind != "sqlite3":
        assert len(list(open_source(path))) == 5
        return
    with pytest.raises(SourceError, match=r"the name of this bag is not UTF-8.*rename"):
        open_source(path)
    (tmp_path / "link").symlink_to(path)
    assert len(list(open_source(tmp_path / "link"))) == 5


def test_a_bag_with_nothing_but_metadata_is_named(tmp_path: Path) -> None:
    path = record(tmp_path / "drive", "mcap", drive)
    (path / "drive.mcap").unlink()
    with pytest.raises(SourceError, match=r"drive\.mcap"):
        open_source(path)


def real_bag(name: str) -> Path:
    path = DATA / "bag" / name
    if not path.exists():
        pytest.skip(f"no real bag at {path}; set DEPTH_MOTION_DATA")
    return path


@pytest.mark.parametrize(("name", "count"), [("kitti03_db3_jpeg", 250), ("kitti03_mcap_raw", 100)])
def test_real_recordings_of_ros2(name: str, count: int) -> None:
    frames = list(open_source(real_bag(name), pose=True))
    assert len(frames) == count
    assert all(frame.image.shape == (128, 416, 3) for frame in frames)
    assert all(frame.camera is not None and frame.camera.fx == 246.322 for frame in frames)
    # Distance by speed and by pose: the first twist is zero, so one step (1 m at most) may miss.
    stamps = np.array([frame.stamp for frame in frames]) / 1e9
    speeds = np.array([frame.truth.speed for frame in frames if frame.truth])
    track = np.array([frame.truth.pose[:3, 3] for frame in frames if frame.truth])
    by_speed = np.sum(speeds[1:] * np.diff(stamps))
    by_pose = np.linalg.norm(np.diff(track, axis=0), axis=1).sum()
    assert by_speed == pytest.approx(by_pose, rel=0.01)
    # The camera looks where it drives.
    forward = np.diff(track, axis=0)[10] / np.linalg.norm(np.diff(track, axis=0)[10])
    assert frames[10].truth is not None
    assert frames[10].truth.pose is not None
    assert forward @ frames[10].truth.pose[:3, 2] > 0.95


def test_a_real_recording_of_ros1(tmp_path: Path) -> None:
    path = real_bag("ros1_aruco_images.bag")
    frame = next(iter(open_source(path)))
    assert frame.image.shape == (960, 1280, 3)
    assert frame.camera is not None
    assert frame.camera.is_distorted
    copy = tmp_path / "cut.bag"
    shutil.copyfile(path, copy)
    os.truncate(copy, copy.stat().st_size // 2)
    with pytest.raises(SourceError, match=r"cut\.bag: cannot read this bag"):
        open_source(copy)


P = (40.0, 0.0, 30.0, 0.0, 0.0, 41.0, 22.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize("kind", ["mcap", "bag"])
@pytest.mark.parametrize(
    ("topic", "given", "focal"),
    [
        ("/cam/image_rect", None, 40),
        ("/cam/image_rect_color", None, 40),
        ("/cam/image_raw", None, 50),
        ("/cam/image_raw", True, 40),
        ("/cam/image_rect", False, 50),
    ],
)
def test_of_a_rectified_stream_p_holds(
    tmp_path: Path, kind: str, topic: str, given: bool | None, focal: float
) -> None:
    """Beside image_rect lies the raw camera's CameraInfo: rectifying again would bend it."""

    def script(recorder: Recorder) -> None:
        recorder.info("/cam/camera_info", START, p=P)
        recorder.image(topic, START + MS, picture(0))

    path = record(tmp_path / "a", kind, script)
    camera = next(iter(open_source(path, rectified=given))).camera
    assert camera is not None
    assert camera.fx == focal
    assert camera.is_distorted == (focal == 50)


def test_a_rectified_stream_without_p_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def script(recorder: Recorder) -> None:
        for index in range(3):
            recorder.info("/cam/camera_info", START + 2 * index * MS)
            recorder.image("/cam/image_rect", START + (2 * index + 1) * MS, picture(0))

    with caplog.at_level(logging.WARNING):
        camera = next(iter(open_source(record(tmp_path / "a", "mcap", script)))).camera
    assert camera is not None
    assert (camera.fx, camera.is_distorted) == (50, False)
    assert caplog.text.count("P is not given: K is used") == 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"model": ""}, "say which it is, plumb_bob"),
        ({"k": tuple(np.reshape(K, (3, 3)).T.ravel())}, "K is transposed"),
        ({"k": (0.8, 0, 0.5, 0, 1.0, 0.5, 0, 0, 1)}, "cannot be pixels of a 64x48 image"),
        ({"model": "ftheta"}, "unknown distortion model 'ftheta'"),
    ],
)
def test_a_camera_info_that_cannot_be_is_said_once_and_not_used(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, Any],
    match: str,
) -> None:
    def script(recorder: Recorder) -> None:
        for index in range(3):
            recorder.info("/cam/camera_info", START + 2 * index * MS, **fields)
            recorder.image("/cam/image", START + (2 * index + 1) * MS, picture(0))

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(record(tmp_path / "a", "mcap", script)))
    assert [frame.camera for frame in frames] == [None] * 3
    assert caplog.text.count(match) == 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_bits_that_a_sensor_has_are_those_that_are_seen(
    tmp_path: Path, bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    levels = np.linspace(0, 255, 64).astype(np.uint16)[None].repeat(48, 0)
    stored = (levels << 8 | levels) >> (16 - bits)

    def script(recorder: Recorder) -> None:
        for index in range(2):
            recorder.image("/cam/image", START + index * MS, stored, "mono16")

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(record(tmp_path / "a", "mcap", script)))
    for frame in frames:
        np.testing.assert_array_equal(frame.image[..., 0], levels)
    assert caplog.text.count(f"treated as {bits} bits") == (bits < 16)
