"""A node that subscribes to topics and writes them, as they come off the wire, into a bag (mcap).

``ros2 bag record`` does the same where it is installed; this serves homes that have only rclpy.
A bag's timestamps are the times of receipt, taken before anything is written, so that latencies
can be read from it afterwards. Once a second it prints one line of JSON with the counts so far.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.utilities import remove_ros_args

from depth_motion_ros.nodes.ros.qos import common_reliability
from depth_motion_ros.nodes.ros.shutdown import run_node
from depth_motion_ros.nodes.tools.bag_writer import BagWriter, TransformWriter, Write

# Deep enough that a burst waits here rather than be lost while another process is busy.
QUEUE_DEPTH = 30
LOOK_FOR_PUBLISHERS_S = 0.05
REPORT_S = 1.0
ODOMETRY, CAMERA_INFO = "odom", "depth/camera_info"


def message_class(name: str) -> type:
    """``sensor_msgs/msg/Image`` → the class. Raises ValueError naming what is wrong."""
    try:
        package, folder, message = name.split("/")
        found: type = getattr(importlib.import_module(f"{package}.{folder}"), message)
    except (ValueError, ImportError, AttributeError) as error:
        raise ValueError(f"no message type {name!r}: expected package/msg/Name ({error})") from None
    return found


class DemoRecorder(Node):
    """Subscribes to each topic as its publishers offer it, once there are some.

    topics: name as published → message type.
    """

    def __init__(
        self,
        bag: Path,
        topics: dict[str, str],
        camera_xyz: Sequence[float],
        camera_rpy: Sequence[float],
    ) -> None:
        super().__init__("demo_recorder")
        self._classes = {topic: message_class(name) for topic, name in topics.items()}
        self._types = topics
        self._bag = BagWriter(bag)
        transforms = TransformWriter(self._bag, camera_xyz, camera_rpy)
        self._also: dict[str, Write] = {
            ODOMETRY: transforms.odometry,
            CAMERA_INFO: transforms.camera,
        }
        self._heard: dict[str, Subscription] = {}
        self._counts = dict.fromkeys(topics, 0)
        self.create_timer(LOOK_FOR_PUBLISHERS_S, self._look_for_publishers)
        self.create_timer(REPORT_S, self._report)

    def close(self) -> int:
        """Finish the bag. Returns the exit status."""
        self._bag.close()
        self._report()
        return 0

    def _report(self) -> None:
        print(json.dumps(self._counts), flush=True)

    def _look_for_publishers(self) -> None:
        for topic in self._types.keys() - self._heard.keys():
            name = self.resolve_topic_name(topic)
            offered = [info.qos_profile for info in self.get_publishers_info_by_topic(name)]
            if offered:
                self._subscribe(topic, name, offered)

    def _subscribe(self, topic: str, name: str, offered: list[QoSProfile]) -> None:
        reliability = common_reliability([qos.reliability for qos in offered])
        assert reliability is not None
        latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=QUEUE_DEPTH, reliability=reliability, durability=durability)
        write = self._bag.add(name, self._types[topic], qos)
        self._heard[topic] = self.create_subscription(
            self._classes[topic], topic, partial(self._receive, topic, write), qos, raw=True
        )

    def _receive(self, topic: str, write: Write, data: Any) -> None:
        received = time.time_ns()
        write(received, data)
        self._counts[topic] += 1
        if topic in self._also:
            self._also[topic](received, data)


def main(args: list[str] | None = None) -> int:
    """Entry point. Returns the exit status; SIGINT ends the recording in good order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bag", type=Path, help="folder to make; it must not exist")
    parser.add_argument("topics", nargs="+", metavar="TOPIC=TYPE", help="what to record")
    for name in ("camera_xyz", "camera_rpy"):
        parser.add_argument(
            f"--{name.replace('_', '-')}", nargs=3, type=float, default=[0.0, 0.0, 0.0],
            help=f"what the node's parameter {name} is",
        )  # fmt: skip
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])
    topics = dict(pair.split("=", 1) for pair in given.topics)
    return run_node(
        lambda: DemoRecorder(given.bag, topics, given.camera_xyz, given.camera_rpy),
        lambda node: None,
        DemoRecorder.close,
        args,
    )


if __name__ == "__main__":
    sys.exit(main())
