"""Two stages of work on two threads: networks of a frame, and geometry of the previous one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

from depth_motion_ros.nodes.ros.worker import LatestWorker

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")


class StagedWorker(Generic[T, S]):
    """A ``LatestWorker`` whose items go through two stages, each on a thread of its own.

    While an item is in the second stage, the next may be in the first; never more than one is in
    each, they keep their order, and none is lost between the stages.

    first: gives what the second stage needs; None = the item is done. second: ends it. on_error:
    called with what either raised, on its thread; the worker continues.
    """

    def __init__(
        self,
        first: Callable[[T], S | None],
        second: Callable[[S], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._first = first
        self._second = second
        self._on_error = on_error
        self._front: LatestWorker[T] = LatestWorker(self._begin, on_error)
        self._back = ThreadPoolExecutor(1, thread_name_prefix="depth_motion_second")
        self._under_way: Future[None] | None = None

    @property
    def dropped(self) -> int:
        """See ``LatestWorker.dropped``."""
        return self._front.dropped

    @property
    def running(self) -> bool:
        return self._front.running

    def start(self) -> None:
        self._front.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Finish the items in hand, as ``LatestWorker.stop``. It can be started again."""
        if not self._front.stop(timeout):
            return False
        return self._settle(timeout)

    def close(self) -> None:
        """After ``stop``, and for good."""
        self._back.shutdown(wait=False)

    def offer(self, item: T) -> None:
        self._front.offer(item)

    def call(self, action: Callable[[], R]) -> Future[R]:
        """Run ``action`` while no item is in either stage; at once while stopped."""
        return self._front.call(lambda: self._settled(action))

    def call_first(self, action: Callable[[], R]) -> Future[R]:
        """Run ``action`` on the first stage's thread, beside what is in the second; at once while
        stopped."""
        return self._front.call(action)

    def call_second(self, action: Callable[[], R]) -> Future[R]:
        """Run ``action`` on the second stage's thread, after what is in it: nothing waits."""
        return self._back.submit(action)

    def _begin(self, item: T) -> None:
        begun = self._first(item)
        if begun is not None:
            self._settle()
            self._under_way = self._back.submit(self._end, begun)

    def _end(self, begun: S) -> None:
        try:
            self._second(begun)
        except Exception as error:
            self._on_error(error)

    def _settled(self, action: Callable[[], R]) -> R:
        self._settle()
        # What was called there has come before.
        self._back.submit(_nothing).result()
        return action()

    def _settle(self, timeout: float | None = None) -> bool:
        """Wait until the second stage is empty; False after ``timeout`` seconds without success."""
        if self._under_way is None:
            return True
        return not wait((self._under_way,), timeout).not_done


def _nothing() -> Any:
    return None
