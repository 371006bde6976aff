"""Two stages run beside each other, in order, and nothing is lost between them."""

from __future__ import annotations

import threading

import pytest

from depth_motion_ros.nodes.ros.staged_worker import StagedWorker

SOON = 60.0  # seconds; far above any scheduling delay, and only waited for when a test fails


class Stages:
    """Two stages; the second can be held in the middle of an item."""

    def __init__(self) -> None:
        self.first: list[int] = []
        self.second: list[int] = []
        self.errors: list[Exception] = []
        self.begun = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.release = threading.Semaphore(0)
        self.worker = StagedWorker(self._infer, self._complete, self.errors.append)
        self.worker.start()

    def _infer(self, item: int) -> int | None:
        self.first.append(item)
        self.begun.release()
        if item < 0:
            raise ValueError(str(item))
        return 10 * item or None

    def _complete(self, begun: int) -> None:
        self.entered.release()
        assert self.release.acquire(timeout=SOON)
        self.second.append(begun)
        if begun == 70:
            raise ValueError("seven")

    def offer(self, item: int) -> None:
        """And wait until the first stage has it."""
        self.worker.offer(item)
        assert self.begun.acquire(timeout=SOON)

    def close(self) -> None:
        self.release.release(100)
        assert self.worker.stop(SOON)
        self.worker.close()


@pytest.fixture
def stages():
    made = Stages()
    yield made
    made.close()


def test_the_next_item_is_begun_while_the_last_is_ended(stages: Stages) -> None:
    stages.offer(1)
    assert stages.entered.acquire(timeout=SOON)
    stages.offer(2)
    assert stages.first == [1, 2]
    assert stages.second == []


def test_no_third_is_begun_and_the_newest_waits(stages: Stages) -> None:
    stages.offer(1)
    assert stages.entered.acquire(timeout=SOON)
    stages.offer(2)
    for item in (3, 4, 5):
        stages.worker.offer(item)
    assert not stages.begun.acquire(timeout=0.1)
    stages.release.release(3)
    assert stages.begun.acquire(timeout=SOON)
    assert stages.worker.stop(SOON)
    assert stages.second == [10, 20, 50]
    assert stages.worker.dropped == 2


def test_what_the_first_stage_ends_never_reaches_the_second(stages: Stages) -> None:
    stages.offer(0)
    stages.offer(3)
    stages.release.release()
    assert stages.worker.stop(SOON)
    assert stages.second == [30]


def test_a_call_waits_for_both_stages(stages: Stages) -> None:
    stages.offer(1)
    assert stages.entered.acquire(timeout=SOON)
    seen = stages.worker.call(lambda: list(stages.second))
    with pytest.raises(TimeoutError):
        seen.result(timeout=0.1)
    stages.release.release()
    assert seen.result(timeout=SOON) == [10]


def test_a_call_of_the_second_stage_waits_for_that_alone_and_keeps_the_order(
    stages: Stages,
) -> None:
    stages.offer(1)
    assert stages.entered.acquire(timeout=SOON)
    seen = stages.worker.call_second(lambda: list(stages.second))
    after = stages.worker.call(seen.done)
    stages.release.release()
    assert seen.result(timeout=SOON) == [10]
    assert after.result(timeout=SOON)


def test_a_call_of_the_first_stage_waits_for_nothing_behind_it(stages: Stages) -> None:
    stages.offer(1)
    assert stages.entered.acquire(timeout=SOON)
    assert stages.worker.call_first(lambda: list(stages.second)).result(timeout=SOON) == []


def test_errors_of_either_stage_are_told_and_survived(stages: Stages) -> None:
    stages.release.release(3)
    stages.offer(-1)
    stages.offer(7)
    stages.offer(8)
    assert stages.worker.stop(SOON)
    assert [str(error) for error in stages.errors] == ["-1", "seven"]
    assert stages.second == [70, 80]


def test_while_stopped_a_call_runs_at_once_and_it_can_be_started_again(stages: Stages) -> None:
    stages.worker.stop(SOON)
    assert not stages.worker.running
    assert stages.worker.call(lambda: "now").result(timeout=0) == "now"
    stages.worker.start()
    stages.release.release()
    stages.offer(4)
    assert stages.worker.stop(SOON)
    assert stages.second == [40]
