"""A node that hears outputs and prints, once a second, what came and how late, as JSON.

It keeps nothing: it can run for days. Latency is the time from a message's stamp to its receipt:
the camera must stamp with the clock of this machine.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args

from depth_motion_ros.nodes.ros.shutdown import run_node
from depth_motion_ros.nodes.tools.recorder import message_class

QUEUE_DEPTH = 100
REPORT_S = 1.0


class SoakMonitor(Node):
    """topics: name → message type. What has no header is only counted."""

    def __init__(self, topics: dict[str, str]) -> None:
        super().__init__("soak_monitor")
        self._counts = dict.fromkeys(topics, 0)
        self._backwards = dict.fromkeys(topics, 0)
        self._last = dict.fromkeys(topics, 0)
        self._stamps: dict[str, list[int]] = {topic: [] for topic in topics}
        self._latencies: dict[str, list[float]] = {topic: [] for topic in topics}
        self._said: dict[str, dict[str, str]] = {"perception": {}, "adaptation": {}}
        qos = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        for topic, name in topics.items():
            kind: Any = message_class(name)
            has_header = "header" in kind.get_fields_and_field_types()
            take = self._take if has_header else self._count
            callback: Callable[[Any], None] = partial(take, topic)
            self.create_subscription(kind, topic, callback, qos, raw=True)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)
        self.create_timer(REPORT_S, self.report)

    def close(self) -> int:
        """The last word. Returns the exit status."""
        self.report()
        return 0

    def report(self) -> None:
        """Counts since the start; stamps in ns and latencies in ms since the last report."""
        latencies, stamps = self._latencies, self._stamps
        self._latencies = {topic: [] for topic in latencies}
        self._stamps = {topic: [] for topic in stamps}
        line = {
            "counts": self._counts,
            "backwards": self._backwards,
            "stamps": stamps,
            "latency_ms": latencies,
            "diagnostics": self._said["perception"],
            "learner": self._said["adaptation"],
        }
        print(json.dumps(line), flush=True)

    def _count(self, topic: str, data: bytes) -> None:
        self._counts[topic] += 1

    def _take(self, topic: str, data: bytes) -> None:
        now = time.time_ns()
        stamp = stamp_of(data)
        self._counts[topic] += 1
        self._latencies[topic].append(round((now - stamp) * 1e-6, 2))
        self._stamps[topic].append(stamp)
        if stamp <= self._last[topic]:
            self._backwards[topic] += 1
        self._last[topic] = stamp

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            who = status.name.rpartition(": ")[2]
            if who in self._said:
                said = {pair.key: pair.value for pair in status.values}
                said["level"] = str(int.from_bytes(status.level, "little"))
                self._said[who] = {**said, "message": status.message}


def stamp_of(data: bytes) -> int:
    """ns of the header with which a serialised (CDR) message begins."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def main(args: list[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC=TYPE", help="what to hear")
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])
    topics = dict(pair.split("=", 1) for pair in given.topics)
    return run_node(lambda: SoakMonitor(topics), lambda node: None, SoakMonitor.close, args)


if __name__ == "__main__":
    sys.exit(main())
