"""Start a node, spin it, and leave cleanly on SIGINT, on SIGTERM or when its work is done.

rclpy's own handlers close the context at once, under whatever is running: publishing, logging
and waiting then fail here and there. Here a signal ends the spinning alone; node and threads are
closed while everything still works, the context last.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from depth_motion_ros.nodes.ros.arguments import explain_refusal
from depth_motion_ros.nodes.ros.text import to_ros
from depth_motion_ros.settings import SettingsError
from depth_motion_ros.sources.frame import SourceError

CANNOT_START = 2
# s. A thread that has left Python for a moment, as each frame does hundreds of times, waits so long
# for another that does not: Python's own 5 ms cost dropped frames whenever weights were read.
_SWITCH_INTERVAL = 0.5e-3
_LAST_PATIENCE = 1.0  # s
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
N = TypeVar("N", bound=Node)


def run_node(
    make_node: Callable[[], N],
    begin: Callable[[N], None],
    close: Callable[[N], int],
    args: list[str] | None = None,
) -> int:
    """Run one node on one executor thread until a signal ends it. Returns the exit status.

    begin: called before the executor spins. close: ends the node's threads and returns its exit
    status; called exactly once if the node was made, with the context open unless the node closed
    it. A node whose work is done ends itself with ``rclpy.try_shutdown()``.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL)
    before = threading.enumerate()
    # No `with`: rclpy.init is no context manager on Humble.
    words = [to_ros(word) for word in (sys.argv if args is None else args)]
    try:
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        print(f"cannot start: {explain_refusal(error, words)}", file=sys.stderr)
        return CANNOT_START
    node: N | None = None
    executor = SingleThreadedExecutor()
    status = 0
    with _Signals() as signals:
        try:
            node = make_node()
            executor.add_node(node)
            begin(node)
            with signals.awaited() as signalled:
                executor.spin_until_future_complete(signalled)
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        except (SettingsError, SourceError) as error:
            print(f"cannot start: {error}", file=sys.stderr)
            status = CANNOT_START
        finally:
            signals.ignore()
            if node is not None:
                status = close(node) or status
                executor.remove_node(node)
                node.destroy_node()
            executor.shutdown(timeout_sec=1.0)
            rclpy.try_shutdown()
    if _busy_threads(before):
        # Python's own end would take its libraries from under a thread that is still inside one
        # (rendering, a network, a read): the process would be aborted. Everything is closed.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _busy_threads(before: Collection[threading.Thread]) -> list[threading.Thread]:
    """Daemon threads, others than those ``before``, that do not end within a short while."""
    end = time.monotonic() + _LAST_PATIENCE
    ours = [thread for thread in threading.enumerate() if thread.daemon and thread not in before]
    for thread in ours:
        thread.join(max(0.0, end - time.monotonic()))
    return [thread for thread in ours if thread.is_alive()]


class _Signals:
    """SIGINT and SIGTERM: KeyboardInterrupt, or, while ``awaited``, a future that is fulfilled.

    An executor waits outside of Python, where Python's handlers do not run: a thread gets
    the signal through the wake-up descriptor and wakes it.
    """

    def __enter__(self) -> _Signals:
        self._signalled: Future[None] | None = None
        self._ears, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        self._wakeup = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        signal.set_wakeup_fd(self._wakeup)
        self._mouth.close()
        self._thread.join()
        self._ears.close()

    @contextmanager
    def awaited(self) -> Iterator[Future[None]]:
        """A future that the next signal fulfils."""
        signalled: Future[None] = Future()
        self._signalled = signalled
        yield signalled

    def ignore(self) -> None:
        """A launched node gets Ctrl-C twice, from the terminal and from launch: once is enough."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled is None:
            raise KeyboardInterrupt

    def _listen(self) -> None:
        while self._ears.recv(1):
            signalled = self._signalled
            if signalled is not None and not signalled.done():
                signalled.set_result(None)
