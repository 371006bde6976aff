"""What all sources share: closing, naming, and stamps where a source has none of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np

from depth_motion_ros.sources.frame import Frame, SourceError

NOMINAL_RATE = 10.0
"""Frames per second assumed for images that carry no time at all."""

SECOND = 1_000_000_000
"""Nanoseconds in a second."""

_HIGHEST_RATE = 1000.0  # Hz
_FIRST_DATE = 946_684_800 * SECOND  # the year 2000; no camera wrote stamps before


class Source(ABC):
    """A FrameSource that can be closed, by hand or by ``with``.

    name: a short label for logs and reports.
    rate: nominal frames per second, None if unknown.
    length: number of frames, None if unknown or endless.
    has_clock: whether the stamps are times of a clock, and not merely since the first frame.
    """

    has_clock = False

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


def rate_of(stamps: Sequence[int]) -> float | None:
    """Frames per second of these stamps (ns), by their median distance; None where they tell of
    none, or of more than any camera has."""
    steps = np.diff(np.unique(np.asarray(stamps, np.int64)))
    rate = SECOND / float(np.median(steps)) if len(steps) else 0.0
    return round(rate, 3) if 0.0 < rate <= _HIGHEST_RATE else None


def is_date(stamp: int) -> bool:
    """Whether a stamp (ns) is a time since 1970, and not since some beginning."""
    return stamp > _FIRST_DATE
