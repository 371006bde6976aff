"""What waits for the node ends when it is active, whichever of the two starts first."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from support.ros_prefix import SMALL

from depth_motion_ros.launching.replay import WAIT

if TYPE_CHECKING:
    from support.ros_harness import Ros

pytest_plugins = ["support.ros_harness"]


def waiting(ros: Ros, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", WAIT, *words], env=ros.environment, stderr=subprocess.PIPE
    )


def test_it_ends_when_the_node_is_activated_and_at_once_when_it_is(ros: Ros) -> None:
    early = waiting(ros, "/front/depth_motion")
    node = ros.start("depth_motion_node", {**SMALL, "autostart": False}, ("-r", "__ns:=/front"))
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert early.poll() is None
        request = ChangeState.Request(transition=Transition(id=transition))
        name = "/front/depth_motion/change_state"
        assert ros.service(ChangeState, name, request).success, node.log
    assert early.wait(100) == 0
    assert waiting(ros, "/front/depth_motion").wait(100) == 0


def test_it_can_be_interrupted(ros: Ros) -> None:
    process = waiting(ros, "/nobody")
    ros.wait(lambda: "wait_until_active" in ros.node.get_node_names(), "it to wait", patience=100)
    process.send_signal(signal.SIGINT)
    assert process.wait(100) == 1


@pytest.mark.parametrize("words", [[], ["depth_motion"], ["/a", "/b"]])
def test_it_says_what_it_needs(ros: Ros, words: list[str]) -> None:
    process = waiting(ros, *words)
    assert process.wait(100) == 2
    assert process.stderr is not None
    assert b"full name of one lifecycle node" in process.stderr.read()
