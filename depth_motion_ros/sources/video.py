"""Video files of any container and codec that FFmpeg knows, through PyAV."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.base import SECOND, Source, check_rate, stamp_of_index
from depth_motion_ros.sources.containers import announced_size
from depth_motion_ros.sources.frame import Frame, SourceError

_log = logging.getLogger(__name__)

# Below, fx and fy differ by less than calibrations do; above, what the file says is no picture.
_NEARLY_SQUARE, _MAX_SHAPE = 0.01, 4

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".wmv", ".flv", ".ogv", ".3gp", ".h264", ".h265", ".hevc", ".mjpeg", ".mjpg", ".gif"),
)


class VideoSource(Source):
    """The film in a file, not its cover picture; each iteration decodes it from the start.

    Stamps are the presentation times of the file, in ns; where it has none, or where ``rate``
    (frames per second) is given, they come from the frame's index. A quarter-turn in the file's
    metadata (a phone held upright) is applied. Pixels that are not square are made so, by
    stretching the width.
    camera: intrinsics of the frames as handed out, where the caller knows them. Where they fit the
        stored pixels, these are not made square: fx and fy differ instead.

    Raises SourceError where the file cannot be opened or holds no video. Where decoding breaks
    or the file was cut off, all frames before that are handed out first.
    """

    def __init__(
        self, path: str | Path, *, rate: float | None = None, camera: Camera | None = None
    ) -> None:
        self.path = Path(path)
        self.camera = camera
        self._av = _import_av()
        self._fixed_rate = check_rate(rate)
        self._reported_shape = False
        with self._open() as container:
            stream = _film(container)
            self._average_rate = float(stream.average_rate) if stream.average_rate else None
            super().__init__(self.path.name, rate or self._average_rate, _length(stream))
            self._end = _end_of(container, stream)

    def __iter__(self) -> Iterator[Frame]:
        with self._open() as container:
            stream = _film(container)
            stream.thread_type = "AUTO"
            pixel = _pixel_shape(stream)
            count, end = 0, None
            times = _Clock(has_presentation_times=container.format.name != "avi")
            try:
                for packet in container.demux(stream):
                    end = max(filter(None, (end, times.add(packet))), default=None)
                    for picture in packet.decode():
                        stamp = times.of(picture)
                        if stamp is None or self._fixed_rate is not None:
                            stamp = stamp_of_index(count, self.rate)
                        yield self._frame(picture, stamp, pixel)
                        count += 1
            except (self._av.FFmpegError, EOFError) as error:
                raise SourceError(
                    f"{self.path}: decoding broke after {count} frames: {error}"
                ) from error
        self._check_end(count, end)

    def _open(self) -> Any:
        if not self.path.is_file():
            raise SourceError(f"{self.path}: no such file")
        try:
            container = self._av.open(str(self.path))
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(
                f"{self.path}: cannot open as a video ({self.path.stat().st_size} bytes): {error}"
            ) from error
        if not container.streams.video:
            container.close()
            raise SourceError(f"{self.path}: the file holds no video stream, or was cut off")
        return container

    def _frame(self, picture: Any, stamp: int, pixel: Fraction) -> Frame:
        image: NDArray[np.uint8] = picture.to_ndarray(format="rgb24")
        turns = round(getattr(picture, "rotation", 0) / 90) % 4
        size = image.shape[1::-1] if turns % 2 == 0 else image.shape[:2]
        if pixel != 1 and (self.camera is None or self.camera.size != size):
            image = self._made_square(image, pixel)
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
        if self.camera is not None and image.shape[1::-1] != self.camera.size:
            raise SourceError(
                f"{self.path}: frames are {image.shape[1]}x{image.shape[0]}, the given camera is "
                f"for {self.camera.width}x{self.camera.height}"
            )
        return Frame(stamp, image, self.camera)

    def _made_square(self, image: NDArray[np.uint8], pixel: Fraction) -> NDArray[np.uint8]:
        height, width = image.shape[:2]
        square = round(width * pixel)
        if not self._reported_shape:
            self._reported_shape = True
            _log.warning(
                "%s: its pixels are not square (%d:%d): images of %dx%d are stretched to %dx%d",
                *(self.path, pixel.numerator, pixel.denominator, width, height, square, height),
            )
        return np.asarray(cv2.resize(image, (square, height)), np.uint8)

    def _check_end(self, count: int, end: int | None) -> None:
        """Many containers end without an error where a copy or a recording was cut off."""
        if count == 0:
            raise SourceError(f"{self.path}: no frame can be decoded")
        announced, actual = announced_size(self.path), self.path.stat().st_size
        if announced is not None and announced > actual:
            raise SourceError(
                f"{self.path}: the file is truncated: it should have {announced} bytes and has "
                f"{actual}; it ends after {count} frames. Copy it again, or use it as it is by "
                "copying its streams into a new file (ffmpeg -i OLD -c copy NEW)"
            )
        if self._end is None or end is None:
            return
        missing = (self._end - end) / SECOND
        # Encoders that reorder drop one or two pictures at the end.
        if missing > 0.5 + 3 / (self._average_rate or 25):
            _log.warning(
                "%s: ends %.1f s before its announced end, after %d frames: the last one is shown "
                "for that long, or some are missing",
                *(self.path, missing, count),
            )


class _Clock:
    """Stamps of pictures in ns, from the packets that they come in.

    has_presentation_times: an AVI has none, and what FFmpeg makes of them steps back and forth
    where pictures refer to later ones. There the n-th picture has the time of the n-th packet.
    """

    def __init__(self, has_presentation_times: bool) -> None:
        self._waiting: deque[int] | None = None if has_presentation_times else deque()

    def add(self, packet: Any) -> int | None:
        """Returns when the packet's picture ends; None where that is not known."""
        if self._waiting is not None and packet.size and packet.dts is not None:
            self._waiting.append(_nanoseconds(packet.dts, packet))
        if packet.pts is None or packet.time_base is None:
            return None
        return _nanoseconds(packet.pts + (packet.duration or 0), packet)

    def of(self, picture: Any) -> int | None:
        """Presentation time of the next picture; None where there is none."""
        if self._waiting:
            return self._waiting.popleft()
        if picture.pts is None or picture.time_base is None:
            return None
        return _nanoseconds(picture.pts, picture)


def _film(container: Any) -> Any:
    """FFmpeg's choice of the video stream: many pictures before one, the default before others."""
    return container.streams.best("video") or container.streams.video[0]


def _length(stream: Any) -> int | None:
    """Number of pictures, where the file says so and hides none of them (edit lists)."""
    if stream.frames and stream.duration and stream.time_base and stream.average_rate:
        by_time = stream.duration * stream.time_base * stream.average_rate
        if abs(stream.frames - by_time) > 2:
            return None
    return stream.frames or None


def _pixel_shape(stream: Any) -> Fraction:
    """Width of a pixel over its height; 1 where that is unknown, nearly 1, or cannot be."""
    shape = Fraction(stream.sample_aspect_ratio or 1)
    if shape <= 0 or abs(shape - 1) < _NEARLY_SQUARE or not 1 / _MAX_SHAPE <= shape <= _MAX_SHAPE:
        return Fraction(1)
    return shape


def _nanoseconds(time: int, of: Any) -> int:
    return round(time * Fraction(of.time_base) * SECOND)


def _end_of(container: Any, stream: Any) -> int | None:
    """Announced end of the video in ns, None where the file does not say."""
    if stream.duration is not None and stream.time_base is not None:
        start = (stream.start_time or 0) * stream.time_base
        return round((start + stream.duration * Fraction(stream.time_base)) * SECOND)
    if container.duration is not None and len(container.streams) == 1:
        return int(container.duration) * 1000  # from us
    return None


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise SourceError("reading videos needs PyAV: pip install av") from error
    return av
