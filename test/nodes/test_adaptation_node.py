"""adaptation_node beside depth_motion_node, each in its own process, with real DDS."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger
from support.pages import granted, read
from support.small_camera import NAMESPACE

from depth_motion_ros.cli.doctor.processes import abandoned_segments
from depth_motion_ros.nodes.perception.weights_loader import NICENESS

if TYPE_CHECKING:
    from support.depth_motion_harness import Node
    from support.ros_harness import NodeProcess

pytest_plugins = ["support.ros_harness", "support.depth_motion_harness"]
NODE = f"{NAMESPACE}/adaptation"
DOUBLE = "import sys; from support.adaptation_doubles import main; sys.exit(main())"
REMAPPED = (
    *("-r", f"__ns:={NAMESPACE}", "-r", "image:=front/image"),
    *("-r", "camera_info:=front/camera_info"),
)
# Stamps of the test's camera are 33 ms apart.
EVERY_FRAME = 1000.0


class Learner:
    """The running adaptation_node with an adapter of which everything is known."""

    def __init__(self, node: Node, weights: Path, state: Path, **parameters: Any) -> None:
        self.node, self.ros = node, node.ros
        given = {
            "weights": weights, "state_folder": state, "diagnostics_period": 0.2,
            "frame_rate": EVERY_FRAME, **parameters,
        }  # fmt: skip
        self.process = node.ros.start("adaptation_node", given, REMAPPED, code=DOUBLE)

    @property
    def status(self) -> dict[str, str]:
        """The newest diagnostics of this process, with level and message."""
        for message in reversed(self.node.diagnostics):
            [status] = message.status
            if status.name == f"{NODE}: adaptation":
                values = {pair.key: pair.value for pair in status.values}
                return {**values, "level": str(status.level[0]), "message": status.message}
        return {}

    def wait(self, name: str, wanted: str) -> None:
        self.ros.wait(
            lambda: self.status.get(name) == wanted,
            lambda: f"{name} = {wanted}: {self.status}\n{self.process.log}",
        )

    def wait_ready(self) -> None:
        """Until it listens, and its adapter is there."""
        self.node.diagnostics.clear()
        images = self.node.camera.images
        self.ros.wait(lambda: "steps" in self.status, lambda: f"a learner: {self.process.log}")
        self.ros.wait(lambda: images.get_subscription_count() > 1, "the learner to listen")


def perception(node: Node) -> dict[str, str]:
    """Newest diagnostics of depth_motion_node: those of the harness may be the learner's."""
    for message in reversed(node.diagnostics):
        if message.status[0].name.endswith(": perception"):
            return {pair.key: pair.value for pair in message.status[0].values}
    return {}


def release_of(node: Node) -> int:
    """Number of the release that perception uses; 0 for those of the start."""
    return int(perception(node).get("weights_version", "").partition("+")[2] or 0)


def serve_until_weights(node: Node, learner: Learner, at_least: int) -> int:
    """Show frames until perception uses so new a release; its number."""

    def used() -> bool:
        node.serve()
        return release_of(node) >= at_least

    node.ros.wait(used, lambda: f"release {at_least}: {perception(node)}")
    return release_of(node)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "of the learner"


@pytest.fixture(scope="module")
def learner(node: Node, weights: Path, state: Path) -> Learner:
    learner = Learner(node, weights, state)
    learner.wait_ready()
    return learner


def test_what_is_released_is_what_perception_uses(node: Node, learner: Learner) -> None:
    serve_until_weights(node, learner, 2)
    values = perception(node)
    assert values["weights_adapted"] == "true"
    assert values["weights_parent"].startswith("first")
    assert values["bad"] == "0"


def test_the_diagnostics_say_what_was_learned_and_what_was_not(
    node: Node, learner: Learner
) -> None:
    learner.wait("state", "learning")
    status = learner.status
    assert int(status["steps"]) >= int(status["released"]) * 3
    assert status["refused"] == "3"
    assert (status["refused/still"], status["refused/rotation"]) == ("2", "1")
    assert (status["loss/live"], status["loss/held_back"]) == ("0.4", "0.5")
    assert int(status["delivered"]) == int(status["released"])
    assert status["image_topic"] == f"{NAMESPACE}/front/image"
    for name in ("admitted", "candidates", "rolled_back", "rehearsal_pairs", "cpu_fraction"):
        assert name in status, name


def test_the_documents_explain_every_value_and_the_policy_grants_every_name(
    node: Node, learner: Learner
) -> None:
    table = read("reference/diagnostics").partition("## adaptation_node")[2]
    node.serve()  # it waits for images again where the test before was long ago
    learner.wait("state", "learning")
    for name in set(learner.status) - {"level", "message"}:
        assert f"`{name.partition('/')[0]}" in table, name
    observer = node.ros.node
    for kind, verb, found in (
        ("topics", "publish", observer.get_publisher_names_and_types_by_node),
        ("topics", "subscribe", observer.get_subscriber_names_and_types_by_node),
        ("services", "reply", observer.get_service_names_and_types_by_node),
    ):
        names = {name for name, _ in found("adaptation", NAMESPACE)}
        here = {name.removeprefix(NAMESPACE).replace("/front", "") for name in names}
        assert here <= granted("adaptation", kind, verb), (kind, verb)


def test_it_stands_back_behind_perception(node: Node, learner: Learner) -> None:
    def nice(process: NodeProcess) -> set[int]:
        pid = process.process.pid
        threads = os.listdir(f"/proc/{pid}/task")
        return {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads}

    assert nice(learner.process) == {19}
    # There, too, loading of new weights has less priority than frames.
    assert nice(node.process) == {os.getpriority(os.PRIO_PROCESS, 0), NICENESS}


def enable(node: Node, on: bool) -> Any:
    return node.ros.service(SetBool, f"{NODE}/enable", SetBool.Request(data=on))


def test_disabled_it_hears_nothing_and_learns_nothing(node: Node, learner: Learner) -> None:
    assert enable(node, False).success
    learner.wait("message", "disabled")
    images = node.camera.images
    node.ros.wait(lambda: images.get_subscription_count() == 1, "the learner to be deaf")
    steps = learner.status["steps"]
    node.serve()
    assert learner.status["steps"] == steps
    assert enable(node, True).success
    node.ros.wait(lambda: images.get_subscription_count() == 2, "the learner to listen")
    node.serve()
    node.ros.wait(lambda: learner.status["steps"] > steps, "a step")


def test_a_rollback_of_the_learner_reaches_perception(node: Node, learner: Learner) -> None:
    before = serve_until_weights(node, learner, 2)
    answer = node.ros.service(Trigger, f"{NODE}/rollback")
    assert answer.success, answer.message
    learner.wait("rolled_back", "1")
    serve_until_weights(node, learner, before + 1)


def test_perception_outlives_a_killed_learner_and_the_next_one_goes_on(
    node: Node, learner: Learner, weights: Path, state: Path
) -> None:
    before = serve_until_weights(node, learner, 1)
    assert node.ros.service(Trigger, f"{NODE}/save").success
    learner.process.process.send_signal(signal.SIGKILL)
    assert learner.process.wait() == -signal.SIGKILL
    for _ in range(5):
        node.serve()
    assert release_of(node) >= before
    assert perception(node)["bad"] == "0"

    second = Learner(node, weights, state)
    second.wait_ready()
    assert "continuing after" in second.process.log
    serve_until_weights(node, second, before + 1)
    assert perception(node)["bad"] == "0", perception(node)

    # The same process, and a camera that offers less.
    node.ros.destroy(node.camera.images)
    node.camera.images = node.camera.publisher(Image, "front/image", ReliabilityPolicy.BEST_EFFORT)
    frames = int(second.status["frames"])

    def heard() -> bool:
        node.camera.send()
        return int(second.status["frames"]) > frames + 2

    node.ros.wait(heard, lambda: f"frames: {second.status}")
    assert second.process.end(signal.SIGTERM) == 0, second.process.log
    assert "Traceback" not in second.process.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_preparation_tells_how_far_it_is_and_ends_when_told(
    node: Node, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:  # fmt: skip
    # Nothing is in the cache, and so many pairs take far longer than a launch file waits.
    monkeypatch.setitem(node.ros.environment, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = {
        "weights": weights, "state_folder": tmp_path / "state", "replay_pairs": 1000,
        "diagnostics_period": 0.2,
    }  # fmt: skip
    process = node.ros.start("adaptation_node", given, ("-r", f"__ns:=/prepares_{number.name}"))
    node.ros.wait(
        lambda: "preparing: rendering pairs that must not be forgotten: " in process.log,
        lambda: process.log,
    )

    def told() -> bool:
        return any(
            "rendering pairs that must not be forgotten: " in message.status[0].message
            and "of 1000" in message.status[0].message
            for message in list(node.diagnostics)
        )

    node.ros.wait(told, lambda: process.log)
    maps = Path(f"/proc/{process.process.pid}/maps").read_text()
    assert process.end(number) == 0, process.log
    assert "Traceback" not in process.log
    assert "cannot learn" not in process.log
    left = [str(path) for path in abandoned_segments(Path("/dev/shm")) if str(path) in maps]
    assert not left
    assert not (tmp_path / "cache").exists()  # half a set is none
