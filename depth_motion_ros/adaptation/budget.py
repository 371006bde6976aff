"""How much of the machine the learner may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Time that may be saved up while nothing is spent: two seconds of the fraction.
_SAVED_SECONDS = 2.0
# Stamps of a steady camera are not steady to the last digit.
_ROUNDING = 1e-6


class Budget:
    """Processor time and steps per second, at most.

    max_cpu_fraction: processor seconds (of all threads of this process) per second of time.
    max_rate: spendings per second. clock, cpu: seconds of time and of processor time.

    Processor time is saved up while less is taken, for two seconds and no longer. What one
    spending takes too much is taken from those that follow, so that the mean keeps the limit.
    """

    def __init__(
        self,
        max_cpu_fraction: float,
        max_rate: float,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self.max_cpu_fraction, self.max_rate = max_cpu_fraction, max_rate
        self._clock, self._cpu = clock, cpu
        self._start = self._credited = clock()
        self._credit = max_cpu_fraction * _SAVED_SECONDS
        self._next_step = -float("inf")
        self.spent = 0.0

    def wait_time(self, is_step: bool = True) -> float:
        """Seconds until something may be spent again; 0 = now. is_step: max_rate counts too."""
        self._earn()
        owed = max(0.0, -self._credit) / self.max_cpu_fraction
        wait = max(owed, self._next_step - self._clock()) if is_step else owed
        return wait if wait > _ROUNDING else 0.0

    @contextmanager
    def spend(self, is_step: bool = True) -> Iterator[None]:
        """Do something expensive: its processor time is taken from the budget."""
        if is_step:
            self._next_step = self._clock() + 1 / self.max_rate
        before = self._cpu()
        try:
            yield
        finally:
            taken = self._cpu() - before
            self._earn()
            self._credit -= taken
            self.spent += taken

    def charge(self, seconds: float) -> None:
        """Take processor time that was spent elsewhere, such as on receiving the images."""
        self._earn()
        self._credit -= seconds
        self.spent += seconds

    @property
    def fraction(self) -> float:
        """Processor seconds per second, since the start."""
        return self.spent / max(self._clock() - self._start, 1e-9)

    def _earn(self) -> None:
        now = self._clock()
        earned = (now - self._credited) * self.max_cpu_fraction
        self._credit = min(self._credit + earned, self.max_cpu_fraction * _SAVED_SECONDS)
        self._credited = now
