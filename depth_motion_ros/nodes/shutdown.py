"""Start a node, spin it, and leave cleanly on SIGINT, on SIGTERM or when its work is done."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import uninstall_signal_handlers

from depth_motion_ros.nodes.parameters import ParameterError
from depth_motion_ros.sources.frame import SourceError

CANNOT_START = 2
N = TypeVar("N", bound=Node)


def run_node(
    make_node: Callable[[], N],
    begin: Callable[[N], None],
    close: Callable[[N], int],
    args: list[str] | None = None,
) -> int:
    """Run one node on one executor thread until it is told to end. Returns the exit status.

    begin: called before the executor spins. close: ends the node's threads and returns its exit
    status; called exactly once if the node was made. A node whose work is done ends itself with
    ``rclpy.try_shutdown()``.
    """
    # No `with`: rclpy.init is no context manager on Humble.
    rclpy.init(args=args)
    node: N | None = None
    executor = SingleThreadedExecutor()
    status = 0
    try:
        node = make_node()
        executor.add_node(node)
        begin(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ParameterError, SourceError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        status = CANNOT_START
    except Exception:
        # A signal invalidates the context under whatever was running: that is no failure.
        if rclpy.ok():
            raise
    finally:
        _ignore_further_signals()
        if node is not None:
            status = close(node) or status
            executor.remove_node(node)
            node.destroy_node()
        executor.shutdown(timeout_sec=1.0)
        rclpy.try_shutdown()
    return status


def _ignore_further_signals() -> None:
    """A launched node gets Ctrl-C twice, from the terminal and from launch: once is enough."""
    uninstall_signal_handlers()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
