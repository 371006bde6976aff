"""The end of a node's process, also while one of its threads is inside a library."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

if TYPE_CHECKING:
    from support.ros_harness import Ros

pytest_plugins = ["support.ros_harness"]

# A daemon thread computes without end, as one that renders does for seconds; PyTorch's library
# aborts a process that unloads it meanwhile.
BUSY = """
import sys, threading
import torch
from rclpy.node import Node
from depth_motion_ros.nodes.ros.shutdown import run_node

class Busy(Node):
    def __init__(self):
        super().__init__("busy")
        threading.Thread(target=self.compute, daemon=True).start()

    def compute(self):
        while True:
            torch.rand(2000, 2000) @ torch.rand(2000, 2000)

sys.exit(run_node(Busy, lambda node: print("begun", flush=True), lambda node: 3))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_thread_that_computes_does_not_abort_the_end(ros: Ros, number: signal.Signals) -> None:
    process = ros.start("busy", code=BUSY)
    ros.wait(lambda: "begun" in process.log, lambda: process.log, patience=120)
    assert process.end(number) == 3, process.log
    assert "terminate called" not in process.log
