"""Weights on their way to a running depth_motion_node, over DDS."""

from __future__ import annotations

import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger
from support.small_camera import NAMESPACE

from depth_motion_ros.models.weights import Weights
from depth_motion_ros.nodes.ros.qos import LATCHED
from depth_motion_ros.nodes.weights_exchange.protocol import fingerprint, seal

if TYPE_CHECKING:
    from support.depth_motion_harness import Node

pytest_plugins = ["support.ros_harness", "support.depth_motion_harness"]
NODE = f"{NAMESPACE}/depth_motion"


def adapted(base: Weights, order: int) -> Weights:
    """The base with one bias moved a little: another depth, of the same scene."""
    tensors = dict(base.tensors)
    [last] = [name for name in tensors if name.endswith("bias") and tensors[name].shape == (1,)]
    tensors[last] = tensors[last] + 1e-3 * order
    metadata = {**base.metadata, "version": f"first+{order}", "parent": "first"}
    return seal(Weights(tensors, metadata), fingerprint(base), order)


def message(data: bytes) -> UInt8MultiArray:
    return UInt8MultiArray(data=array.array("B", data))


@pytest.fixture(scope="module")
def base(weights: Path) -> Weights:
    return Weights.from_file(weights)


@pytest.fixture(scope="module")
def learner(node: Node) -> Any:
    """A publisher as the adaptation node has it."""
    return node.ros.node.create_publisher(UInt8MultiArray, f"{NAMESPACE}/weights", LATCHED)


def test_what_is_delivered_is_used_from_the_next_frame_on(
    node: Node, base: Weights, learner: Any
) -> None:
    node.serve()
    node.serve()
    before = node.received["depth/image"][-1].data
    learner.publish(message(adapted(base, 1).to_bytes()))
    node.wait_value("weights_version", "first+1")
    assert node.values["weights_parent"] == "first"
    assert node.values["weights_rollback_target"] == "first"
    node.serve()
    assert node.received["depth/image"][-1].data != before
    assert "'first+1' (of 'first') from the topic are in use" in node.process.log


def test_what_is_refused_changes_nothing_and_is_counted(
    node: Node, base: Weights, learner: Any
) -> None:
    # To the bit: the same picture again, whose depth only other weights change.
    node.camera.is_noisy = False
    node.serve()
    before = node.received["depth/image"][-1].data
    good = adapted(base, 5).to_bytes()
    for cause, data in {
        "malformed": b"no weights at all",
        "checksum": good[:-1] + bytes([good[-1] ^ 0x80]),
        "unsealed": base.to_bytes(),
        "origin": seal(adapted(base, 6), "0" * 64, 6).to_bytes(),
        "replayed": adapted(base, 0).to_bytes(),
    }.items():
        learner.publish(message(data))
        node.wait_value(f"bad/weights {cause}", "1")
    node.serve()
    node.camera.is_noisy = True
    assert node.received["depth/image"][-1].data == before
    assert node.values["weights_version"] == "first+1"


def change_state(node: Node, transition: int) -> None:
    request = ChangeState.Request(transition=Transition(id=transition))
    assert node.ros.service(ChangeState, f"{NODE}/change_state", request).success


def test_who_comes_late_gets_the_newest(node: Node, base: Weights, learner: Any) -> None:
    """While inactive the node hears nothing; the topic keeps the newest delivery for it."""
    change_state(node, Transition.TRANSITION_DEACTIVATE)
    for order in (2, 3):
        learner.publish(message(adapted(base, order).to_bytes()))
    change_state(node, Transition.TRANSITION_ACTIVATE)
    node.ros.wait(lambda: node.camera.images.get_subscription_count(), "the node to listen")
    node.serve()
    node.wait_value("weights_version", "first+3")


def test_adapted_weights_are_saved_and_begun_with_if_wanted(
    node: Node, weights: Path, tmp_path: Path
) -> None:
    ros = node.ros
    path = tmp_path / "adapted.safetensors"
    answer = ros.service(Trigger, f"{NODE}/save")
    home = Path(ros.environment["ROS_HOME"])
    kept = home / "depth_motion" / f"adapted-{NODE[1:].replace('/', '.')}-lite.safetensors"
    assert answer.success, answer.message
    assert answer.message == f"weights 'first+3' are in {kept}"
    kept.rename(path)
    given = {"weights": weights, "engine": "torch", "use_adapted": True, "adapted_weights": path}

    wanting = ros.start("depth_motion_node", given, ("-r", "__ns:=/wanting"))
    ros.wait(lambda: "weights 'first+3'" in wanting.log, lambda: wanting.log)
    wanting.kill()

    path.write_bytes(path.read_bytes()[:-1000])
    damaged = ros.start("depth_motion_node", given, ("-r", "__ns:=/damaged"))
    ros.wait(lambda: "weights 'first'" in damaged.log, lambda: damaged.log)
    assert "adapted weights refused" in damaged.log
    damaged.kill()


def test_earlier_weights_come_back_and_stay(node: Node, base: Weights, learner: Any) -> None:
    answer = node.ros.service(Trigger, f"{NODE}/rollback")
    assert answer.success, answer.message
    assert "'first+1' are in use" in answer.message
    node.wait_value("weights_version", "first+1")
    learner.publish(message(adapted(base, 7).to_bytes()))
    node.wait_value("bad/weights withheld", "1")
    assert not node.ros.service(Trigger, f"{NODE}/rollback").success
    assert node.ros.service(Trigger, f"{NODE}/reload_weights").success
    learner.publish(message(adapted(base, 8).to_bytes()))
    node.wait_value("weights_version", "first+8")
