"""Videos, image folders, KITTI layouts and devices as frames."""

from __future__ import annotations

import logging
import os
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.capture import CaptureSource
from depth_motion_ros.sources.folder import FolderSource
from depth_motion_ros.sources.frame import FrameSource, SourceError
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.video import VideoSource

SIZE = (64, 48)


def picture(index: int) -> np.ndarray:
    """Red grows with the index; the left half is bright green, so that turns can be told."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[..., 0] = 10 * (index % 25)
    image[:, : SIZE[0] // 2, 1] = 200
    return image


def make_video(path: Path, stamps_ms: list[int], codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, stamp in enumerate(stamps_ms):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_video_frames_keep_their_true_stamps(tmp_path: Path) -> None:
    stamps = [0, 40, 120, 130, 400]  # no constant rate
    with open_source(make_video(tmp_path / "a.mkv", stamps)) as source:
        assert isinstance(source, FrameSource)
        for _ in range(2):  # iterating anew starts at the first frame
            frames = list(source)
            assert [frame.stamp for frame in frames] == [stamp * 1_000_000 for stamp in stamps]
        assert frames[3].image.shape == (48, 64, 3)
        # 12: coding losses of MPEG-4
        assert abs(frames[4].image[..., 0].mean() - 40) < 12
        assert frames[0].image[24, 10, 1] > 150 > 60 > frames[0].image[24, 54, 1]


def test_a_given_rate_replaces_the_stamps_of_a_video(tmp_path: Path) -> None:
    source = open_source(make_video(tmp_path / "a.mp4", [0, 40, 80]), rate=5)
    assert [frame.stamp for frame in source] == [0, 200_000_000, 400_000_000]
    assert source.length == 3


def test_a_video_has_the_camera_that_the_caller_knows(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [0, 40])
    camera = Camera.from_field_of_view(*SIZE, 1.0)
    assert next(iter(open_source(path, camera=camera))).camera is camera
    with pytest.raises(SourceError, match=r"a\.mp4: frames are 64x48, the given camera.*32x24"):
        next(iter(VideoSource(path, camera=camera.resized(32, 24))))


@pytest.mark.parametrize(("matrix_turn", "bright"), [(90, "bottom"), (-90, "top"), (180, "right")])
def test_a_video_of_a_turned_phone_is_upright(
    tmp_path: Path, matrix_turn: int, bright: str
) -> None:
    """Track header matrices as FFmpeg reads them: counter-clockwise turns of the picture."""
    path = make_video(tmp_path / "a.mp4", [0, 40, 80])
    data = bytearray(path.read_bytes())
    one = 0x10000
    cells = {90: (0, -one, one, 0), -90: (0, one, -one, 0), 180: (-one, 0, 0, -one)}[matrix_turn]
    start = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of fields
    for offset, value in zip((0, 4, 12, 16), cells, strict=True):
        data[start + offset : start + offset + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    image = next(iter(VideoSource(path))).image[..., 1].astype(float)
    height, width = image.shape
    halves = {
        "top": image[: height // 2],
        "bottom": image[height // 2 :],
        "left": image[:, : width // 2],
        "right": image[:, width // 2 :],
    }
    assert max(halves, key=lambda half: halves[half].mean()) == bright
    assert (width, height) == (SIZE if matrix_turn == 180 else SIZE[::-1])


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "mjpeg"), ("avi", "mjpeg"), ("mkv", "mpeg4")]
)
def test_a_truncated_video_delivers_what_is_whole_and_says_so(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    stamps = [40 * index for index in range(100)]
    path = make_video(tmp_path / f"a.{suffix}", stamps, codec)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    frames: list[int] = []
    with pytest.raises(SourceError, match=rf"a\.{suffix}: ") as caught:
        frames.extend(frame.stamp for frame in VideoSource(path))
    assert frames == [stamp * 1_000_000 for stamp in stamps[: len(frames)]]
    # Half of the bytes: about half of the frames, more where the missing end held an index.
    assert 25 <= len(frames) <= 85, caught.value
    assert str(len(frames)) in str(caught.value)


@pytest.mark.parametrize("suffix", ["mkv", "avi", "mp4", "mov"])
@pytest.mark.parametrize("interval", [33, 1000])
def test_a_whole_video_is_not_called_truncated(tmp_path: Path, suffix: str, interval: int) -> None:
    codec = "mjpeg" if suffix == "avi" else "mpeg4"
    path = make_video(tmp_path / f"a.{suffix}", [interval * i for i in range(20)], codec)
    assert len(list(VideoSource(path))) == 20


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "0 bytes"), (b"no video at all" * 9, "cannot open as a video"), (None, "no such file")],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes | None, match: str) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=match) as caught:
        open_source(path)
    assert "a.mp4" in str(caught.value)


def test_an_mp4_that_was_never_finished_is_named(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [0, 40, 80])
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"moov")])  # the index lies at the end
    with pytest.raises(SourceError, match=r"a\.mp4: cannot open as a video"):
        VideoSource(path)


def write_images(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture(index)[..., ::-1])
    return folder


def test_a_folder_of_images_is_read_in_natural_order(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", ["f1.png", "f2.PNG", "f10.jpg"])
    (folder / "notes.md").write_text("not an image")
    source = open_source(folder, rate=4)
    frames = list(source)
    assert [frame.stamp for frame in frames] == [0, 250_000_000, 500_000_000]
    reds = [int(frame.image[..., 0].mean()) for frame in frames]
    assert reds[:2] == [0, 10]
    assert abs(reds[2] - 20) <= 2  # JPEG
    (folder / "timestamps.txt").write_text("1.5\n1.75\n2.000000001\n")
    assert [frame.stamp for frame in FolderSource(folder)][2] == 2_000_000_001


def test_a_damaged_image_is_named_after_the_frames_before_it(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", ["0.jpg", "1.jpg"])
    (folder / "1.jpg").write_bytes((folder / "1.jpg").read_bytes()[:-50])
    frames = iter(FolderSource(folder))
    next(frames)
    with pytest.raises(SourceError, match=r"1\.jpg: cannot read the image: .*truncated"):
        next(frames)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(tmp_path: Path, rate: float) -> None:
    folder = write_images(tmp_path / "a", ["0.png"])
    with pytest.raises(SourceError, match="rate must be a positive number"):
        open_source(folder, rate=rate)


def test_what_is_no_source_is_described(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for spec, found in [
        (tmp_path / "empty", "the folder is empty"),
        (tmp_path, "holds empty, notes.txt"),
        (tmp_path / "notes.txt", r"unknown kind '\.txt'"),
        (tmp_path / "gone.mp4", "no such file"),
    ]:
        with pytest.raises(SourceError, match=found) as caught:
            open_source(spec)
        assert "rosbag2" in str(caught.value)  # what is accepted is said, too
    with pytest.raises(SourceError, match="single image"):
        open_source(write_images(tmp_path / "b", ["0.png"]) / "0.png")
    with pytest.raises(SourceError, match="options wind are for sim:NAME only"):
        open_source(tmp_path / "b", wind=3)


class Device:
    """What the driver does: a frame every few ms, then what ``after`` says."""

    def __init__(self, frames: int, pause: float = 0.005) -> None:
        self.frames, self.pause, self.released = frames, pause, False
        self.given = 0
        self.settings: dict[int, Any] = {}

    def isOpened(self) -> bool:
        return self.frames > 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(self.pause)
        if self.given == self.frames:
            return False, None
        self.given += 1
        return True, picture(self.given % 25)[..., ::-1]

    def get(self, _: int) -> float:
        return 30.0

    def set(self, setting: int, value: Any) -> None:
        self.settings[setting] = value

    def release(self) -> None:
        self.released = True


class PacedDevice(Device):
    """Gives a frame only when it is told to."""

    def __init__(self) -> None:
        super().__init__(frames=60, pause=0.0)
        self._allowed = threading.Semaphore(0)
        self._asked = threading.Semaphore(0)

    def send(self, count: int) -> None:
        """Returns when the reader has taken them all and asks for another."""
        for _ in range(count):
            self._asked.acquire()
            self._allowed.release()
        self._asked.acquire()
        self._asked.release()

    def read(self) -> tuple[bool, np.ndarray | None]:
        self._asked.release()
        if not self._allowed.acquire(timeout=60):
            return False, None
        return super().read()

    def finish(self) -> None:
        """From now on it does not wait."""
        self._allowed.release(1000)


def test_a_device_gives_its_latest_frame_and_counts_the_rest() -> None:
    device = PacedDevice()
    before = time.time_ns()
    with CaptureSource("/dev/video0", width=64, timeout=60, open_device=lambda _: device) as source:
        frames = iter(source)
        device.send(1)
        first = next(frames)
        device.send(20)
        second = next(frames)
        assert before <= first.stamp < second.stamp <= time.time_ns()
        np.testing.assert_array_equal(second.image, picture(21))
        assert source.dropped == 19
        assert source.rate == 30
        assert device.settings[cv2.CAP_PROP_FRAME_WIDTH] == 64
        device.finish()
    assert device.released


def test_a_calibration_of_another_size_than_a_device_sends_is_not_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera = Camera.from_field_of_view(*SIZE, 1.0)
    for given, expected in ((camera, camera), (camera.resized(32, 24), None)):
        device = Device(frames=9)
        source = CaptureSource("/dev/video0", camera=given, open_device=lambda _, d=device: d)
        with source, caplog.at_level(logging.WARNING):
            frames = iter(source)
            assert [next(frames).camera for _ in range(2)] == [expected] * 2
    assert caplog.text.count("is for 32x24, the images are 64x48: it is not used") == 1


def test_a_device_that_goes_silent_is_an_error_that_counts_failures() -> None:
    source = CaptureSource("/dev/video7", timeout=0.3, open_device=lambda _: Device(frames=1))
    with source, pytest.raises(SourceError, match=r"/dev/video7: no frame for 0\.3 s"):
        for _ in source:
            pass
    assert source.failures > 1


def test_closing_a_device_ends_an_iteration_that_waits() -> None:
    source = CaptureSource("/dev/video7", timeout=30, open_device=lambda _: Device(frames=1))
    received = []
    thread = threading.Thread(target=lambda: received.extend(source))
    thread.start()
    while not received:
        time.sleep(0.01)
    source.close()
    thread.join(5)
    assert not thread.is_alive()
    assert len(received) == 1


def test_a_device_that_is_not_there_is_named() -> None:
    if os.path.exists("/dev/video63"):
        pytest.skip("this machine has 64 cameras")
    with pytest.raises(SourceError, match="/dev/video63: cannot open this camera"):
        open_source("/dev/video63")
