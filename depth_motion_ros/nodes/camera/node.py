"""camera_node: a file, a folder, a bag, a simulator scene or a device, published as a camera."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.nodes.camera.parameters import AUTO, CAMERA_PARAMETERS, NOW
from depth_motion_ros.nodes.camera.playback import Playback
from depth_motion_ros.nodes.camera.rate_monitor import RateMonitor
from depth_motion_ros.nodes.ros import messages
from depth_motion_ros.nodes.ros.parameters import ParameterError, ParameterServer
from depth_motion_ros.nodes.ros.shutdown import run_node
from depth_motion_ros.nodes.ros.text import path_from_ros, printable
from depth_motion_ros.sources.camera_file import read_camera_file
from depth_motion_ros.sources.frame import Frame, FrameSource, GroundTruth
from depth_motion_ros.sources.open import open_source

_QUEUE = 10
# s. Both sides discover each other, one after the other: what is published before the subscriber
# knows of the publisher does not arrive.
_SETTLE = 0.3
# s. A subscriber of the image may or may not have one of camera_info as well, discovered later.
_PARTNER_WAIT = 1.0
_DELIVERY = 2.0  # s, for the last frame to be acknowledged
_SLICE = Duration(seconds=0.1)


class CameraNode(Node):
    """Publishes image, image/compressed, camera_info and, if asked, what the source knows.

    Raises ParameterError or SourceError when it cannot start; the message says why.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        self._config = ParameterServer(
            self, CAMERA_PARAMETERS, can_configure=lambda: False, on_change=lambda _: None
        )
        self._frame_id: str = self._config["frame_id"]
        source = self._open()
        self._status = 0
        self._image = self._publisher(Image, "image")
        self._info = self._publisher(CameraInfo, "camera_info")
        self._compressed = (
            self._publisher(CompressedImage, "image/compressed")
            if self._config["compressed"]
            else None
        )
        truth = self._config["publish_truth"]
        self._truth = TruthPublishers(self, self._frame_id) if truth else None
        self._complete_since: float | None = None
        self._ended = self.create_guard_condition(rclpy.try_shutdown)
        self._playback = Playback(
            source,
            self._show,
            self._finish,
            ready=self._is_awaited,
            rate=self._config["rate"],
            loop=self._config["loop"],
            tell=self.get_logger().warning,
        )
        announced = self._config["rate"] or source.rate
        self._rate = RateMonitor(announced)
        self._announced = announced or 0.0
        self._stamps_now = _wants_present_time(self._config["stamps"], source)
        length = "unknown length" if source.length is None else f"{source.length} frames"
        stamps = "the time of publishing" if self._stamps_now else "those of the source"
        rate = source.rate or "unknown"
        self.get_logger().info(f"{printable(source.name)}: {length}, {rate} Hz, stamps: {stamps}")

    def begin(self) -> None:
        self._playback.start()

    def close(self) -> int:
        """Ends the playing. Returns the exit status."""
        self._playback.stop()
        return self._status

    def _open(self) -> FrameSource:
        spec = self._config["source"]
        if not spec:
            raise ParameterError("source is empty: set what to play, for example source:=clip.mp4")
        if is_rendered(spec):
            spare_the_cores()
        options = {
            name: self._config[name]
            for name in ("topic", "odometry_topic", "rate", "rectified", "width", "height")
        }
        options["pose"] = self._config["publish_truth"]
        calibration = self._config["camera_info_url"]
        if calibration:
            options["camera"] = read_camera_file(path_of(path_from_ros(calibration)))
        return open_source(
            path_from_ros(spec), **{name: value for name, value in options.items() if value}
        )

    def _publisher(self, kind: type, topic: str) -> Publisher[Any]:
        policy = (
            ReliabilityPolicy.RELIABLE
            if self._config["reliable"]
            else ReliabilityPolicy.BEST_EFFORT
        )
        return self.create_publisher(kind, topic, QoSProfile(depth=_QUEUE, reliability=policy))

    def _is_awaited(self) -> bool:
        """Whether all are there that the first frame waits for."""
        wanted = self._config["wait_for_subscribers"]
        if not wanted:
            return True
        images = [self._image] + ([self._compressed] if self._compressed is not None else [])
        if sum(publisher.get_subscription_count() for publisher in images) < wanted:
            self._complete_since = None
            return False
        now = time.monotonic()
        self._complete_since = self._complete_since or now
        waited = now - self._complete_since
        partners = self._info.get_subscription_count() >= wanted
        return waited > (_SETTLE if partners else _PARTNER_WAIT)

    def _show(self, frame: Frame) -> None:
        stamp = self.get_clock().now().nanoseconds if self._stamps_now else frame.stamp
        header = Header(stamp=messages.stamp_to_message(stamp), frame_id=self._frame_id)
        # The info first: subscribers that pair by arrival have it when the image comes.
        self._info.publish(_info_of(header, frame))
        if self._image.get_subscription_count():
            self._image.publish(messages.rgb_image(header, frame.image))
        if self._compressed is not None and self._compressed.get_subscription_count():
            quality = self._config["jpeg_quality"]
            self._compressed.publish(messages.jpeg_image(header, frame.image, quality))
        if self._truth is not None and frame.truth is not None:
            self._truth.publish(header, frame.truth)
        reached = self._rate.count(time.monotonic())
        if reached is not None:
            self._say_that_it_is_slow(reached)

    def _say_that_it_is_slow(self, reached: float) -> None:
        said = f"{self._announced:g} Hz are announced, {reached:.3g} Hz are reached"
        if is_rendered(self._config["source"]):
            said += (
                f": rendering takes {1 / reached:.3g} s a frame. Set rate to {reached:.3g}, or a "
                "smaller width and height"
            )
            if self._stamps_now:
                slower = self._announced / reached
                said += f"; until then the scene moves {slower:.2g} times too slowly"
        self.get_logger().warning(said)

    def _finish(self, shown: int, error: Exception | None) -> None:
        """On the playing thread: let the last frame arrive, then end the node."""
        if not self.context.ok():
            # The node was ended from outside: what failed for that is no error of the source.
            return
        if error is not None:
            self.get_logger().fatal(f"playing ended after {shown} frames: {printable(error)}")
            self._status = 1
        else:
            self.get_logger().info(f"the source has ended after {shown} frames")
            self._wait_until_delivered()
        self._ended.trigger()

    def _wait_until_delivered(self) -> None:
        end = time.monotonic() + _DELIVERY
        for publisher in (self._image, self._info, self._compressed):
            # In slices, so that a signal need not wait for a subscriber that does not answer.
            while publisher is not None and not publisher.wait_for_all_acked(_SLICE):
                if self._playback.stopping or time.monotonic() > end:
                    return


class TruthPublishers:
    """depth_truth/image (32FC1), pose_truth (camera in the source's world) and odom_in (robot)."""

    def __init__(self, node: Node, frame_id: str) -> None:
        self._frame_id = frame_id
        self._depth = node.create_publisher(Image, "depth_truth/image", _QUEUE)
        self._pose = node.create_publisher(Odometry, "pose_truth", _QUEUE)
        self._odometry = node.create_publisher(Odometry, "odom_in", _QUEUE)
        self._way = np.eye(4)
        self._last_stamp: int | None = None

    def publish(self, header: Header, truth: GroundTruth) -> None:
        if truth.depth is not None and self._depth.get_subscription_count():
            self._depth.publish(messages.depth_image(header, truth.depth, "32FC1"))
        world = Header(stamp=header.stamp, frame_id="world")
        unknown = np.zeros((6, 6))
        if truth.pose is not None:
            self._pose.publish(
                messages.odometry(world, self._frame_id, truth.pose, unknown, np.zeros(6), unknown)
            )
        base = self._base_pose(header, truth)
        if base is not None:
            twist = np.array([truth.speed or 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
            self._odometry.publish(
                messages.odometry(world, "base_link", base, unknown, twist, unknown)
            )

    def _base_pose(self, header: Header, truth: GroundTruth) -> NDArray[np.float64] | None:
        """base_link in world, for a camera at its origin; from the speed alone, the way made."""
        if truth.pose is not None:
            return truth.pose @ BODY_FROM_OPTICAL.T
        if truth.speed is None:
            return None
        stamp = messages.stamp_from_message(header.stamp)
        if self._last_stamp is not None and stamp > self._last_stamp:
            self._way[0, 3] += truth.speed * (stamp - self._last_stamp) * 1e-9
        self._last_stamp = stamp
        return self._way


def is_rendered(spec: str) -> bool:
    """Whether a source is a scene of the simulator."""
    return spec.startswith("sim:")


def spare_the_cores() -> None:
    """Render on a quarter of the cores, at least on one.

    The others are for who looks. PyTorch's threads wait for each other at every one of a frame's
    few hundred steps: two of them on two busy cores took 2 to 15 s a frame, one takes 0.5 s.
    """
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 4))


def path_of(url: str) -> str:
    """The path of ``file:///path``, as camera drivers name calibration files, or of a bare path."""
    if "://" in url and not url.startswith("file://"):
        raise ParameterError(f"camera_info_url = {url!r}: must be a path, or file:///path")
    return str(Path(unquote(url.removeprefix("file://"))).expanduser())


def _wants_present_time(stamps: str, source: FrameSource) -> bool:
    """Whether images get the time of publishing: a video's 0 s is no time of this world, and a loop
    over it would go back in time."""
    if stamps == AUTO:
        return not getattr(source, "has_clock", False)
    return stamps == NOW


def _info_of(header: Header, frame: Frame) -> CameraInfo:
    if frame.camera is not None:
        return messages.camera_info(header, frame.camera)
    # K of zeros says "uncalibrated" (sensor_msgs/CameraInfo).
    height, width = frame.image.shape[:2]
    return CameraInfo(header=header, width=width, height=height)


def main(args: list[str] | None = None) -> int:
    """The ``camera_node`` command."""
    return run_node(CameraNode, CameraNode.begin, CameraNode.close, args)


if __name__ == "__main__":
    sys.exit(main())
