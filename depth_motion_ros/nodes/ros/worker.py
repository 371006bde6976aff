"""One thread that serves the newest item and never lets one wait behind another."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class LatestWorker(Generic[T]):
    """Serves the item offered last; one that was replaced before it was served is dropped.

    serve: called on the worker's thread with one item at a time.
    on_error: called on the worker's thread with what ``serve`` raised; the worker continues.
    niceness: of its thread, where threads have one (Linux): above 0, others go first.

    ``call`` runs an action on the same thread between two items, so that what the items use
    needs no lock. The worker can be started again after it was stopped.
    """

    def __init__(
        self,
        serve: Callable[[T], None],
        on_error: Callable[[Exception], None],
        name: str = "depth_motion_worker",
        niceness: int = 0,
    ) -> None:
        self._serve = serve
        self._on_error = on_error
        self._name = name
        self._niceness = niceness
        self._wake = threading.Condition()
        self._item: T | None = None
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._running = False
        self._thread: threading.Thread | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many items were replaced, or left over at a stop, before they were served."""
        with self._wake:
            return self._dropped

    @property
    def running(self) -> bool:
        with self._wake:
            return self._running

    def start(self) -> None:
        with self._wake:
            if self._running:
                raise RuntimeError(f"worker {self._name} is already running")
            self._running = True
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Finish the item in hand, run the calls that wait, and end the thread.

        Returns False when the thread is still busy after ``timeout`` seconds.
        """
        with self._wake:
            self._running = False
            if self._item is not None:
                self._item = None
                self._dropped += 1
            self._wake.notify()
        if self._thread is None or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def offer(self, item: T) -> None:
        """Put an item into the slot. While stopped it counts as dropped."""
        with self._wake:
            if not self._running:
                self._dropped += 1
                return
            if self._item is not None:
                self._dropped += 1
            self._item = item
            self._wake.notify()

    def call(self, action: Callable[[], R]) -> Future[R]:
        """Run ``action`` between two items; at once, on this thread, while stopped."""
        future: Future[R] = Future()
        with self._wake:
            if self._running:
                self._calls.append((action, future))
                self._wake.notify()
                return future
        _fulfil(action, future)
        return future

    def _run(self) -> None:
        if self._niceness and sys.platform == "linux":
            # By the identity of a thread this is of that thread alone there.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while True:
            with self._wake:
                while self._running and self._item is None and not self._calls:
                    self._wake.wait()
                calls, self._calls = self._calls, deque()
                item, self._item = self._item, None
                stopping = not self._running
            for action, future in calls:
                _fulfil(action, future)
            if item is not None:
                try:
                    self._serve(item)
                except Exception as error:
                    self._on_error(error)
            if stopping:
                return


def _fulfil(action: Callable[[], R], future: Future[R]) -> None:
    try:
        future.set_result(action())
    except Exception as error:
        future.set_exception(error)
