"""Ctrl-C and SIGTERM in a training run: the first ends it in order, the second at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(BaseException):
    """The run ends because a signal asked for it. No Exception: nothing is to swallow it."""


class StopRequest:
    """Remembers that a signal asked the run to stop.

    While steps are being taken (``in_steps``) the request waits for the step in hand, after which
    the run writes a checkpoint. At any other time it raises TrainingInterrupted at once. From the
    first signal on the system's own handling is back: the second signal ends the process.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.in_steps = False

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals meanwhile. Only the main thread can: elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals over, also from a library that has put its own handlers there."""
        if threading.current_thread() is threading.main_thread() and not self.asked:
            for number in _SIGNALS:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if not self.in_steps:
            raise TrainingInterrupted
        _log.info("stopping: a checkpoint is written after this step; once more ends at once")
