"""Video files of any container and codec that FFmpeg knows, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.base import SECOND, Source, check_rate, stamp_of_index
from depth_motion_ros.sources.frame import Frame, SourceError

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts"),
    *(".wmv", ".flv", ".ogv", ".3gp", ".h264", ".h265", ".hevc", ".mjpeg", ".mjpg", ".gif"),
)


class VideoSource(Source):
    """The first video stream of a file; each iteration decodes it from the start.

    Stamps are the presentation times of the file, in ns; where it has none, or where ``rate``
    (frames per second) is given, they come from the frame's index. A quarter-turn in the file's
    metadata (a phone held upright) is applied.
    camera: intrinsics of the frames as handed out, where the caller knows them.

    Raises SourceError where the file cannot be opened or holds no video. Where decoding breaks
    or the file ends early, all frames before that are handed out first.
    """

    def __init__(
        self, path: str | Path, *, rate: float | None = None, camera: Camera | None = None
    ) -> None:
        self.path = Path(path)
        self.camera = camera
        self._av = _import_av()
        self._fixed_rate = check_rate(rate)
        with self._open() as container:
            stream = container.streams.video[0]
            self._average_rate = float(stream.average_rate) if stream.average_rate else None
            super().__init__(self.path.name, rate or self._average_rate, stream.frames or None)
            self._end = _end_of(container, stream)

    def __iter__(self) -> Iterator[Frame]:
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            count, last = 0, None
            try:
                for picture in container.decode(stream):
                    last = _time_of(picture)
                    stamp = last
                    if stamp is None or self._fixed_rate is not None:
                        stamp = stamp_of_index(count, self.rate)
                    yield self._frame(picture, stamp)
                    count += 1
            except (self._av.FFmpegError, EOFError) as error:
                raise SourceError(
                    f"{self.path}: decoding broke after {count} frames: {error}"
                ) from error
        self._check_end(count, last)

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

    def _frame(self, picture: Any, stamp: int) -> Frame:
        image: NDArray[np.uint8] = picture.to_ndarray(format="rgb24")
        turns = round(getattr(picture, "rotation", 0) / 90) % 4
        if turns:
            image = np.ascontiguousarray(np.rot90(image, turns))
        if self.camera is not None and image.shape[1::-1] != self.camera.size:
            raise SourceError(
                f"{self.path}: frames are {image.shape[1]}x{image.shape[0]}, the given camera is "
                f"for {self.camera.width}x{self.camera.height}"
            )
        return Frame(stamp, image, self.camera)

    def _check_end(self, count: int, last: int | None) -> None:
        """Many containers end without an error where a copy or a recording was cut off.

        Time tells, not the announced number of frames: AVI counts empty ones.
        """
        if count == 0:
            raise SourceError(f"{self.path}: no frame can be decoded")
        if self._end is None or last is None:
            return
        missing = (self._end - last) / SECOND
        # The last frame lasts one interval; encoders that reorder drop one or two more.
        if missing > 0.5 + 3 / (self._average_rate or 25):
            raise SourceError(
                f"{self.path}: the file is truncated: it ends {missing:.1f} s before its "
                f"announced end, after {count} frames"
            )


def _time_of(picture: Any) -> int | None:
    """Presentation time in ns."""
    if picture.pts is None or picture.time_base is None:
        return None
    return round(picture.pts * Fraction(picture.time_base) * SECOND)


def _end_of(container: Any, stream: Any) -> int | None:
    """Announced end of the video in ns, None where the file does not say.

    Of the announced duration and the announced number of frames the later: FFmpeg shortens the
    duration of an AVI that was cut off.
    """
    ends = []
    if stream.duration is not None and stream.time_base is not None:
        ends.append(round(stream.duration * Fraction(stream.time_base) * SECOND))
    elif container.duration is not None and len(container.streams) == 1:
        ends.append(container.duration * 1000)  # from us
    if stream.frames and stream.average_rate:
        ends.append(round(stream.frames / Fraction(stream.average_rate) * SECOND))
    if not ends:
        return None
    start = (stream.start_time or 0) * Fraction(stream.time_base or 0) * SECOND
    return round(start) + max(ends)


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise SourceError("reading videos needs PyAV: pip install av") from error
    return av
