"""The worker serves the newest frame and counts what it had to drop."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from depth_motion_ros.nodes.ros.worker import LatestWorker

SOON = 60.0  # seconds; far above any scheduling delay, and only waited for when a test fails


class Gate:
    """A ``serve`` that can be held in the middle of an item."""

    def __init__(self) -> None:
        self.served: list[int] = []
        self.entered = threading.Semaphore(0)
        self.release = threading.Semaphore(0)

    def __call__(self, item: int) -> None:
        self.entered.release()
        assert self.release.acquire(timeout=SOON)
        self.served.append(item)


def test_a_slow_worker_serves_the_newest_and_counts_the_rest() -> None:
    gate = Gate()
    worker = LatestWorker(gate, on_error=lambda error: None)
    worker.start()
    worker.offer(1)
    assert gate.entered.acquire(timeout=SOON)
    for item in (2, 3, 4):
        worker.offer(item)
    gate.release.release(2)
    assert gate.entered.acquire(timeout=SOON)
    worker.stop(SOON)
    assert gate.served == [1, 4]
    assert worker.dropped == 2


def test_an_error_is_reported_and_the_next_item_served() -> None:
    errors: list[Exception] = []
    reported = threading.Event()
    served = threading.Event()

    def serve(item: int) -> None:
        if item == 1:
            raise ValueError("one")
        served.set()

    def on_error(error: Exception) -> None:
        errors.append(error)
        reported.set()

    worker = LatestWorker(serve, on_error)
    worker.start()
    worker.offer(1)
    assert reported.wait(SOON)
    worker.offer(2)
    assert served.wait(SOON)
    worker.stop(SOON)
    assert [str(error) for error in errors] == ["one"]


def test_a_call_runs_between_two_items_on_the_workers_thread() -> None:
    gate = Gate()
    worker = LatestWorker(gate, on_error=lambda error: None)
    worker.start()
    worker.offer(1)
    assert gate.entered.acquire(timeout=SOON)
    seen = worker.call(lambda: (list(gate.served), threading.current_thread().name))
    assert not seen.done()
    gate.release.release()
    assert seen.result(SOON) == ([1], "depth_motion_worker")
    worker.stop(SOON)


def test_a_failing_call_gives_its_error_to_the_caller() -> None:
    worker: LatestWorker[int] = LatestWorker(lambda item: None, on_error=lambda error: None)
    worker.start()

    def fail() -> None:
        raise KeyError("no")

    with pytest.raises(KeyError):
        worker.call(fail).result(SOON)
    worker.stop(SOON)


def test_a_stopped_worker_drops_items_runs_calls_and_starts_again() -> None:
    served = threading.Event()
    worker: LatestWorker[int] = LatestWorker(lambda item: served.set(), lambda error: None)
    worker.offer(1)
    assert worker.dropped == 1
    assert worker.call(lambda: 7).result(0) == 7
    for _ in range(2):
        served.clear()
        worker.start()
        worker.offer(2)
        assert served.wait(SOON)
        assert worker.stop(SOON)
    assert worker.dropped == 1


def test_stop_says_when_the_thread_is_still_busy() -> None:
    gate = Gate()
    worker = LatestWorker(gate, on_error=lambda error: None)
    worker.start()
    worker.offer(1)
    assert gate.entered.acquire(timeout=SOON)
    assert not worker.stop(0.01)
    gate.release.release()
    assert worker.stop(SOON)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
def test_a_nice_worker_lets_others_go_first_and_is_alone_in_that() -> None:
    seen: list[int] = []
    nice = LatestWorker(seen.append, on_error=lambda error: None, niceness=5)
    nice.start()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert nice.call(niceness).result(SOON) == 5
    assert niceness() == own
    nice.stop(SOON)
