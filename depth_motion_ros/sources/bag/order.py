"""Recorded messages in order of the time in their headers."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from depth_motion_ros.sources.base import SECOND

# A header of 0 s is a time, not one that was never filled in, where the next message is no further
# from it than this (ns): simulations begin there.
_NEAR_ZERO = 10 * SECOND
_MOST_UNSTAMPED = 16
# How far messages may be out of order: recorded within so long (ns), so many, of so many bytes.
LONGEST_WAIT = 3 * SECOND
_MOST_WAITING, _MOST_BYTES = 64, 256_000_000

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Stamped(Generic[T]):
    """A message with its time and the time of its recording, ns."""

    stamp: int
    recorded: int
    message: T


class HeaderStamps(Generic[T]):
    """The times of one topic, where a header may have none.

    A message without a time waits for the next that has one, and gets the time of its recording by
    the same clock. Where no message has one, it is the time of recording itself.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, T]] = []
        self._last: int | None = None
        self._ahead = 0  # of the time of recording, ns
        self._gave_up = False

    def add(self, stamp: int, recorded: int, message: T) -> list[Stamped[T]]:
        """What is known by now, in order. stamp: ns of the header."""
        if stamp:
            known = [*self._resolved(stamp, recorded), Stamped(stamp, recorded, message)]
            self._last, self._ahead, self._gave_up = stamp, stamp - recorded, False
            return known
        self._waiting.append((recorded, message))
        if self._gave_up or len(self._waiting) > _MOST_UNSTAMPED:
            self._gave_up = True
            return self.flush()
        return []

    def flush(self) -> list[Stamped[T]]:
        """What still waits, at the end."""
        waiting, self._waiting = self._waiting, []
        return [Stamped(at + self._ahead, at, message) for at, message in waiting]

    def _resolved(self, following: int, recorded: int) -> list[Stamped[T]]:
        begins = self._last is None or following < self._last
        if begins and 0 < following <= _NEAR_ZERO:
            waiting, self._waiting = self._waiting, []
            return [Stamped(0, at, message) for at, message in waiting]
        self._ahead = following - recorded
        return self.flush()


class InOrder(Generic[T]):
    """Puts messages of one topic that arrive a little out of order into the order of time.

    has_stamps: False = their headers do not tell the time, that of recording serves.

    Where time goes back by more than the messages that wait, the clock was set back or the
    recording begins anew: the order is that of recording there.
    """

    def __init__(self, has_stamps: bool = True) -> None:
        self._stamps = HeaderStamps[tuple[T, int]]() if has_stamps else None
        self._waiting: list[tuple[int, int, int, Stamped[T]]] = []
        self._bytes = self._count = 0
        self._given: int | None = None

    def add(self, stamp: int, recorded: int, message: T, size: int) -> Iterator[Stamped[T]]:
        """What has become due. stamp: ns of the header. size: bytes of the message."""
        if self._stamps is None:
            yield from self._put(Stamped(recorded, recorded, (message, size)))
            return
        for item in self._stamps.add(stamp, recorded, (message, size)):
            yield from self._put(item)

    def flush(self) -> Iterator[Stamped[T]]:
        """All that waits."""
        for item in self._stamps.flush() if self._stamps is not None else ():
            yield from self._put(item)
        while self._waiting:
            yield self._pop()

    def _put(self, item: Stamped[tuple[T, int]]) -> Iterator[Stamped[T]]:
        if self._given is not None and item.stamp < self._given:
            while self._waiting:
                yield self._pop()
            self._given = None
        message, size = item.message
        self._count += 1
        self._bytes += size
        stamped = Stamped(item.stamp, item.recorded, message)
        heapq.heappush(self._waiting, (item.stamp, self._count, size, stamped))
        while self._is_full(item.recorded):
            yield self._pop()

    def _is_full(self, now: int) -> bool:
        if len(self._waiting) < 2:
            return False
        waited = now - self._waiting[0][3].recorded
        return (
            len(self._waiting) > _MOST_WAITING or self._bytes > _MOST_BYTES or waited > LONGEST_WAIT
        )

    def _pop(self) -> Stamped[T]:
        stamp, _, size, item = heapq.heappop(self._waiting)
        self._bytes -= size
        self._given = stamp
        return item
