"""A node that hears images as depth_motion_node does, and prints once a second how late they were.

Latency is the time from the stamp to the receipt of the whole message, as a Python object: the
camera must stamp with the clock of this machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage, Image

from depth_motion_ros.nodes.ros.messages import stamp_from_message
from depth_motion_ros.nodes.ros.qos import InputSubscription
from depth_motion_ros.nodes.ros.shutdown import run_node

_FOLLOW_S = 0.1
_REPORT_S = 1.0


class DeliveryReceiver(Node):
    """compressed: hear ``image/compressed`` in place of ``image``."""

    def __init__(self, compressed: bool) -> None:
        super().__init__("delivery_receiver")
        self._stamps: list[int] = []
        self._latencies: list[float] = []
        self._bytes = 0
        self._input = InputSubscription(
            self,
            CompressedImage if compressed else Image,
            "image/compressed" if compressed else "image",
            self._take,
            "auto",
            self._warn,
        )
        self.create_timer(_FOLLOW_S, self._input.follow)
        self.create_timer(_REPORT_S, self.report)

    def close(self) -> int:
        """The last word. Returns the exit status."""
        self.report()
        return 0

    def report(self) -> None:
        """What came since the last report: stamps in ns, latencies in ms, bytes."""
        line = {
            "stamps": self._stamps,
            "latency_ms": self._latencies,
            "bytes": self._bytes,
            "reliability": self._input.reliability,
        }
        self._stamps, self._latencies, self._bytes = [], [], 0
        print(json.dumps(line), flush=True)

    def _warn(self, cause: str, message: str) -> None:
        self.get_logger().warning(f"{cause}: {message}")

    def _take(self, message: Image | CompressedImage) -> None:
        now = time.time_ns()
        stamp = stamp_from_message(message.header.stamp)
        self._stamps.append(stamp)
        self._latencies.append(round((now - stamp) * 1e-6, 3))
        self._bytes += len(message.data)


def main(args: list[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compressed", action="store_true", help="hear image/compressed")
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])
    return run_node(
        lambda: DeliveryReceiver(given.compressed), lambda node: None, DeliveryReceiver.close, args
    )


if __name__ == "__main__":
    sys.exit(main())
