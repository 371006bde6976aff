"""The learner keeps its budget, whatever one step costs."""

from __future__ import annotations

import pytest

from depth_motion_ros.adaptation.budget import Budget


class Machine:
    """Time and processor time that pass when told."""

    def __init__(self) -> None:
        self.time = self.cpu = 0.0

    def budget(self, fraction: float, rate: float) -> Budget:
        return Budget(fraction, rate, lambda: self.time, lambda: self.cpu)

    def work(self, budget: Budget, seconds: float) -> None:
        with budget.spend():
            self.time += seconds
            self.cpu += seconds


def test_the_share_of_a_core_is_kept() -> None:
    machine = Machine()
    budget = machine.budget(0.25, 1000.0)
    while machine.time < 100.0:
        if budget.wait_time() > 0:
            machine.time += budget.wait_time()
        machine.work(budget, 0.3)
    # A quarter of a core; two seconds of credit (0.5 s) and one step (0.3 s) may come on top.
    assert budget.spent <= 0.25 * machine.time + 0.5 + 0.3
    assert budget.spent >= 0.24 * machine.time
    assert budget.fraction == pytest.approx(0.25, abs=0.02)


def test_steps_come_no_faster_than_the_rate() -> None:
    machine = Machine()
    budget = machine.budget(64.0, 4.0)
    starts = []
    while len(starts) < 5:
        machine.time += budget.wait_time()
        starts.append(machine.time)
        machine.work(budget, 0.01)
    assert starts == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_a_long_rest_does_not_pay_for_a_long_rush() -> None:
    machine = Machine()
    budget = machine.budget(0.5, 1000.0)
    machine.time += 3600.0
    before = machine.time
    while budget.wait_time() == 0:
        machine.work(budget, 0.1)
    # Two seconds at half a core are one second saved; while it is spent another is half earned.
    assert machine.time - before <= 2.2


def test_looking_does_not_wait_for_the_rate_of_steps() -> None:
    machine = Machine()
    budget = machine.budget(1.0, 0.1)
    machine.work(budget, 0.1)
    assert budget.wait_time() > 9
    assert budget.wait_time(is_step=False) == 0
