"""Faults between real processes: cameras that die, change and return; an engine that breaks."""

from __future__ import annotations

import array
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image
from std_msgs.msg import Header

if TYPE_CHECKING:
    from support.ros_harness import NodeProcess, Ros

pytest_plugins = ["support.ros_harness"]

# An engine of which a CUDA error is typical: once it has failed it fails for good. A file tells it
# to fail ("break"), to fail one step alone ("once"), or to hang ("hang").
BREAKABLE = """
import sys, time
from pathlib import Path
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.nodes.perception.node import DepthMotionNode
from depth_motion_ros.nodes.ros.shutdown import run_node
from support.ros_doubles import KnownEngine

class Breakable(KnownEngine):
    broken = False
    def step(self, *images):
        mark = Path({mark!r})
        told = mark.read_text() if mark.exists() else ""
        if told == "once":
            mark.unlink()
            raise EngineError("error 2: out of memory")
        while told == "hang" and mark.exists():
            time.sleep(0.01)
        self.broken = self.broken or told == "break"
        if self.broken:
            raise EngineError("error 719: unspecified launch failure")
        return super().step(*images)
    def close(self):
        if self.broken:
            raise EngineError("error 719: and so does its end")

build = lambda options, weights: Breakable(64, 32, 0.0)
sys.exit(run_node(lambda: DepthMotionNode(build), DepthMotionNode.begin, DepthMotionNode.close))
"""


class Perception:
    """The node under test, and what it says and shows."""

    def __init__(self, ros: Ros, mark: Path) -> None:
        self.ros, self.mark = ros, mark
        self.process: NodeProcess = ros.start(
            "depth_motion_node", {"diagnostics_period": 0.2}, code=BREAKABLE.format(mark=str(mark))
        )
        self.depth = ros.listen(Image, "/depth/image")
        self.diagnostics = ros.listen(DiagnosticArray, "/diagnostics")

    @property
    def said(self) -> dict[str, str]:
        if not self.diagnostics:
            return {}
        status = self.diagnostics[-1].status[0]
        values = {pair.key: pair.value for pair in status.values}
        return {**values, "level": str(status.level[0]), "message": status.message}

    def wait_for(self, key: str, words: str) -> None:
        self.ros.wait(
            lambda: words in self.said.get(key, ""), lambda: f"{words!r} in {key}: {self.said}"
        )

    def wait_for_depth(self, count: int = 3) -> Image:
        """The newest of some that come from now on."""
        before = len(self.depth)
        self.ros.wait(
            lambda: len(self.depth) >= before + count, lambda: f"depth:\n{self.process.log}"
        )
        return self.depth[-1]

    def change(self, *transitions: int) -> None:
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(id=transition))
            assert self.ros.service(ChangeState, "/depth_motion/change_state", request).success


@pytest.fixture(scope="module")
def perception(ros: Ros, tmp_path_factory: pytest.TempPathFactory) -> Perception:
    return Perception(ros, tmp_path_factory.mktemp("mark") / "broken")


def camera(ros: Ros, folder: Path, width: int, height: int, **parameters: Any) -> NodeProcess:
    """A real camera_node that loops over four pictures."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), np.roll(pixels, index, axis=1))
    return ros.start(
        "camera_node",
        {"source": folder, "loop": True, "rate": 20.0, "stamps": "now", **parameters},
    )


def test_a_camera_dies_and_another_of_its_kind_returns(
    ros: Ros, perception: Perception, tmp_path: Path
) -> None:
    """Killed, not ended: nothing is said good-bye to. The next one differs in everything."""
    first = camera(ros, tmp_path / "first", 96, 64, frame_id="first")
    assert perception.wait_for_depth().header.frame_id == "first"
    first.end(signal.SIGKILL)
    perception.wait_for("message", "no image for")
    assert perception.said["level"] == "1"

    second = camera(ros, tmp_path / "second", 160, 48, frame_id="second", reliable=False)
    assert perception.wait_for_depth().header.frame_id == "second"
    assert (perception.depth[-1].width, perception.depth[-1].height) == (64, 32)
    # Back to the first size, with the second's place and name.
    second.end(signal.SIGKILL)
    third = camera(ros, tmp_path / "first", 96, 64, frame_id="second")
    perception.wait_for_depth()
    ros.wait(lambda: int(perception.said["resets"]) >= 2, "both changes to be counted")
    assert perception.process.process.poll() is None
    third.end(signal.SIGINT)


def test_a_publisher_that_changes_its_encoding_goes_on(ros: Ros, perception: Perception) -> None:
    publisher = ros.node.create_publisher(Image, "/image", 10)
    ros.wait(publisher.get_subscription_count, "the node to listen")
    sizes = {"rgb8": 3, "mono8": 1, "bgra8": 4, "bayer_rggb8": 1, "mono16": 2, "nv12": 1.5}
    for encoding, size in sizes.items():
        before = len(perception.depth)

        def send(encoding: str = encoding, size: float = size, before: int = before) -> bool:
            step = 96 * max(1, int(size))
            data = array.array("B", bytes(int(96 * 64 * size)))
            stamp = ros.node.get_clock().now().to_msg()
            publisher.publish(
                Image(header=Header(stamp=stamp, frame_id="second"), width=96, height=64,
                      step=step, encoding=encoding, data=data)
            )  # fmt: skip
            return len(perception.depth) > before

        ros.wait(send, f"depth from {encoding}")
    ros.destroy(publisher)
    assert "Traceback" not in perception.process.log


def test_a_fixed_qos_that_cannot_match_is_named_with_its_remedy(
    ros: Ros, perception: Perception, tmp_path: Path
) -> None:
    deaf = ros.start("depth_motion_node", {"engine": "torch", "qos": "reliable"},
                     ("-r", "__ns:=/fixed", "-r", "image:=/image"))  # fmt: skip
    ros.wait(lambda: "listening to /image" in deaf.log, lambda: deaf.log)
    running = camera(ros, tmp_path / "images", 96, 64, reliable=False)
    ros.wait(lambda: "qos mismatch on /image" in deaf.log, lambda: deaf.log)
    assert "Set the parameter qos to auto or best_effort" in deaf.log
    # The one beside it, with qos auto, hears the same camera.
    perception.wait_for_depth()
    perception.wait_for("image_qos", "best_effort")
    running.end(signal.SIGINT)
    assert deaf.end(signal.SIGINT) == 0


def test_an_engine_that_fails_once_goes_on(
    ros: Ros, perception: Perception, tmp_path: Path
) -> None:
    running = camera(ros, tmp_path / "images", 96, 64)
    perception.wait_for_depth()
    perception.mark.write_text("once")
    ros.wait(lambda: not perception.mark.exists(), "the failure")
    perception.wait_for("dropped/engine failed", "1")
    perception.wait_for_depth()
    assert perception.said["state"] == "active"
    assert perception.process.log.count("engine failed: error 2: out of memory") == 1
    running.end(signal.SIGINT)


def test_an_engine_that_hangs_is_told(ros: Ros, perception: Perception, tmp_path: Path) -> None:
    """Images still come in, so that nothing but the missing outputs shows it."""
    running = camera(ros, tmp_path / "images", 96, 64)
    perception.wait_for_depth()
    perception.mark.write_text("hang")
    perception.wait_for("message", "images come, but none was served for")
    assert perception.said["level"] == "2"
    perception.mark.unlink()
    perception.wait_for_depth()
    # Served again; that no source of scale is known is all that is left to say.
    perception.wait_for("message", "lengths are not metric")
    running.end(signal.SIGINT)


def test_an_engine_that_breaks_ends_in_the_error_state_and_is_mended_through_the_lifecycle(
    ros: Ros, perception: Perception, tmp_path: Path
) -> None:
    events = ros.listen(TransitionEvent, "/depth_motion/transition_event")
    ros.wait(lambda: ros.node.count_publishers("/depth_motion/transition_event"), "its events")
    running = camera(ros, tmp_path / "images", 96, 64)
    perception.wait_for_depth()
    perception.mark.write_text("break")
    perception.wait_for("state", "unconfigured")
    # A lifecycle manager sees the same path, and may mend it by itself.
    path = [(event.start_state.label, event.goal_state.label) for event in events]
    assert path == [
        ("active", "deactivating"),
        ("deactivating", "errorprocessing"),
        ("errorprocessing", "unconfigured"),
    ]
    assert perception.said["level"] == "2"
    # At 20 Hz, looked at twice a second: at least the three that are borne, and at most a second.
    found = re.search(
        r"the engine failed (\d+) times in a row: error 719: unspecified launch failure; configure",
        perception.said["message"],
    )
    assert found, perception.said
    assert 3 <= int(found[1]) <= 20
    ros.wait(lambda: not ros.node.count_subscribers("/image"), "no subscription")
    assert perception.process.log.count("times in a row") == 1
    assert "cannot end what has failed" in perception.process.log

    perception.mark.unlink()
    perception.change(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    perception.wait_for_depth()
    # It works again: a warning is left that no source knows the scale.
    perception.wait_for("level", "1")
    running.end(signal.SIGINT)
    assert perception.process.end(signal.SIGINT) == 0
    assert "Traceback" not in perception.process.log
