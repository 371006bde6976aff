"""timestamps.txt: one line an image, in whatever unit it was written."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from depth_motion_ros.sources.base import SECOND
from depth_motion_ros.sources.frame import SourceError

_UNITS = {"seconds": SECOND, "milliseconds": 1_000_000, "microseconds": 1000, "nanoseconds": 1}
# ns since 1970 of the years 2000 and 2100: what lies between is a date.
_FIRST_DATE, _LAST_DATE = 946_684_800 * SECOND, 4_102_444_800 * SECOND
# Distances of frames that are believed, ns: of seconds, the documented unit, and of the others.
_LONGEST_STEP = 10 * SECOND
_OTHER_STEPS = (SECOND // 200, 2 * SECOND)
_LONGEST_DATED_STEP = 3600 * SECOND

_log = logging.getLogger(__name__)


def read_stamps(path: Path, expected: int, rate: float | None = None) -> list[int]:
    """Stamps in ns from a file with one number a line; further columns are left unread.

    Seconds unless the numbers can only be ms, us or ns, which is logged. A first column that counts
    0, 1, 2, ... is a frame number: the second column is read, or without one the times are
    those of ``rate`` (frames per second). Lines that begin with # are comments.

    Raises SourceError where a line is no number, the count is not ``expected``, or the numbers are
    no times.
    """
    rows = [line.replace(",", " ").split() for line in _lines(path)]
    values = _column(path, rows, 0)
    if len(values) != expected:
        raise SourceError(f"{path}: {len(values)} stamps for {expected} images")
    if _counts(values, rows):
        if all(len(row) > 1 for row in rows):
            values = _column(path, rows, 1)
        elif rate is None:
            raise SourceError(
                f"{path}: the lines count {rows[0][0]}, {rows[1][0]}, {rows[2][0]}, ...: frame "
                "numbers, not times. Give the rate (frames per second) or remove the file; "
                "if these are seconds, write them as 0.0, 1.0, 2.0"
            )
        else:
            return [round(int(value - values[0]) * SECOND / rate) for value in values]
    unit = _unit(path, values)
    stamps = [int((value * _UNITS[unit]).to_integral_value()) for value in values]
    backwards = int((np.diff(stamps) <= 0).sum()) if len(stamps) > 1 else 0
    if backwards:
        _log.warning(
            "%s: %d of %d times are not later than the one before: are the lines in the order of "
            "the file names?",
            *(path, backwards, len(stamps)),
        )
    return stamps


def _unit(path: Path, values: Sequence[Decimal]) -> str:
    steps = np.diff(np.unique(np.array([float(value) for value in values])))
    step = float(np.median(steps)) if len(steps) else 0.0
    unit = _unit_of(float(values[0]), step) if values else "seconds"
    if unit is None:
        raise SourceError(
            f"{path}: the numbers begin with {values[0]} and rise by {step:g} from image to image: "
            "no camera's seconds, ms, us or ns. Write seconds, or remove the file and "
            "give the rate"
        )
    if unit != "seconds":
        _log.warning(
            "%s: read as %s, for the numbers rise by %g from image to image", path, unit, step
        )
    return unit


def _unit_of(first: float, step: float) -> str | None:
    for unit, length in _UNITS.items():
        is_date = _FIRST_DATE <= first * length <= _LAST_DATE
        if is_date and step * length <= _LONGEST_DATED_STEP:
            return unit
    if step * SECOND <= _LONGEST_STEP:
        return "seconds"
    shortest, longest = _OTHER_STEPS
    likely = (u for u, length in _UNITS.items() if shortest <= step * length < longest)
    return next(likely, None)


def _counts(values: Sequence[Decimal], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column is 0, 1, 2, ... (from anywhere): whole numbers, and no date."""
    if len(values) < 3 or not all(row[0].isdecimal() for row in rows):
        return False
    is_date = float(values[0]) * SECOND >= _FIRST_DATE
    return not is_date and all(b - a == 1 for a, b in itertools.pairwise(values))


def _column(path: Path, rows: Sequence[Sequence[str]], column: int) -> list[Decimal]:
    values = []
    for number, row in enumerate(rows, start=1):
        try:
            value = Decimal(row[column])
        except (InvalidOperation, ValueError) as error:
            raise SourceError(
                f"{path}: line {number} is not a number of seconds: {' '.join(row)!r}"
            ) from error
        if not value.is_finite() or abs(value) > _LAST_DATE:
            raise SourceError(
                f"{path}: line {number} is not a number of seconds: {' '.join(row)!r}"
            )
        values.append(value)
    return values


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot read: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
