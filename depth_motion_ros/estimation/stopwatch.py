"""Cost of a piece of work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Cost:
    """Time spent.

    wall: s by the clock.
    cpu: s of processor time of the thread, which is more reliable on a busy machine.
    """

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu)


NOTHING = Cost()


def reading() -> Cost:
    """Both clocks as they stand: the difference of two readings on one thread is a cost."""
    return Cost(time.perf_counter(), time.thread_time())


class Stopwatch:
    """``with Stopwatch() as watch: ...`` leaves what it cost in ``watch.cost``."""

    def __init__(self) -> None:
        self.cost = NOTHING

    def __enter__(self) -> Stopwatch:
        self._begin = reading()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cost = reading() - self._begin
