"""The published topics, each computed only while it has a subscriber."""

from __future__ import annotations

import numpy as np
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from depth_motion_ros.estimation.estimate import SKIPPED, Estimate
from depth_motion_ros.estimation.odometry import OdometryState
from depth_motion_ros.estimation.scene_flow.tracking import ObjectTracker
from depth_motion_ros.nodes.perception import markers
from depth_motion_ros.nodes.ros import messages
from depth_motion_ros.nodes.ros.qos import PublisherEventCallbacks
from depth_motion_ros.nodes.ros.transforms import CameraTf, TfPublisher

ODOM = "odom"
FLOW = (
    "object_flow/image",
    "object_flow/points",
    "object_flow/image_color",
    "object_flow/markers",
)
DEPTH = ("depth/image", "depth/std", "depth/points", "object_flow/points", "object_flow/markers")
"""Topics that show depth."""
TOPICS = {
    "depth/image": Image,
    "depth/std": Image,
    "depth/camera_info": CameraInfo,
    "depth/points": PointCloud2,
    ODOM: Odometry,
    "object_flow/image": Image,
    "object_flow/points": PointCloud2,
    "object_flow/image_color": Image,
    "object_flow/markers": MarkerArray,
    "camera_info_estimated": CameraInfo,
}
# A filter divides by it: the origin after a reset is known to a micrometre, not to nothing.
_SMALLEST_VARIANCE = 1e-12
_QUEUE = 5


class OutputPublishers:
    """Publishers of every output. Reliable, so that any subscriber can match.

    depth_encoding and point_stride may be changed while it is in use.
    tf: sends odom_frame -> base_frame; None = another node does. camera_tf: the same for
    base_frame -> camera.
    """

    def __init__(
        self,
        node: LifecycleNode,
        odom_frame: str,
        base_frame: str,
        depth_encoding: str,
        point_stride: int,
        tf: TfPublisher | None,
        camera_tf: CameraTf | None = None,
    ) -> None:
        self._node = node
        self._odom_frame = odom_frame
        self._base_frame = base_frame
        self.depth_encoding = depth_encoding
        self.point_stride = point_stride
        self._tf = tf
        self._camera_tf = camera_tf
        self._tracker = ObjectTracker()
        qos = QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy.RELIABLE)
        # Every event handler costs the executor time at each message; these are not used.
        silent = PublisherEventCallbacks(use_default_callbacks=False)
        self._publishers = {
            topic: node.create_lifecycle_publisher(kind, topic, qos, event_callbacks=silent)
            for topic, kind in TOPICS.items()
        }

    def wanted(self) -> frozenset[str]:
        """Topics with a subscriber; odom too where it goes to /tf."""
        subscribed = {t for t, p in self._publishers.items() if p.get_subscription_count()}
        return frozenset(subscribed | {ODOM}) if self._tf is not None else frozenset(subscribed)

    def publish_estimate(
        self, wanted: frozenset[str], header: Header, estimate: Estimate, size: tuple[int, int]
    ) -> None:
        """Everything in the camera's frame. header: of the input. size: (width, height) of it."""
        camera, depth = estimate.camera, estimate.depth
        if self._camera_tf is not None:
            self._camera_tf.say(header.stamp, header.frame_id)
        if "depth/camera_info" in wanted:
            self._publish("depth/camera_info", messages.camera_info(header, camera))
        if "depth/image" in wanted:
            encoding = self.depth_encoding
            self._publish("depth/image", messages.depth_image(header, depth, encoding))
        if "depth/std" in wanted:
            self._publish("depth/std", messages.std_image(header, estimate.depth_std))
        if "depth/points" in wanted:
            cloud = messages.depth_cloud(
                header, depth, estimate.depth_std, estimate.image, camera, self.point_stride
            )
            self._publish("depth/points", cloud)
        if "camera_info_estimated" in wanted and estimate.learned_camera is not None:
            learned = estimate.learned_camera.resized(*size)
            self._publish("camera_info_estimated", messages.camera_info(header, learned))
        if estimate.quality.tracking != SKIPPED:
            self._publish_flow(wanted, header, estimate)

    def _publish_flow(self, wanted: frozenset[str], header: Header, estimate: Estimate) -> None:
        if "object_flow/markers" in wanted:
            objects = self._tracker.update(estimate)
            self._publish("object_flow/markers", markers.object_markers(header, objects))
        else:
            # What was not followed from frame to frame would be found in the wrong place later.
            self._tracker = ObjectTracker()
        flow = estimate.object_flow
        if flow is None:
            return
        if "object_flow/image" in wanted:
            self._publish("object_flow/image", messages.flow_image(header, flow))
        if "object_flow/points" in wanted:
            cloud = messages.flow_cloud(header, estimate.depth, flow, estimate.camera)
            self._publish("object_flow/points", cloud)
        if "object_flow/image_color" in wanted:
            colours = markers.flow_colours(estimate.image, flow)
            self._publish("object_flow/image_color", messages.rgb_image(header, colours))

    def publish_odometry(self, wanted: frozenset[str], stamp: Header, state: OdometryState) -> None:
        """Nothing while there is no motion estimate: a filter takes silence better than a guess.

        stamp: a header whose time is the input's.
        """
        if ODOM not in wanted or state.twist is None or state.twist_covariance is None:
            return
        header = Header(stamp=stamp.stamp, frame_id=self._odom_frame)
        message = messages.odometry(
            header,
            self._base_frame,
            state.pose,
            _usable(state.covariance),
            state.twist,
            _usable(state.twist_covariance),
        )
        self._publish(ODOM, message)
        if self._tf is not None:
            self._tf.send(header, self._base_frame, state.pose)

    def _publish(self, topic: str, message: object) -> None:
        self._publishers[topic].publish(message)

    def close(self) -> None:
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)


def _usable(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance with no variance of zero."""
    covariance = covariance.copy()
    diagonal = np.einsum("ii->i", covariance)
    np.maximum(diagonal, _SMALLEST_VARIANCE, out=diagonal)
    return covariance
