"""Progress of long work, reported between its pieces; the receiver may end the work there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from depth_motion_ros.adaptation.errors import AdaptationError

Listener = Callable[[str, int, int], None]
"""``listener(work, done, total)``; what it raises ends the work."""

_listener: ContextVar[Listener | None] = ContextVar("adaptation_progress", default=None)


class AdaptationInterruptedError(AdaptationError):
    """Long work was ended because its program ends; nothing is wrong."""


@contextmanager
def watched(listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of the work that is done meanwhile, on this thread."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def tell_progress(work: str, done: int, total: int) -> None:
    """Between two pieces of work."""
    listener = _listener.get()
    if listener is not None:
        listener(work, done, total)
