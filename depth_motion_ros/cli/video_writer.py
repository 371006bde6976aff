"""Writes RGB pictures as an mp4 video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

_CODECS = ("libx264", "mpeg4")
_BIT_RATE = 2_500_000
_TICKS_PER_S = 1000  # presentation times are in ms: frames keep the spacing of their stamps


class VideoWriter:
    """target: a path, or a file in memory. frames: how many were written."""

    def __init__(self, target: Path | BinaryIO) -> None:
        file: Any = str(target) if isinstance(target, Path) else target
        self._container = av.open(file, "w", format="mp4")
        self._stream: Any = None
        self._last = -1
        self.frames = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, picture: NDArray[np.uint8], seconds: float) -> None:
        """picture: (H, W, 3) RGB, H and W even, of one size. seconds: when it is shown."""
        if self._stream is None:
            self._stream = self._new_stream(*picture.shape[:2])
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.time_base = Fraction(1, _TICKS_PER_S)
        frame.pts = self._last = max(self._last + 1, round(seconds * _TICKS_PER_S))
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()

    def _new_stream(self, height: int, width: int) -> Any:
        codec = next(name for name in _CODECS if name in av.codecs_available)
        stream: Any = self._container.add_stream(codec, rate=30)
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = _BIT_RATE
        stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        return stream
