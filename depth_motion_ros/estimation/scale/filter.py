"""A repeatedly measured scale, filtered over time."""

from __future__ import annotations

import math

# Random walk of the logarithm of a network's scale.
_LOG_SCALE_DRIFT_PER_SQRT_S = 0.02
# A measurement outside this gate is rejected...
_GATE_STDS = 3.0
# ...unless this many in a row are: then the filter was wrong and starts again.
_MAX_REFUSALS = 10
# Measurements before the first value is used: one bad frame must not set the scale.
_MIN_MEASUREMENTS = 3


class ScaleFilter:
    """A Kalman filter of ln(scale), whose errors are factors.

    value: None until there are enough measurements. variance: relative, NaN until then.
    """

    def __init__(self) -> None:
        self._log = 0.0
        self._variance = math.inf
        self._stamp: int | None = None
        self._count = self._refused = 0

    @property
    def value(self) -> float | None:
        return math.exp(self._log) if self._count >= _MIN_MEASUREMENTS else None

    @property
    def variance(self) -> float:
        return self._variance if self._count >= _MIN_MEASUREMENTS else math.nan

    def add(self, stamp: int, scale: float, variance: float) -> None:
        """One measurement. stamp: ns. scale: > 0. variance: relative."""
        measured = math.log(scale)
        if math.isinf(self._variance):
            self._begin(measured, variance)
        else:
            elapsed = 0.0 if self._stamp is None else max(0, stamp - self._stamp) * 1e-9
            self._variance += _LOG_SCALE_DRIFT_PER_SQRT_S**2 * elapsed
            surprise = measured - self._log
            total = self._variance + variance
            if surprise**2 > _GATE_STDS**2 * total:
                self._refused += 1
                if self._refused >= _MAX_REFUSALS:
                    self._begin(measured, variance)
            else:
                gain = self._variance / total
                self._log += gain * surprise
                self._variance *= 1 - gain
                self._refused = 0
                self._count += 1
        self._stamp = stamp

    def change_unit(self, factor: float, variance: float) -> None:
        """All lengths grow by a factor from now on: the scale shrinks by it.

        variance: relative, of a further unknown change of the unit.
        """
        self._log -= math.log(factor)
        self._variance += variance

    def _begin(self, measured: float, variance: float) -> None:
        # Once there is a value, there is always one.
        self._count = max(1, min(self._count, _MIN_MEASUREMENTS))
        self._log, self._variance, self._refused = measured, variance, 0
