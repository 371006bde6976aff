"""What is seen in the ROS graph, as one line of JSON, for ``depth_motion doctor``.

It subscribes for some seconds (best effort) to the inputs of the perception nodes, or, without such
a node, to every image. It does not subscribe to outputs of a perception node, which would then
begin to compute them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier, remove_ros_args
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_motion_ros.nodes.tools.topic_statistics import TopicStatistics

IMAGE, COMPRESSED, INFO = (
    f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo")
)
CLASSES = {IMAGE: Image, COMPRESSED: CompressedImage, INFO: CameraInfo}
# What only our perception node offers, under its own name.
MARKS = ("reset_odometry", "reload_weights")
MOST_TOPICS = 16
DISCOVERY_S = 1.5
NAME = "depth_motion_doctor"


def main(args: list[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to listen")
    given = parser.parse_args(remove_ros_args(sys.argv if args is None else args)[1:])
    rclpy.init(args=args)
    node = rclpy.create_node(NAME)
    try:
        print(json.dumps(look(node, given.seconds)), flush=True)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def look(node: Node, seconds: float) -> dict[str, Any]:
    """Everything that the doctor wants to know of the graph."""
    said: dict[str, dict[str, Any]] = {}
    node.create_subscription(DiagnosticArray, "/diagnostics", partial(_take, said), 10)
    _spin(node, DISCOVERY_S)
    perception = [_perception(node, *name) for name in _perception_nodes(node)]
    topics = _topics(node)
    received: dict[str, TopicStatistics] = {}
    for topic in _inputs(perception, topics):
        kind = topics[topic]["types"][0]
        received[topic] = TopicStatistics()
        node.create_subscription(
            CLASSES[kind],
            topic,
            received[topic].take,
            QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT),
        )
    started = time.monotonic()
    _spin(node, seconds)
    lasted = time.monotonic() - started
    for entry in perception:
        entry["diagnostics"] = said.get(entry["name"])
    return {
        "rmw": get_rmw_implementation_identifier(),
        "shared_memory": _shared_memory(),
        "domain": node.context.get_domain_id(),
        "nodes": sorted(
            f"{namespace.rstrip('/')}/{name}"
            for name, namespace in node.get_node_names_and_namespaces()
            if name != NAME
        ),
        "perception": perception,
        "topics": topics,
        "heard": {topic: report.summary(lasted) for topic, report in received.items()},
    }


def _shared_memory() -> str:
    """The lines of this process's memory map that are shared memory: how DDS really talks."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        return "".join(line for line in maps if "/dev/shm/" in line)


def _spin(node: Node, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not until():
        rclpy.spin_once(node, timeout_sec=left)


def _take(said: dict[str, dict[str, Any]], message: DiagnosticArray) -> None:
    for status in message.status:
        values = {pair.key: pair.value for pair in status.values}
        said[status.hardware_id] = {
            "level": int.from_bytes(status.level, "little"),
            "message": status.message,
            "values": values,
        }


def _perception_nodes(node: Node) -> list[tuple[str, str]]:
    found = []
    for name, namespace in node.get_node_names_and_namespaces():
        full = f"{namespace.rstrip('/')}/{name}"
        offered = {
            service for service, _ in node.get_service_names_and_types_by_node(name, namespace)
        }
        if {f"{full}/{mark}" for mark in MARKS} <= offered:
            found.append((name, namespace))
    return sorted(found)


def _perception(node: Node, name: str, namespace: str) -> dict[str, Any]:
    full = f"{namespace.rstrip('/')}/{name}"
    listens: dict[str, str] = {}
    for topic, types in node.get_subscriber_names_and_types_by_node(name, namespace):
        listens.update({kind: topic for kind in types if kind in CLASSES})
    return {
        "name": full,
        "state": _state(node, full),
        "listens": listens,
        "adapted_weights": _text_parameter(node, full, "adapted_weights"),
    }


def _state(node: Node, full: str) -> str | None:
    """Of the lifecycle; None where it does not answer."""
    answer = _answer(node, GetState, f"{full}/get_state", GetState.Request())
    return str(answer.current_state.label) if answer is not None else None


def _text_parameter(node: Node, full: str, name: str) -> str | None:
    """The value of a parameter that is text; None where the node does not answer."""
    request = GetParameters.Request(names=[name])
    answer = _answer(node, GetParameters, f"{full}/get_parameters", request)
    return str(answer.values[0].string_value) if answer is not None and answer.values else None


def _answer(node: Node, kind: Any, service: str, request: Any) -> Any:
    """Of a service; None where there is none in time."""
    client: Any = node.create_client(kind, service)
    try:
        if not client.wait_for_service(timeout_sec=1.0):
            return None
        future = client.call_async(request)
        _spin(node, 2.0, future.done)
        return future.result() if future.done() else None
    finally:
        node.destroy_client(client)


def _topics(node: Node) -> dict[str, dict[str, Any]]:
    """Every topic with a publisher or subscriber outside this process."""
    found = {}
    for name, types in node.get_topic_names_and_types():
        publishers = [_endpoint(info) for info in node.get_publishers_info_by_topic(name)]
        subscribers = [_endpoint(info) for info in node.get_subscriptions_info_by_topic(name)]
        own = f"/{NAME}"
        publishers = [end for end in publishers if end["node"] != own]
        subscribers = [end for end in subscribers if end["node"] != own]
        if publishers or subscribers:
            found[name] = {"types": types, "publishers": publishers, "subscribers": subscribers}
    return found


def _endpoint(info: Any) -> dict[str, Any]:
    return {
        "node": f"{info.node_namespace.rstrip('/')}/{info.node_name}",
        "type": info.topic_type,
        "reliability": info.qos_profile.reliability.name.lower(),
        "durability": info.qos_profile.durability.name.lower(),
    }


def _inputs(perception: list[dict[str, Any]], topics: dict[str, dict[str, Any]]) -> list[str]:
    """The topics to listen to."""
    spoken = {
        name
        for name, about in topics.items()
        if about["publishers"] and len(about["types"]) == 1 and about["types"][0] in CLASSES
    }
    wanted = {topic for entry in perception for topic in entry["listens"].values()}
    if not perception:
        wanted = spoken
    return sorted(wanted & spoken)[:MOST_TOPICS]


if __name__ == "__main__":
    sys.exit(main())
