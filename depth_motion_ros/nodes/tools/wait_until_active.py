"""Waits until a lifecycle node is active: ``python -m ... /depth_motion``.

It asks the node for its state and does not listen for its transitions, of which one that happened
before both sides have found each other is never heard.
"""

from __future__ import annotations

import sys
from typing import Any

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

_PERIOD = 0.2  # s
# s. Longer than any discovery: a request that has no answer by then is sent anew.
_PATIENCE = 5.0
_SAY_AFTER = 10.0  # s


def main(args: list[str] | None = None) -> int:
    """Entry point. Returns 0 when the node is active, 1 when it was interrupted before."""
    words = remove_ros_args(sys.argv if args is None else args)[1:]
    if len(words) != 1 or not words[0].startswith("/"):
        print("give the full name of one lifecycle node, such as /depth_motion", file=sys.stderr)
        return 2
    rclpy.init(args=args)
    node = rclpy.create_node("wait_until_active")
    try:
        wait(node, words[0])
        return 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def wait(node: Node, name: str) -> None:
    """Returns when the node of this full name is active."""
    client: Any = node.create_client(GetState, f"{name}/get_state")
    waited, said = 0.0, False
    while True:
        if client.wait_for_service(_PERIOD):
            answer = client.call_async(GetState.Request())
            rclpy.spin_until_future_complete(node, answer, timeout_sec=_PATIENCE)
            done = answer.result() if answer.done() else None
            if done is not None and done.current_state.id == State.PRIMARY_STATE_ACTIVE:
                return
            rclpy.spin_once(node, timeout_sec=_PERIOD)
        if not node.context.ok():
            raise ExternalShutdownException
        waited += _PERIOD
        if waited > _SAY_AFTER and not said:
            said = True
            node.get_logger().info(f"{name} is not active yet: waiting for it")


if __name__ == "__main__":
    sys.exit(main())
