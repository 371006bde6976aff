"""Of a video what arrived counts: whole files are whole, cut-off ones named, stamps even."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.containers import announced_size
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.video import VideoSource

SIZE = (64, 48)
CODECS = {
    "mp4": "libx264", "mov": "mjpeg", "mkv": "libx264", "webm": "libvpx-vp9", "gif": "gif",
    "avi": "mjpeg", "flv": "libx264", "wmv": "wmv2", "ts": "libx264", "mpg": "mpeg2video",
}  # fmt: skip
FORMATS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


def gray(level: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), level, np.uint8)


def level_of(index: int) -> int:
    """A level that coding keeps apart from its neighbours."""
    return 20 + 4 * index


def make_video(
    path: Path,
    stamps_ms: list[int],
    *,
    last_ms: int | None = None,
    codec: str | None = None,
    options: dict[str, str] | None = None,
    rate: Fraction = Fraction(25),
    pixel: Fraction | None = None,
) -> Path:
    """Frame n has gray level ``level_of(n)``; the last one is shown for ``last_ms``."""
    codec = codec or CODECS[path.suffix[1:]]
    base = Fraction(1, 100) if codec == "gif" else Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = SIZE
        stream.pix_fmt = FORMATS.get(codec, "yuv420p")
        if path.suffix not in (".avi", ".mpg"):
            stream.codec_context.time_base = base
        if pixel is not None:
            stream.codec_context.sample_aspect_ratio = pixel
        if last_ms is not None:
            stream.codec_context.flags |= av.codec.context.Flags.frame_duration
        for index, stamp in enumerate(stamps_ms):
            frame = av.VideoFrame.from_ndarray(gray(level_of(index)), format="rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = round(stamp / 1000 / base), base
            if last_ms is not None:
                length = last_ms if index == len(stamps_ms) - 1 else 40
                frame.duration = round(length / 1000 / base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def levels(path: Path) -> list[int]:
    return [round((frame.image.mean() - 20) / 4) for frame in VideoSource(path)]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "gif", "flv", "wmv"])
def test_a_last_frame_that_is_shown_for_long_is_no_missing_end(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Screen recordings, GIFs with a pause, time lapses."""
    path = make_video(tmp_path / f"a.{suffix}", [40 * i for i in range(20)], last_ms=3000)
    with caplog.at_level(logging.WARNING):
        assert len(list(VideoSource(path))) == 20
    # Where the file says how long the last one lasts, there is nothing to be said.
    if suffix not in ("flv", "wmv"):
        assert not caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_a_recording_whose_stamps_begin_late_is_whole(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / f"a.{suffix}", [12_000 + 40 * i for i in range(20)])
    stamps = [frame.stamp for frame in VideoSource(path)]
    assert len(stamps) == 20
    assert np.diff(stamps) / 1e6 == pytest.approx(40, abs=1)


def trimmed(path: Path, start: Fraction) -> Path:
    """A copy of the packets from the key frame before ``start``: the muxer writes an edit list."""
    copy = path.with_stem("trimmed")
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        stream = source.streams.video[0]
        written = target.add_stream_from_template(stream)
        shift = int(start / stream.time_base)
        for packet in source.demux(stream):
            if packet.dts is None:
                continue
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = written
            target.mux(packet)
    return copy


@pytest.mark.parametrize(("suffix", "shown"), [("mp4", 20), ("mov", 20), ("mp4", 7)])
def test_an_edit_list_hides_the_lead_in(tmp_path: Path, suffix: str, shown: int) -> None:
    options = {"bf": "3", "g": "50"}
    stamps = [40 * i for i in range(50)]
    path = make_video(tmp_path / f"a.{suffix}", stamps, codec="libx264", options=options)
    path = trimmed(path, Fraction(50 - shown, 25))
    assert levels(path) == pytest.approx(list(range(50 - shown, 50)), abs=1)
    # The announced 50 pictures are not those that will be shown.
    assert VideoSource(path).length in (None, shown)


@pytest.mark.parametrize(
    ("codec", "rate", "bf"),
    [
        ("libx264", Fraction(25), "2"),
        ("mpeg4", Fraction(25), "2"),
        ("libx264", Fraction(30000, 1001), "3"),
        ("mpeg4", Fraction(10), "1"),
    ],
)
def test_an_avi_with_b_frames_has_even_steps(
    tmp_path: Path, codec: str, rate: Fraction, bf: str
) -> None:
    """AVI has no presentation times; FFmpeg's guess stepped by -80 and 160 ms."""
    stamps = [round(1000 * i / rate) for i in range(50)]
    path = make_video(tmp_path / "a.avi", stamps, codec=codec, options={"bf": bf}, rate=rate)
    assert levels(path) == pytest.approx(list(range(50)), abs=1)
    steps = np.diff([frame.stamp for frame in VideoSource(path)])
    assert steps == pytest.approx(1e9 / float(rate), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "cover_first", "is_marked"),
    [
        ("drone.mp4", True, True),
        ("drone.mkv", True, True),
        ("drone.mov", True, False),
        ("drone.mkv", True, False),
        ("behind.mov", False, False),
    ],
)
def test_the_film_is_read_and_not_its_cover(
    tmp_path: Path, name: str, cover_first: bool, is_marked: bool
) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:

        def add_cover() -> av.VideoStream:
            cover = container.add_stream("mjpeg", rate=25)
            cover.width, cover.height, cover.pix_fmt = 32, 24, "yuvj420p"
            if is_marked:
                cover.disposition = av.stream.Disposition.attached_pic
            return cover

        cover = add_cover() if cover_first else None
        film = container.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = *SIZE, "yuv420p"
        film.disposition = av.stream.Disposition.default
        cover = cover or add_cover()
        picture = av.VideoFrame.from_ndarray(gray(90)[:24, :32], format="rgb24")
        picture = picture.reformat(format="yuvj420p")
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        packets = [*cover.encode(picture), *cover.encode(None)]
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(gray(level_of(index)), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += film.encode(frame)
        for packet in [*packets, *film.encode(None)]:
            container.mux(packet)
    frames = list(VideoSource(path))
    assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 20


CUTS = ["mkv", "webm", "avi", "flv", "wmv"]


@pytest.mark.parametrize("suffix", CUTS)
def test_bytes_that_are_missing_are_named(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / f"a.{suffix}", [40 * i for i in range(50)])
    whole = path.read_bytes()
    size = announced_size(path)
    assert size is not None
    assert size <= len(whole)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(SourceError, match=rf"a\.{suffix}: ") as caught:
        list(VideoSource(path))
    # Some decoders break before the end is reached; both name the frames that came.
    assert "truncated" in str(caught.value) or "broke after" in str(caught.value)
    assert "frames" in str(caught.value)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_an_mp4_with_its_index_in_front_is_named_when_cut(tmp_path: Path, flags: str) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": flags}) as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for index in range(40):
            frame = av.VideoFrame.from_ndarray(gray(level_of(index)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(list(VideoSource(path))) == 40
    whole = path.read_bytes()
    path.write_bytes(whole[:-2000])
    with pytest.raises(SourceError, match=r"truncated: it should have|decoding broke"):
        list(VideoSource(path))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "flv"])
@pytest.mark.parametrize("tail", [b"\0" * 5000, b"SEFT" * 300, b"mdat" + b"\xff" * 90])
def test_data_behind_the_end_of_a_video_does_not_count(
    tmp_path: Path, suffix: str, tail: bytes
) -> None:
    """Phones append their own notes; dash cameras reserve space in advance."""
    path = make_video(tmp_path / f"a.{suffix}", [40 * i for i in range(20)])
    path.write_bytes(path.read_bytes() + tail)
    assert len(list(VideoSource(path))) == 20


@pytest.mark.parametrize(
    ("pixel", "width"), [(Fraction(4, 3), 85), (Fraction(16, 15), 68), (Fraction(8, 9), 57)]
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_pixels_that_are_not_square_are_made_so(
    tmp_path: Path,
    suffix: str,
    pixel: Fraction,
    width: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """HDV (1440x1080), PAL and NTSC."""
    path = make_video(tmp_path / f"a.{suffix}", [0, 40, 80], pixel=pixel)
    with caplog.at_level(logging.WARNING):
        shapes = [frame.image.shape for frame in VideoSource(path)]
    assert shapes == [(48, width, 3)] * 3
    assert caplog.text.count("pixels are not square") == 1
    # A calibration of the stored pixels carries it in fx and fy; one of the shown ones does not.
    for size in (SIZE, (width, 48)):
        camera = Camera.from_field_of_view(*size, 1.0)
        frame = next(iter(VideoSource(path, camera=camera)))
        assert frame.camera is camera
        assert frame.image.shape[1::-1] == size


def test_pixels_that_are_nearly_square_or_absurd_are_left(tmp_path: Path) -> None:
    for index, pixel in enumerate((Fraction(1, 1), Fraction(200, 201), Fraction(60, 1))):
        path = make_video(tmp_path / f"{index}.mkv", [0, 40], pixel=pixel)
        assert next(iter(VideoSource(path))).image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x1a\x45\xdf\xa3"),
        lambda path: path.write_bytes(b"RIFF\0\0\0\0AVI LIST"),
        lambda path: path.write_bytes(b"\0\0\0\x18ftypmp42"),
        lambda path: path.write_bytes(b"FLV\x01"),
        lambda path: path.write_bytes(b"nothing at all"),
    ],
)
def test_a_header_without_a_size_announces_none_or_its_own(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "a"
    write(path)
    announced_size(path)  # no crash
