"""A node that hears topics and prints, once a second, what came and how late, as JSON.

It keeps nothing: it can run for days. Latency is the time from a message's stamp to its receipt:
the camera must stamp with the clock of this machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args

from depth_motion_ros.cli.demo.recording import stamp_of
from depth_motion_ros.nodes.ros.messages import stamp_from_message
from depth_motion_ros.nodes.ros.qos import InputSubscription
from depth_motion_ros.nodes.ros.shutdown import run_node
from depth_motion_ros.nodes.tools.recorder import message_class

QUEUE_DEPTH = 100
REPORT_S = 1.0
FOLLOW_S = 0.1


class ListenerNode(Node):
    """topics: name → message type. What has no header is only counted.

    as_input: subscribe as depth_motion_node does to its images, best effort or reliable as the
    publisher offers; latency is then to the whole message as a Python object. Otherwise
    reliable, and to the bytes.
    """

    def __init__(self, topics: dict[str, str], as_input: bool) -> None:
        super().__init__("listener")
        self._counts = dict.fromkeys(topics, 0)
        self._backwards = dict.fromkeys(topics, 0)
        self._last = dict.fromkeys(topics, 0)
        self._bytes = dict.fromkeys(topics, 0)
        self._stamps: dict[str, list[int]] = {topic: [] for topic in topics}
        self._latencies: dict[str, list[float]] = {topic: [] for topic in topics}
        self._diagnostics: dict[str, dict[str, str]] = {"perception": {}, "adaptation": {}}
        self._inputs: list[InputSubscription] = []
        for topic, name in topics.items():
            kind: Any = message_class(name)
            if as_input:
                self._hear_as_input(topic, kind)
            else:
                self._hear(topic, kind)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)
        self.create_timer(REPORT_S, self.report)

    def close(self) -> int:
        """Report what is left. Returns the exit status."""
        self.report()
        return 0

    def report(self) -> None:
        """Counts and bytes since the start; stamps in ns and latencies in ms since the last
        report; the newest diagnostics of each node."""
        latencies, stamps = self._latencies, self._stamps
        self._latencies = {topic: [] for topic in latencies}
        self._stamps = {topic: [] for topic in stamps}
        line = {
            "counts": self._counts,
            "backwards": self._backwards,
            "bytes": self._bytes,
            "stamps": stamps,
            "latency_ms": latencies,
            "diagnostics": self._diagnostics,
        }
        print(json.dumps(line), flush=True)

    def _hear(self, topic: str, kind: Any) -> None:
        has_header = "header" in kind.get_fields_and_field_types()

        def take(data: bytes) -> None:
            now = time.time_ns()
            self._take(topic, len(data), stamp_of(data) if has_header else None, now)

        qos = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(kind, topic, take, qos, raw=True)

    def _hear_as_input(self, topic: str, kind: Any) -> None:
        def take(message: Any) -> None:
            now = time.time_ns()
            self._take(topic, len(message.data), stamp_from_message(message.header.stamp), now)

        heard = InputSubscription(self, kind, topic, take, "auto", self._warn)
        self.create_timer(FOLLOW_S, heard.follow)
        self._inputs.append(heard)

    def _warn(self, cause: str, message: str) -> None:
        self.get_logger().warning(f"{cause}: {message}")

    def _take(self, topic: str, size: int, stamp: int | None, now: int) -> None:
        self._counts[topic] += 1
        self._bytes[topic] += size
        if stamp is None:
            return
        self._latencies[topic].append(round((now - stamp) * 1e-6, 2))
        self._stamps[topic].append(stamp)
        if stamp <= self._last[topic]:
            self._backwards[topic] += 1
        self._last[topic] = stamp

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            said = {pair.key: pair.value for pair in status.values}
            said["level"] = str(int.from_bytes(status.level, "little"))
            name = status.name.rpartition(": ")[2]
            self._diagnostics[name] = {**said, "message": status.message}


def main(args: list[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC=TYPE", help="what to hear")
    parser.add_argument("--as-input", action="store_true", help="as depth_motion_node does")
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])
    topics = dict(pair.split("=", 1) for pair in given.topics)
    return run_node(
        lambda: ListenerNode(topics, given.as_input), lambda node: None, ListenerNode.close, args
    )


if __name__ == "__main__":
    sys.exit(main())
