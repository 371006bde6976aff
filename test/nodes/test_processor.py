"""One message in, outputs out: what the worker's thread does, without a running node."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.estimation_helpers import LEARNED_K, STEP, ScriptedEngine, wall

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

import time

from std_msgs.msg import Header

from depth_motion_ros.estimation.estimate import Estimate
from depth_motion_ros.estimation.odometry import OdometryState
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.nodes.perception.engine_slot import EngineSlot
from depth_motion_ros.nodes.perception.processor import FrameProcessor, ReceivedImage
from depth_motion_ros.nodes.ros import messages
from depth_motion_ros.nodes.ros.camera_info import CameraPairing
from depth_motion_ros.nodes.ros.conversions import image_to_rgb
from depth_motion_ros.nodes.ros.diagnostics import FrameCosts, FrameCounters

# A camera that looks to the left of the robot.
TO_THE_LEFT = se3.exp([0, 0, 0, 0, 0, np.pi / 2]) @ BODY_FROM_OPTICAL


class Sink:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.listeners = 1
        self.states: list[OdometryState] = []
        self.estimates: list[Estimate] = []

    def wanted(self) -> frozenset[str]:
        return frozenset({"odom"} if self.listeners else ())

    def publish_estimate(
        self, wanted: frozenset[str], header: Header, estimate: Estimate, size: tuple[int, int]
    ) -> None:
        self.estimates.append(estimate)

    def publish_odometry(self, wanted: frozenset[str], stamp: Header, state: OdometryState) -> None:
        if state.twist is not None:
            self.states.append(state)


class World:
    """A camera that moves one step to its left a frame, and the mounts that TF knows."""

    def __init__(self, refine: bool = False) -> None:
        self.mounts: dict[str, NDArray[np.float64]] = {}
        self.sink, self.counters = Sink(), FrameCounters()
        self.said: list[str] = []
        self.shift = 0
        self.perception = FrameProcessor(
            EngineSlot(ScriptedEngine().moving(1)),
            EstimatorSettings(refine=refine),
            self.sink,
            CameraPairing(lambda cause, message: None),
            self.mounts.get,
            image_to_rgb,
            self.counters,
            lambda cause, message: self.said.append(cause),
        )

    def show(self, frames: int, frame_id: str = "eye") -> None:
        for _ in range(frames):
            self.shift += 1
            stamp = messages.stamp_to_message(self.shift * 100_000_000)
            message = messages.rgb_image(Header(stamp=stamp, frame_id=frame_id), wall(self.shift))
            self.perception.serve(ReceivedImage(message, time.perf_counter()))


def test_odometry_begins_where_tf_first_says_how_the_camera_sits() -> None:
    world = World()
    world.show(4)
    assert not world.sink.states
    assert "extrinsic unknown" in world.said
    problem = world.perception.mount_problem
    assert "no odometry" in problem
    assert "'eye'" in problem
    assert "camera_xyz" in problem
    before = world.sink.estimates[-1].learned_camera
    world.mounts["eye"] = TO_THE_LEFT
    world.show(2)
    assert not world.perception.mount_problem
    # To the left of a camera that looks to the left is backwards; two frames, two steps.
    position = world.sink.states[-1].pose[:3, 3]
    np.testing.assert_allclose(position, [-2 * STEP, 0, 0], atol=1e-9)
    after = world.sink.estimates[-1].learned_camera
    assert before is not None
    assert after is not None
    assert after.same_as(before)
    np.testing.assert_allclose(after.K, LEARNED_K)


def test_the_pose_of_the_robot_goes_on_when_another_of_its_cameras_takes_over() -> None:
    world = World()
    world.mounts.update(eye=BODY_FROM_OPTICAL, side=TO_THE_LEFT)
    world.show(3)
    # The first camera looks ahead: its left is the robot's, two pairs of frames.
    np.testing.assert_allclose(world.sink.states[-1].pose[:3, 3], [0, 2 * STEP, 0], atol=1e-9)
    world.show(3, "side")
    expected = [-2 * STEP, 2 * STEP, 0]
    np.testing.assert_allclose(world.sink.states[-1].pose[:3, 3], expected, atol=1e-9)


def test_frames_that_nobody_wanted_are_no_missing_frames() -> None:
    world = World()
    world.show(3)
    world.sink.listeners = 0
    world.show(20)
    world.sink.listeners = 1
    world.show(2)
    # 2.1 s between two frames that were served, more than max_gap.
    assert world.counters.values(0)["resets/no subscriber for"] == "1"
    assert not [cause for cause in world.said if "reset" in cause]
    assert [e.quality.tracking for e in world.sink.estimates[-2:]] == ["first", "ok"]
    # A real gap after that is one.
    world.shift += 20
    world.show(1)
    assert "motion state reset (no frame for)" in world.said


def test_a_mount_that_is_no_rigid_transform_costs_odometry_alone() -> None:
    world = World()
    world.mounts["eye"] = 2 * np.eye(4)
    world.show(3)
    assert "extrinsic bad" in world.said
    assert not world.sink.states
    assert len(world.sink.estimates) == 3


@pytest.mark.parametrize("refine", [False, True])
def test_the_cost_of_the_refinement_is_its_own(refine: bool, monkeypatch: Any) -> None:
    # Clocks that go on by one whenever one looks: the machine has no part in what they say.
    for clock in ("perf_counter", "thread_time", "process_time"):
        monkeypatch.setattr(time, clock, partial(next, itertools.count(1.0)))
    world = World(refine)
    world.mounts["eye"] = BODY_FROM_OPTICAL
    costs: list[FrameCosts] = []
    monkeypatch.setattr(world.counters, "serve", costs.append)
    world.show(5)
    assert len(costs) == 5
    for cost in costs[1:]:
        assert (cost.refine > 0) == (cost.cpu_refine > 0) == refine
        # Disjoint parts of the time in between.
        assert 0 < cost.engine + cost.refine + cost.other <= cost.latency
