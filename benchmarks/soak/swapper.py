"""A node that has the weights of a running depth_motion_node replaced, again and again.

Before each swap it puts the next of the given weights files in the place of the file that the node
was given, and then calls ``reload_weights``. Each answer is one line of JSON on the output.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

from depth_motion_ros.nodes.ros.shutdown import run_node

SERVICE = "depth_motion/reload_weights"
_LOOK_S = 0.02


class SwapperNode(Node):
    """target: the file of the parameter ``weights``. versions: files to put there in turn.

    swaps: how many. period: seconds from one to the next; the first comes after half of that. A
    swap that takes longer than the period delays the next one: none is left out.
    """

    def __init__(self, target: Path, versions: list[Path], swaps: int, period: float) -> None:
        super().__init__("swapper")
        self._target = target
        self._versions = cycle(versions)
        self._left = swaps
        self._period = period
        self._due = time.monotonic() + period / 2
        self._busy = False
        self._client: Any = self.create_client(Trigger, SERVICE)
        self.create_timer(_LOOK_S, self._look)

    def _look(self) -> None:
        ready = self._left > 0 and not self._busy and time.monotonic() >= self._due
        if ready and self._client.service_is_ready():
            self._swap()

    def _swap(self) -> None:
        self._left -= 1
        self._due += self._period
        self._busy = True
        waiting = self._target.with_name(f".{self._target.name}.next")
        shutil.copyfile(next(self._versions), waiting)
        os.replace(waiting, self._target)
        begin = time.time_ns()
        answer = self._client.call_async(Trigger.Request())
        answer.add_done_callback(lambda done: self._tell(begin, done.result()))

    def _tell(self, begin: int, answer: Any) -> None:
        self._busy = False
        line = {
            "begin": begin,
            "end": time.time_ns(),
            "good": bool(answer.success),
            "message": answer.message,
        }
        print(json.dumps(line), flush=True)


def main(args: list[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="the file that the node was given")
    parser.add_argument("versions", type=Path, nargs="+", help="files to put there in turn")
    parser.add_argument("--swaps", type=int, required=True)
    parser.add_argument("--period", type=float, required=True, help="seconds between two swaps")
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])
    return run_node(
        lambda: SwapperNode(given.target, given.versions, given.swaps, given.period),
        lambda node: None,
        lambda node: 0,
        args,
    )


if __name__ == "__main__":
    sys.exit(main())
