"""depth_motion_node in its own process, with real DDS: what arrives, and what it survives."""

from __future__ import annotations

import array
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header, UInt8MultiArray
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of
from depth_motion_ros.nodes import messages

if TYPE_CHECKING:
    from ros_harness import Ros

pytest_plugins = ["ros_harness"]

WIDTH, HEIGHT = 96, 64  # of the camera
NET_WIDTH, NET_HEIGHT = 64, 32  # of the network: the smallest that both of its halves take
CAMERA = Camera.from_field_of_view(WIDTH, HEIGHT, 1.2)
PERIOD = 33_000_000  # ns
NAMESPACE = "/robot"
OUTPUTS = {
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "depth/points": PointCloud2,
    "odom": Odometry,
    "object_flow/image": Image,
    "object_flow/points": PointCloud2,
    "object_flow/image_color": Image,
    "object_flow/markers": MarkerArray,
    "camera_info_estimated": CameraInfo,
}


def make_weights(path: Path, version: str, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    network = DepthMotionNet(NetworkConfig("lite", NET_WIDTH, NET_HEIGHT))
    weights_of(network, version=version).to_file(path)
    return path


class FakeCamera:
    """Publishes one texture again and again: a camera at rest, of which odometry is certain."""

    def __init__(self, ros: Ros, start: int = 1_700_000_000_000_000_123) -> None:
        self.ros = ros
        self.stamp = start
        self.frame_id = "front_optical"
        self.pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        self.images = self.publisher(Image, "front/image", ReliabilityPolicy.RELIABLE)
        self.infos = self.publisher(CameraInfo, "front/camera_info", ReliabilityPolicy.RELIABLE)

    def publisher(self, kind: type, topic: str, reliability: ReliabilityPolicy) -> Any:
        qos = QoSProfile(depth=10, reliability=reliability)
        return self.ros.node.create_publisher(kind, f"{NAMESPACE}/{topic}", qos)

    def header(self, advance: int = PERIOD) -> Header:
        self.stamp += advance
        return Header(stamp=messages.stamp_to_message(self.stamp), frame_id=self.frame_id)

    def send(self, advance: int = PERIOD, **changes: Any) -> int:
        """One image, with fields changed; its stamp."""
        message = messages.rgb_image(self.header(advance), self.pixels)
        for name, value in changes.items():
            setattr(message, name, value)
        self.images.publish(message)
        return self.stamp

    def send_info(self, camera: Camera = CAMERA, **changes: Any) -> None:
        stamp = messages.stamp_to_message(self.stamp)
        info = messages.camera_info(Header(stamp=stamp, frame_id=self.frame_id), camera)
        for name, value in changes.items():
            setattr(info, name, value)
        self.infos.publish(info)


class Node:
    """The running node as its users see it."""

    def __init__(self, ros: Ros, weights: Path) -> None:
        self.ros = ros
        self.process = ros.start(
            "depth_motion_node",
            {"weights": weights, "engine": "torch", "diagnostics_period": 0.2, "max_gap": 5.0},
            ("-r", f"__ns:={NAMESPACE}", "-r", "image:=front/image",
             "-r", "camera_info:=front/camera_info"),
        )  # fmt: skip
        self.received = {
            topic: ros.listen(kind, f"{NAMESPACE}/{topic}") for topic, kind in OUTPUTS.items()
        }
        self.diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
        self.camera = FakeCamera(ros)
        ros.wait(lambda: self.camera.images.get_subscription_count(), "the node to listen")
        ros.wait(lambda: self.camera.infos.get_subscription_count(), "the node to listen")
        for topic in OUTPUTS:
            name = f"{NAMESPACE}/{topic}"
            ros.wait(lambda name=name: ros.node.count_publishers(name), name)

    def stamps(self, topic: str) -> list[int]:
        return [messages.stamp_from_message(m.header.stamp) for m in self.received[topic]]

    def serve(self, advance: int = PERIOD) -> int:
        """Send an image until its depth comes back; the stamp of that one.

        The very first messages to a subscriber that has just been matched may be lost.
        """
        for _ in range(20):
            stamp = self.camera.send(advance)
            advance = PERIOD
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                if stamp in self.stamps("depth/image"):
                    return stamp
                time.sleep(0.01)
        raise AssertionError(f"no depth comes back:\n{self.process.log}")

    @property
    def values(self) -> dict[str, str]:
        """The newest diagnostic values, with its level and message."""
        if not self.diagnostics:
            return {}
        status = self.diagnostics[-1].status[0]
        values = {pair.key: pair.value for pair in status.values}
        return {**values, "level": str(status.level[0]), "message": status.message}

    def wait_value(self, name: str, wanted: str) -> None:
        self.ros.wait(
            lambda: self.values.get(name) == wanted, lambda: f"{name} = {wanted}: {self.values}"
        )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "net.safetensors", "first")


@pytest.fixture(scope="module")
def node(ros: Ros, weights: Path) -> Iterator[Node]:
    node = Node(ros, weights)
    yield node
    status = node.process.end(signal.SIGINT)
    assert status == 0, node.process.log
    assert "Traceback" not in node.process.log


def test_without_camera_info_the_learned_intrinsics_serve_until_one_comes(node: Node) -> None:
    node.serve()
    node.wait_value("intrinsics", "learned")
    assert node.process.log.count("camera_info missing") == 1
    node.camera.send_info()
    node.serve()
    node.serve()
    node.wait_value("intrinsics", "camera_info")
    info = node.received["depth/camera_info"][-1]
    expected = CAMERA.resized(NET_WIDTH, NET_HEIGHT)
    assert Camera.from_camera_info(info).same_as(expected, 1e-6)


def test_every_topic_arrives_with_the_inputs_stamp_and_frame(node: Node) -> None:
    node.serve()
    stamp = node.serve()
    for topic in OUTPUTS:
        if topic != "object_flow/markers":
            node.ros.wait(lambda topic=topic: stamp in node.stamps(topic), topic)
    latest = {
        t: m[node.stamps(t).index(stamp)] for t, m in node.received.items() if "mark" not in t
    }
    for topic, message in latest.items():
        frame = "odom" if topic == "odom" else "front_optical"
        assert message.header.frame_id == frame, topic
    encodings = {"depth/image": "32FC1", "object_flow/image": "32FC3",
                 "object_flow/image_color": "rgb8"}  # fmt: skip
    for topic, encoding in encodings.items():
        message = latest[topic]
        assert (message.encoding, message.width, message.height) == (
            encoding, NET_WIDTH, NET_HEIGHT,
        )  # fmt: skip
        assert len(message.data) == message.step * message.height
    cloud = latest["depth/points"]
    assert (cloud.width, cloud.height) == (NET_WIDTH, NET_HEIGHT)
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb"]
    flow = latest["object_flow/points"]
    assert [field.name for field in flow.fields] == ["x", "y", "z", "vx", "vy", "vz"]
    assert (latest["camera_info_estimated"].width, latest["camera_info_estimated"].height) == (
        WIDTH, HEIGHT,
    )  # fmt: skip
    odom = latest["odom"]
    assert odom.child_frame_id == "base_link"
    for covariance in (odom.pose.covariance, odom.twist.covariance):
        matrix = np.array(covariance).reshape(6, 6)
        assert np.isfinite(matrix).all()
        assert (matrix.diagonal() > 0).all()
    markers = node.received["object_flow/markers"]
    node.ros.wait(lambda: markers, "markers")
    assert markers[-1].markers[0].header.frame_id == "front_optical"


def test_the_diagnostics_say_what_runs(node: Node) -> None:
    node.serve()
    node.wait_value("tracking", "static")
    values = node.values
    expected = {"state": "active", "engine": "torch", "precision": "fp32", "architecture": "lite",
                "weights_version": "first", "scale_source": "unit", "metric": "false",
                "image_topic": f"{NAMESPACE}/front/image", "image_qos": "reliable"}  # fmt: skip
    assert {name: values[name] for name in expected} == expected
    assert int(values["received"]) == int(values["served"]) + int(values["dropped"]) + int(
        values["bad"]
    )


BAD = {
    "short data": {"data": array.array("B", bytes(100))},
    "zero size": {"width": 0},
    "unknown encoding": {"encoding": "plaid8"},
    "undecodable": {"step": 1},
}


def test_bad_images_are_told_once_counted_and_survived(node: Node) -> None:
    for count in ("1", "2"):
        for cause, changes in BAD.items():
            # One at a time: of a burst all but the last would be dropped unseen.
            node.camera.send(**changes)
            node.wait_value(f"bad/{cause}", count)
    node.serve()
    for cause in BAD:
        assert node.process.log.count(f"bad image ({cause})") == 1


def test_a_contradicting_camera_info_is_told_once_and_not_used(node: Node) -> None:
    node.camera.send_info(CAMERA.resized(2 * WIDTH, 2 * HEIGHT))
    node.serve()
    node.serve()
    node.wait_value("intrinsics", "learned")
    assert node.process.log.count("camera_info contradicts image") == 1
    assert f"{2 * WIDTH}x{2 * HEIGHT}, the image is {WIDTH}x{HEIGHT}" in node.process.log
    assert int(node.values["bad/camera_info contradicts image"]) >= 1


def test_a_camera_info_of_nan_is_told_once_counted_and_survived(node: Node) -> None:
    bad = np.array([np.nan, 0, 1, 0, 1, 1, 0, 0, 1])
    for _ in range(2):
        node.camera.stamp += 1
        node.camera.send_info(k=bad)
    node.wait_value("bad/camera_info bad", "2")
    node.serve()
    node.wait_value("intrinsics", "learned")
    assert node.process.log.count("camera_info bad") == 1
    node.camera.send_info()
    node.serve()
    node.wait_value("intrinsics", "camera_info")


def test_a_break_in_the_stream_resets_the_motion_state_and_nothing_else(node: Node) -> None:
    before = int(node.values.get("resets", 0))
    camera = node.camera

    def breaks(count: int, sends: Any) -> None:
        """After ``sends`` the frame counts as a first one, and the next has odometry again."""
        odometry = len(node.received["odom"])
        sends()
        node.wait_value("resets", str(before + count))
        node.serve()
        node.ros.wait(lambda: len(node.received["odom"]) > odometry, "odometry to go on")

    breaks(1, lambda: node.serve(-10_000_000_000))  # a bag begins anew
    assert "time went back by 10.000 s" in node.process.log
    breaks(2, lambda: node.serve(6_000_000_000))  # max_gap is 5 s
    camera.frame_id = "rear_optical"
    breaks(3, node.serve)
    assert node.received["depth/image"][-1].header.frame_id == "rear_optical"
    whole, camera.pixels = camera.pixels, np.ascontiguousarray(camera.pixels[:, :80])
    breaks(4, node.serve)
    assert (node.received["camera_info_estimated"][-1].width) == 80
    assert (node.received["depth/image"][-1].width) == NET_WIDTH
    camera.frame_id, camera.pixels = "front_optical", whole
    breaks(5, node.serve)


def test_parameters_are_refused_with_the_reason_or_change_the_output(node: Node) -> None:
    def put(name: str, value: Any) -> Any:
        return node.ros.set_parameter(f"{NAMESPACE}/depth_motion", name, value)

    refused = {
        ("max_depth", -1.0): "max_depth",
        ("point_stride", 0): "Min: 1",
        ("depth_encoding", "64FC1"): "32FC1 | 16UC1",
        ("min_depth", 500.0): "less than max_depth",
        ("engine", "cpu"): "clean up the node first",
        ("autostart", False): "restart the node",
    }
    for (name, value), reason in refused.items():
        result = put(name, value)
        assert not result.successful, name
        assert reason in result.reason
    assert put("depth_encoding", "16UC1").successful
    assert put("point_stride", 2).successful
    node.serve()
    assert node.received["depth/image"][-1].encoding == "16UC1"
    stamp = node.serve()
    node.ros.wait(lambda: stamp in node.stamps("depth/points"), "the cloud")
    assert node.received["depth/points"][-1].width == NET_WIDTH // 2
    assert put("depth_encoding", "32FC1").successful
    assert put("point_stride", 1).successful


def test_bad_odometry_from_elsewhere_is_told_once_counted_and_survived(node: Node) -> None:
    wheels = node.camera.publisher(Odometry, "odom_in", ReliabilityPolicy.RELIABLE)
    node.ros.wait(wheels.get_subscription_count, "the node to hear odom_in")
    bad = Odometry(header=node.camera.header())
    bad.pose.pose.position.x = float("nan")
    wheels.publish(bad)
    node.wait_value("bad/odom_in", "1")
    assert node.process.log.count("odom_in bad") == 1
    node.serve()


def test_odometry_is_reset_by_its_service(node: Node) -> None:
    answer = node.ros.service(Trigger, f"{NAMESPACE}/depth_motion/reset_odometry")
    assert answer.success, answer.message
    node.serve()
    stamp = node.serve()
    node.ros.wait(lambda: stamp in node.stamps("odom"), "odometry")
    odom = node.received["odom"][-1]
    # A camera at rest, one frame after the reset: the place is the origin, and well known.
    assert np.abs([odom.pose.pose.position.x, odom.pose.pose.position.y]).max() < 1e-9
    assert odom.pose.covariance[0] < 0.1


def test_weights_are_reloaded_from_the_file_and_from_the_topic(
    node: Node, weights: Path, tmp_path: Path
) -> None:
    service = f"{NAMESPACE}/depth_motion/reload_weights"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1000])
    answer = node.ros.service(Trigger, service)
    assert not answer.success
    assert "truncated" in answer.message
    node.serve()

    make_weights(weights, "second", seed=1)
    before = node.received["depth/image"][-1].data
    answer = node.ros.service(Trigger, service)
    assert answer.success, answer.message
    assert "'second'" in answer.message
    node.serve()
    assert node.received["depth/image"][-1].data != before
    node.wait_value("weights_version", "second")

    latched = QoSProfile(
        depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
    )
    learner = node.ros.node.create_publisher(UInt8MultiArray, f"{NAMESPACE}/weights", latched)
    learner.publish(UInt8MultiArray(data=array.array("B", b"no weights at all")))
    node.ros.wait(lambda: "weights refused" in node.process.log, "the refusal")
    third = Weights.from_file(make_weights(tmp_path / "third.safetensors", "third", seed=2))
    learner.publish(UInt8MultiArray(data=array.array("B", third.to_bytes())))
    node.wait_value("weights_version", "third")
    node.serve()


def test_a_best_effort_camera_is_heard_too(node: Node) -> None:
    reliable = node.camera.images
    best_effort = node.camera.publisher(Image, "front/image", ReliabilityPolicy.BEST_EFFORT)
    node.wait_value("image_qos", "best_effort")
    node.camera.images = best_effort
    node.serve()
    node.ros.destroy(best_effort)
    node.camera.images = reliable
    node.wait_value("image_qos", "reliable")
    node.serve()


def test_what_nobody_hears_is_not_computed(node: Node) -> None:
    """Last in the file: it ends the listening."""
    for subscription in list(node.ros.node.subscriptions):
        if subscription.topic_name.startswith(NAMESPACE):
            node.ros.destroy(subscription)
    served = int(node.values["served"])
    before = int(node.values["unwanted"])
    name = f"{NAMESPACE}/depth/image"
    node.ros.wait(lambda: not node.ros.node.count_subscribers(name), "the listening to end")

    def unwanted() -> bool:
        node.camera.send()
        return int(node.values["unwanted"]) >= before + 5

    node.ros.wait(unwanted, "frames that nobody wants")
    assert int(node.values["served"]) <= served + 1
