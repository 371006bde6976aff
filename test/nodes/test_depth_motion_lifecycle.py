"""depth_motion_node through its lifecycle, in its own process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import weights_of
from depth_motion_ros.nodes.ros import messages

if TYPE_CHECKING:
    from support.ros_harness import NodeProcess, Ros

pytest_plugins = ["support.ros_harness"]

NAME = "/depth_motion"
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


class Managed:
    """A node started without autostart, and the calls that manage it."""

    def __init__(self, ros: Ros, process: NodeProcess) -> None:
        self.ros, self.process = ros, process
        self.depth = ros.listen(Image, "/depth/image")
        self.diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
        self.stamp = 1_000_000_000

    def change(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.ros.service(ChangeState, f"{NAME}/change_state", request).success)

    @property
    def state(self) -> str:
        return str(self.ros.service(GetState, f"{NAME}/get_state").current_state.label)

    def set(self, name: str, value: Any) -> Any:
        return self.ros.set_parameter(NAME, name, value)

    def see(self, kind: type, topic: str) -> bool:
        """Whether an image sent to ``topic`` comes back as depth."""
        publisher = self.ros.node.create_publisher(kind, topic, 10)
        self.ros.wait(publisher.get_subscription_count, f"a subscription of {topic}")
        before = len(self.depth)

        def answered() -> bool:
            self.stamp += 33_000_000
            header = Header(stamp=messages.stamp_to_message(self.stamp), frame_id="eye")
            make = messages.rgb_image if kind is Image else messages.jpeg_image
            publisher.publish(make(header, PIXELS))
            return len(self.depth) > before

        self.ros.wait(answered, lambda: f"depth from {topic}:\n{self.process.log}")
        self.ros.destroy(publisher)
        return True

    def deaf(self, topic: str) -> bool:
        self.ros.wait(
            lambda: not self.ros.node.count_subscribers(topic), f"no subscription of {topic}"
        )
        return True


@pytest.fixture(scope="module")
def managed(ros: Ros, tmp_path_factory: pytest.TempPathFactory) -> Managed:
    missing = tmp_path_factory.mktemp("weights") / "net.safetensors"
    parameters = {"autostart": False, "weights": missing, "engine": "torch"}
    return Managed(ros, ros.start("depth_motion_node", parameters))


def test_configure_fails_with_the_reason_and_can_be_tried_again(managed: Managed) -> None:
    assert managed.state == "unconfigured"
    answer = managed.ros.service(Trigger, f"{NAME}/reload_weights")
    assert not answer.success
    assert "configure it first" in answer.message
    assert not managed.change(Transition.TRANSITION_CONFIGURE)
    assert managed.state == "unconfigured"
    assert "net.safetensors: cannot be read: No such file" in managed.process.log

    def told() -> bool:
        newest = managed.diagnostics[-1].status[0]
        return newest.level == b"\x02" and "net.safetensors" in newest.message

    managed.ros.wait(lambda: managed.diagnostics and told(), "an error in the diagnostics")


def test_missing_tf2_is_told_with_what_to_do(managed: Managed) -> None:
    make_weights(managed)
    try:
        import tf2_msgs  # noqa: F401

        pytest.skip("tf2_msgs is installed here")
    except ImportError:
        pass
    assert managed.set("publish_tf", True).successful
    assert not managed.change(Transition.TRANSITION_CONFIGURE)
    assert "publish_tf needs tf2_msgs" in managed.process.log
    assert managed.set("publish_tf", False).successful
    # The half-built node has left nothing behind that a second attempt would stumble over.
    assert not managed.ros.node.count_publishers("/depth/points")


def make_weights(managed: Managed) -> None:
    path = managed.ros.parameter(NAME, "weights")
    torch.manual_seed(0)
    weights_of(DepthMotionNet(NetworkConfig("lite", 64, 32))).to_file(Path(path))


def test_every_transition_twice_round(managed: Managed) -> None:
    make_weights(managed)
    for transport, kind, topic in (
        ("raw", Image, "/image"),
        ("compressed", CompressedImage, "/image/compressed"),
    ):
        assert managed.set("image_transport", transport).successful
        assert managed.change(Transition.TRANSITION_CONFIGURE), managed.process.log
        assert managed.state == "inactive"
        assert managed.deaf(topic)
        refused = managed.set("image_transport", "raw" if transport != "raw" else "compressed")
        assert not refused.successful
        assert "clean up the node first" in refused.reason
        for _ in range(2):
            assert managed.change(Transition.TRANSITION_ACTIVATE)
            assert managed.state == "active"
            assert managed.see(kind, topic)
            assert managed.change(Transition.TRANSITION_DEACTIVATE)
            assert managed.deaf(topic)
        assert managed.change(Transition.TRANSITION_CLEANUP)
        assert managed.state == "unconfigured"
        managed.ros.wait(
            lambda: not managed.ros.node.count_publishers("/depth/image"), "no publisher"
        )


def test_a_transition_out_of_place_is_refused(managed: Managed) -> None:
    assert not managed.change(Transition.TRANSITION_ACTIVATE)
    assert managed.state == "unconfigured"


def test_shutdown_from_active_and_a_clean_exit(managed: Managed) -> None:
    assert managed.change(Transition.TRANSITION_CONFIGURE)
    assert managed.change(Transition.TRANSITION_ACTIVATE)
    assert managed.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert managed.state == "finalized"
    assert managed.process.end(signal.SIGTERM) == 0
    assert "Traceback" not in managed.process.log


def test_a_signal_while_active_and_a_refused_parameter(ros: Ros, tmp_path: Path) -> None:
    """SIGTERM in the middle of work ends cleanly; a bad value at the start says why."""
    refused = ros.start("depth_motion_node", {"max_depth": -2.0})
    active = ros.start("depth_motion_node", {"engine": "torch"}, ("-r", "__ns:=/second"))
    ros.wait(lambda: ros.node.count_subscribers("/second/image"), "the node to be active")
    depth = ros.listen(Image, "/second/depth/image", count=True)
    images = ros.node.create_publisher(Image, "/second/image", 10)

    def working() -> bool:
        images.publish(messages.rgb_image(Header(frame_id="eye"), PIXELS))
        return bool(depth)

    ros.wait(working, "depth")
    assert active.end(signal.SIGTERM) == 0
    assert "Traceback" not in active.log
    assert "Failed" not in active.log  # to publish, to log: the context is closed last
    assert refused.wait() == 2
    assert "max_depth" in refused.log
    assert "-2.0" in refused.log
    assert "Traceback" not in refused.log


@pytest.mark.parametrize(
    ("parameters", "status", "said"),
    [
        ({"max_dept": 5.0}, 2, "unknown parameter 'max_dept'; did you mean 'max_depth'?"),
        ({"image_transprot": "raw"}, 2, "did you mean 'image_transport'?"),
        ({"max_depth": -1.0}, 2, "max_depth is -1.0; it must be"),
    ],
)
def test_parameters_that_are_wrong_end_the_process_with_a_status(
    ros: Ros, parameters: dict[str, Any], status: int, said: str
) -> None:
    process = ros.start("depth_motion_node", parameters)
    assert process.wait(100) == status, process.log
    assert said in process.log
    assert "Traceback" not in process.log


def test_a_parameter_for_another_node_is_said_and_ignored(ros: Ros, tmp_path: Path) -> None:
    parameters = {"robot_width": 0.3, "autostart": False}
    process = ros.start("depth_motion_node", parameters, ("-r", "__node:=with_others"))
    ros.wait(lambda: "'robot_width'" in process.log, lambda: process.log, patience=100)
    ros.wait(lambda: "with_others" in ros.node.get_node_names(), lambda: process.log)
    assert process.end(signal.SIGINT) == 0


def test_a_node_that_autostart_cannot_configure_ends_with_a_status(
    ros: Ros, tmp_path: Path
) -> None:
    process = ros.start("depth_motion_node", {"weights": tmp_path / "nix.safetensors"})
    assert process.wait(100) == 2, process.log
    assert "cannot start: cannot configure" in process.log
    assert "nix.safetensors: cannot be read" in process.log
