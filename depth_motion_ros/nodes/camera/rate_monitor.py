"""Whether a source keeps the rate that it announces."""

from __future__ import annotations

_WINDOW = 5.0  # s
# Of the announced rate; a camera in the dark, or a file's nominal rate, may be a little off.
_KEPT = 0.8
# Of the rate that was reported last: slower than this is news once more.
_WORSE = 0.5


class RateMonitor:
    """Counts what is published, and reports a rate that falls behind.

    announced: Hz; None = nothing was announced, and nothing is reported.
    """

    def __init__(self, announced: float | None) -> None:
        self._limit = _KEPT * (announced or 0.0)
        self._begun: float | None = None
        self._count = 0

    def count(self, now: float) -> float | None:
        """Take note of a frame published at ``now`` (s, of a steady clock).

        Returns the rate reached (Hz) where it is to be reported, else None.
        """
        if self._begun is None:
            self._begun = now
            return None
        self._count += 1
        elapsed = now - self._begun
        if elapsed < _WINDOW:
            return None
        reached = self._count / elapsed
        self._begun, self._count = now, 0
        if reached >= self._limit:
            return None
        self._limit = _WORSE * reached
        return reached
