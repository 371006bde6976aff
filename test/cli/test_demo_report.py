"""Figures and pictures of the demo, from a bag whose contents are known exactly."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from depth_motion_ros.cli.demo import recording as topics
from depth_motion_ros.cli.demo.paths import length, read_paths
from depth_motion_ros.cli.demo.pictures import choose_stamp, draw_overview
from depth_motion_ros.cli.demo.recording import DemoRecording, pixels, stamp_of
from depth_motion_ros.cli.demo.statistics import summarise
from depth_motion_ros.cli.demo.video import draw_video
from depth_motion_ros.sources.frame import SourceError

TYPES = get_typestore(Stores.LATEST)
MS = 1_000_000
START = 1_700_000_000_000_000_000
PERIOD = 100 * MS  # ten images a second
FRAMES = 10
LATENCY = [20 * MS] * (FRAMES - 1) + [120 * MS]
WIDTH, HEIGHT = 32, 24
STEP = 0.5  # m that the camera moves from image to image


def make(kind: str, /, **fields: Any) -> Any:
    return TYPES.types[kind](**fields)


def header(stamp: int, frame: str = "camera_optical_frame") -> Any:
    time = make("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
    return make("std_msgs/msg/Header", stamp=time, frame_id=frame)


def image(stamp: int, array: np.ndarray, encoding: str) -> Any:
    raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    return make(
        "sensor_msgs/msg/Image", header=header(stamp), height=array.shape[0],
        width=array.shape[1], encoding=encoding, is_bigendian=0,
        step=raw.size // array.shape[0], data=raw,
    )  # fmt: skip


def cloud(stamp: int, names: tuple[str, ...], rows: np.ndarray) -> Any:
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=7, count=1)
        for i, name in enumerate(names)
    ]
    raw = rows.astype("<f4").view(np.uint8).reshape(-1)
    return make(
        "sensor_msgs/msg/PointCloud2", header=header(stamp), height=1, width=len(rows),
        fields=fields, is_bigendian=False, point_step=4 * len(names),
        row_step=4 * len(names) * len(rows), data=raw, is_dense=True,
    )  # fmt: skip


def odometry(stamp: int, frame: str, position: tuple[float, ...], turn: tuple[float, ...]) -> Any:
    vector, zero = "geometry_msgs/msg/Vector3", np.zeros(36)
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=position[0], y=position[1], z=position[2]),
        orientation=make(
            "geometry_msgs/msg/Quaternion", x=turn[0], y=turn[1], z=turn[2], w=turn[3]
        ),
    )
    still = make(vector, x=0.0, y=0.0, z=0.0)
    return make(
        "nav_msgs/msg/Odometry", header=header(stamp, frame), child_frame_id="base_link",
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=zero),
        twist=make(
            "geometry_msgs/msg/TwistWithCovariance",
            twist=make("geometry_msgs/msg/Twist", linear=still, angular=still), covariance=zero,
        ),
    )  # fmt: skip


def diagnostics(stamp: int) -> Any:
    values = {"received": "10", "served": "9", "dropped": "1", "metric": "true"}
    pairs = [make("diagnostic_msgs/msg/KeyValue", key=k, value=v) for k, v in values.items()]
    status = make(
        "diagnostic_msgs/msg/DiagnosticStatus", level=0, name="depth_motion", message="tracking ok",
        hardware_id="", values=pairs,
    )  # fmt: skip
    return make("diagnostic_msgs/msg/DiagnosticArray", header=header(stamp, ""), status=[status])


def frame_messages(index: int, stamp: int) -> list[tuple[str, int, Any]]:
    """(topic, time of receipt, message) of one image and what was made of it."""
    rng = np.random.default_rng(index)
    depth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    depth[0, 0] = np.nan
    colours = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    points = rng.uniform(1, 5, (50, 4))
    # In frame 7, past the first third, more points move than in any other.
    moving = np.ones((20 if index == 7 else 3, 6))
    out = stamp + LATENCY[index]
    identity = (0.0, 0.0, 0.0, 1.0)
    return [
        (topics.IMAGE, stamp, image(stamp, colours, "rgb8")),
        # The source's world has the camera's axes: ahead is z.
        (topics.TRUTH, stamp, odometry(stamp, "world", (3.0, 0.0, STEP * index), identity)),
        (topics.DEPTH, out, image(stamp, depth, "32FC1")),
        (topics.CLOUD, out, cloud(stamp, ("x", "y", "z", "rgb"), points)),
        (topics.FLOW_COLOUR, out, image(stamp, colours, "rgb8")),
        (topics.FLOW_CLOUD, out, cloud(stamp, ("x", "y", "z", "vx", "vy", "vz"), moving)),
        # The estimate is two percent short, and straight ahead in x.
        (topics.ODOMETRY, out, odometry(stamp, "odom", (0.98 * STEP * index, 0.0, 0.0), identity)),
    ]


def write_bag(path: Path, messages: list[tuple[str, int, Any]]) -> DemoRecording:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for topic, time, message in sorted(messages, key=lambda row: row[1]):
            kind = topics.TOPICS[topic]
            if topic not in connections:
                name = topic if topic.startswith("/") else f"/{topic}"
                connections[topic] = writer.add_connection(name, kind, typestore=TYPES)
            writer.write(connections[topic], time, TYPES.serialize_cdr(message, kind))
    return DemoRecording(path)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> DemoRecording:
    messages = [(topics.DIAGNOSTICS, START, diagnostics(START))]
    for index in range(FRAMES):
        messages += frame_messages(index, START + index * PERIOD)
    return write_bag(tmp_path_factory.mktemp("demo") / "bag", messages)


def test_latency_is_receipt_minus_stamp(recording: DemoRecording) -> None:
    found = summarise(recording)["latency_ms"]
    assert found["measured_from"] == "stamp"
    assert found[topics.DEPTH]["count"] == FRAMES
    # Nine of 20 ms and one of 120 ms.
    assert found[topics.DEPTH]["p50"] == 20.0
    assert found[topics.DEPTH]["max"] == 120.0
    assert found[topics.FLOW] is None


def test_latency_of_old_stamps_is_counted_from_the_images_receipt(tmp_path: Path) -> None:
    """A bag is replayed with the stamps of another day."""
    past = START - 10**15
    rows = [
        (topic, time, message)
        for index in range(3)
        for topic, time, message in frame_messages(index, past + index * PERIOD)
    ]
    found = summarise(write_bag(tmp_path / "bag", [(t, time + 10**15, m) for t, time, m in rows]))
    assert found["latency_ms"]["measured_from"] == "receipt of the image"
    assert found["latency_ms"][topics.DEPTH]["max"] == 20.0


def test_rates_and_counts(recording: DemoRecording) -> None:
    found = summarise(recording)
    assert found["rates_hz"][topics.IMAGE] == 10.0
    assert found["frames"] == {
        "recorded": 10, "in": 10, "served": 9, "dropped": 1, "served_and_recorded": 10,
    }  # fmt: skip
    assert found["node"]["message"] == "tracking ok"


def test_truth_is_laid_on_the_first_estimate(recording: DemoRecording) -> None:
    paths = read_paths(recording)
    assert paths.true is not None
    ahead = STEP * np.arange(FRAMES)
    np.testing.assert_allclose(paths.true[:, :3, 3], np.outer(ahead, [1, 0, 0]), atol=1e-9)
    assert length(paths.estimated) == pytest.approx(0.98 * length(paths.true))


def test_the_overview_shows_the_frame_with_most_motion(recording: DemoRecording) -> None:
    assert choose_stamp(recording) == START + 7 * PERIOD


def test_the_overview_is_a_picture_of_a_size_for_readers(
    recording: DemoRecording, tmp_path: Path
) -> None:
    draw_overview(recording, tmp_path / "overview.png", "a title", metric=True)
    picture = cv2.imread(str(tmp_path / "overview.png"))
    assert picture.shape[1] > 1000
    # Panels with a sky of one colour would mean that nothing was drawn.
    assert picture.std() > 20


def test_the_video_has_every_frame_at_its_time(recording: DemoRecording, tmp_path: Path) -> None:
    assert draw_video(recording, tmp_path / "demo.mp4") == FRAMES
    with av.open(str(tmp_path / "demo.mp4")) as video:
        times = [frame.time for frame in video.decode(video=0)]
    np.testing.assert_allclose(np.diff(times), PERIOD * 1e-9, atol=2e-3)


def test_a_run_without_output_says_what_came(tmp_path: Path) -> None:
    rows = [row for row in frame_messages(0, START) if row[0] == topics.IMAGE]
    with pytest.raises(SourceError, match=r"image 1, depth/image 0"):
        choose_stamp(write_bag(tmp_path / "bag", rows))


def test_rows_with_padding_are_read_right() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    message = image(START, np.pad(array.reshape(2, 6), ((0, 0), (0, 2))), "rgb8")
    message.width, message.step = 2, 8
    np.testing.assert_array_equal(pixels(message), array)


def test_stamps_are_read_in_both_byte_orders() -> None:
    for flag, order in ((b"\0\1\0\0", "<"), (b"\0\0\0\0", ">")):
        assert stamp_of(flag + struct.pack(order + "iI", 3, 5)) == 3_000_000_005
