"""What all sources share: closing, naming, and stamps where a source has none of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType

from depth_motion_ros.sources.frame import Frame, SourceError

NOMINAL_RATE = 10.0
"""Frames per second assumed for images that carry no time at all."""

SECOND = 1_000_000_000
"""Nanoseconds in a second."""


class Source(ABC):
    """A FrameSource that can be closed, by hand or by ``with``.

    name: a short label for logs and reports.
    rate: nominal frames per second, None if unknown.
    length: number of frames, None if unknown or endless.
    """

    def __init__(self, name: str, rate: float | None = None, length: int | None = None) -> None:
        self.name = name
        self.rate = rate
        self.length = length

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of time, from the first."""

    def close(self) -> None:  # noqa: B027 (most sources hold nothing open)
        """Let go of files and devices; iterating afterwards is not allowed."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_rate(rate: float | None) -> float | None:
    """The rate itself; SourceError where it is not a positive number."""
    if rate is not None and not 0 < rate < float("inf"):
        raise SourceError(f"rate must be a positive number of frames per second, got {rate}")
    return rate


def stamp_of_index(index: int, rate: float | None) -> int:
    """Stamp in ns of frame ``index`` at ``rate``, or at NOMINAL_RATE where that is unknown."""
    return round(index * SECOND / (rate or NOMINAL_RATE))
