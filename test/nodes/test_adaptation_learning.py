"""The learner in a node, without its process: state, deliveries, budget, and what stops it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from support.adaptation_doubles import EVERY, KnownAdapter, build

from depth_motion_ros.adaptation.budget import Budget
from depth_motion_ros.adaptation.errors import AdaptationError
from depth_motion_ros.adaptation.progress import tell_progress
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of
from depth_motion_ros.nodes.adaptation.curves import LearningCurves
from depth_motion_ros.nodes.adaptation.learning import AdapterWorker
from depth_motion_ros.nodes.adaptation.node import AdaptationNode
from depth_motion_ros.nodes.adaptation.observations import (
    CameraOdometry,
    LearnerObservation,
    ObservationBuilder,
    RateLimiter,
)
from depth_motion_ros.nodes.adaptation.state import OrderNumbers, StateFolder, default_folder
from depth_motion_ros.nodes.adaptation.status import level_of
from depth_motion_ros.nodes.ros.conversions import BadImageError
from depth_motion_ros.nodes.ros.parameters import ParameterError
from depth_motion_ros.nodes.weights_exchange.protocol import (
    WeightsAcceptance,
    check_seal,
    fingerprint,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
SECOND = 1_000_000_000


def base_weights() -> Weights:
    torch.manual_seed(0)
    return weights_of(DepthMotionNet(NetworkConfig("lite", 64, 32)), version="base")


BASE = base_weights()


class Bench:
    """A Learning around a KnownAdapter; delivered holds what went out."""

    def __init__(
        self, folder: StateFolder | None = None, curves: LearningCurves | None = None
    ) -> None:
        self.adapter = KnownAdapter(BASE)
        self.budget = Budget(0.5, 100.0)
        self.delivered: list[Weights] = []
        self.said: list[str] = []
        self.reported: list[str] = []
        self.learning = AdapterWorker(
            self.adapter, BASE, self.budget, folder, 3600.0, curves,  # type: ignore[arg-type]
            self.delivered.append, self.said.append,
            lambda cause, text: self.reported.append(f"{cause}: {text}"),
        )  # fmt: skip
        self.learning.begin()

    def show(self, frames: int) -> None:
        for index in range(frames):
            self.learning.serve(LearnerObservation(IMAGE, 0.1 * index, None, None))


def test_releases_are_delivered_sealed_in_order_and_taken_by_a_node() -> None:
    bench = Bench()
    bench.show(2 * EVERY)
    assert [weights.version for weights in bench.delivered] == ["base+1", "base+2"]
    gate = WeightsAcceptance(BASE)
    for weights in bench.delivered:
        received = gate.check(weights.to_bytes())
        assert received is not None
        assert received.origin == fingerprint(BASE)
        gate.accept(received)


def test_a_new_process_goes_on_and_delivers_what_was_released(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    first = Bench(folder)
    first.show(EVERY + 1)
    folder.close()  # without saving, as after a kill: the release was saved before it went out
    second = Bench(StateFolder(tmp_path))
    assert second.adapter.frames == EVERY
    assert [weights.version for weights in second.delivered] == ["base+1"]
    again, before = (check_seal(b.delivered[-1], "") for b in (second, first))
    assert again.order > before.order
    assert again.content == before.content


def test_a_candidate_in_hand_is_left_when_the_process_ends(tmp_path: Path) -> None:
    bench = Bench(StateFolder(tmp_path))

    def judged_for_ever() -> None:
        bench.learning.stop()
        for pair in itertools.count():
            tell_progress("judging pairs", pair, 0)

    bench.adapter.consider = judged_for_ever  # type: ignore[method-assign]
    bench.show(1)
    bench.learning.close()
    assert bench.delivered == []
    assert bench.adapter.saved == 1


def test_a_damaged_state_is_told_and_learning_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "state.json").write_text("{", encoding="utf-8")
    bench = Bench(StateFolder(tmp_path))
    assert bench.delivered == []
    [told] = bench.reported
    assert told.startswith("state refused")
    assert "learning starts again" in told


def test_a_full_disk_costs_the_state_and_not_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(StateFolder(tmp_path))

    def full(folder: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bench.adapter, "save", full)
    bench.show(EVERY)
    assert [weights.version for weights in bench.delivered] == ["base+1"]
    assert bench.reported == [f"state not saved: {tmp_path}: No space left on device"]
    with pytest.raises(AdaptationError, match="cannot be written"):
        bench.learning.save()


def test_numbers_rise_over_a_restart_though_the_clock_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 2_000_000_000_000)
    folder = StateFolder(tmp_path)
    assert [OrderNumbers(folder).next(), OrderNumbers(folder).next()] == [2_000_000, 2_000_001]
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000_000)
    assert OrderNumbers(folder).next() == 2_000_002
    # Without what was kept, the time serves.
    assert OrderNumbers(None).next() == 1_000_000


def test_a_rollback_delivers_earlier_weights_or_says_that_there_are_none() -> None:
    bench = Bench()
    with pytest.raises(AdaptationError, match="nothing was released before 'base'"):
        bench.learning.rollback()
    bench.show(2 * EVERY)
    assert bench.learning.rollback() == "base+3"
    first, _, third = (fingerprint(weights) for weights in bench.delivered)
    assert third == first


def test_switched_off_it_goes_on_from_the_first_weights_when_told_to() -> None:
    bench = Bench()
    bench.show(EVERY)
    bench.learning.resume()
    assert len(bench.delivered) == 1  # nothing was off
    bench.adapter.off = True
    bench.learning.resume()
    assert bench.learning.status.state == "learning"
    assert fingerprint(bench.delivered[-1]) == fingerprint(BASE)


def test_time_spent_beside_learning_comes_out_of_the_budget() -> None:
    bench = Bench()
    before, spent = time.process_time(), bench.budget.spent
    while time.process_time() - before < 0.2:
        np.linalg.inv(np.random.default_rng(0).random((50, 50)))
    bench.show(1)
    # The double's own steps take next to nothing.
    assert bench.budget.spent - spent >= 0.2


def test_curves_have_losses_counts_and_reasons(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is optional")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    bench = Bench(curves=LearningCurves(tmp_path))
    bench.show(EVERY)
    bench.learning.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    tags = set(found.Tags()["scalars"])
    assert {"step/loss", "step/live_loss", "step/terms/rgb", "refused/still", "count/released",
            "candidate/held_back", "cpu_fraction"} <= tags  # fmt: skip
    assert [event.step for event in found.Scalars("step/loss")] == [1, 2, 3]


def test_a_folder_serves_one_learner_at_a_time(tmp_path: Path) -> None:
    first = StateFolder(tmp_path)
    with pytest.raises(ParameterError, match="in use by another learner"):
        StateFolder(tmp_path)
    first.close()
    StateFolder(tmp_path).close()
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match="name another, or set persist to false"):
        StateFolder(tmp_path / "file" / "below")


def test_each_node_and_weights_have_their_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_HOME", "/home/ros")
    expected = f"/home/ros/depth_motion/robot.adaptation-lite-{fingerprint(BASE)[:12]}"
    assert str(default_folder("/robot/adaptation", BASE)) == expected


@pytest.mark.parametrize(("hz", "jitter_ms", "taken"), [(10, 0, 10), (10, 40, 10), (30, 10, 10),
                                                        (7, 0, 7), (15, 0, 10)])  # fmt: skip
def test_images_are_looked_at_ten_times_a_second_whatever_the_camera_does(
    hz: int, jitter_ms: int, taken: int
) -> None:
    pace = RateLimiter(10.0)
    jitter = np.random.default_rng(0).integers(-jitter_ms, jitter_ms + 1, 100 * hz) * 1_000_000
    stamps = [SECOND + i * SECOND // hz + int(jitter[i]) for i in range(100 * hz)]
    # One in a hundred for the jitter that lets an image pass for an earlier one.
    assert sum(map(pace.takes, stamps)) == pytest.approx(100 * taken, rel=0.01)


def test_the_pace_begins_anew_after_a_gap_and_when_time_goes_back() -> None:
    pace = RateLimiter(10.0)
    assert pace.takes(SECOND)
    assert not pace.takes(SECOND + 1)
    assert pace.takes(9 * SECOND)
    assert not pace.takes(9 * SECOND + 1)  # nothing is made up for
    assert pace.takes(SECOND)


def message(stamp: int) -> Any:
    return SimpleNamespace(
        header=SimpleNamespace(
            stamp=SimpleNamespace(sec=stamp // SECOND, nanosec=stamp % SECOND), frame_id="eye"
        )
    )


def eye(odometry: CameraOdometry, camera: Camera | None = None) -> ObservationBuilder:
    pairing: Any = SimpleNamespace(camera_for=lambda stamp, width, height: camera)
    return ObservationBuilder(lambda _: IMAGE, pairing, odometry, lambda cause, text: None)


def test_the_eye_tells_how_far_the_camera_moved_between_its_images() -> None:
    """The robot turns by a right angle on the spot; its camera sits one metre ahead."""
    mount = se3.transform(np.eye(3), [1.0, 0.0, 0.0])
    odometry = CameraOdometry(mount)
    turn = se3.exp(np.array([0, 0, 0, 0, 0, np.pi / 2]))
    seeing = eye(odometry)
    assert seeing.see(message(0)).displacement is None
    odometry.add(0, np.eye(4))
    odometry.add(SECOND, turn)
    seen = seeing.see(message(SECOND))
    assert seen.displacement is not None
    # From (1, 0) to (0, 1), in the axes of the first camera, which are those of the base.
    np.testing.assert_allclose(seen.displacement.translation, [-1.0, 1.0, 0.0], atol=1e-12)
    assert seen.displacement.dt == 1.0
    assert seen.stamp == 1.0
    # Beyond what odometry has told, and back in time: not known.
    assert seeing.see(message(3 * SECOND)).displacement is None
    assert seeing.see(message(SECOND)).displacement is None


def test_the_eye_undoes_distortion_and_gives_the_pinhole_camera() -> None:
    K = np.array([[60.0, 0, 31.5], [0, 60.0, 15.5], [0, 0, 1]])
    lens = Camera(K, 64, 32, np.array([-0.3, 0.1, 0, 0, 0]), "plumb_bob")
    seen = eye(CameraOdometry(np.eye(4)), lens).see(message(0))
    assert seen.K is not None
    assert np.abs(seen.image.astype(int) - IMAGE).max() > 50
    plain = eye(CameraOdometry(np.eye(4)), lens.undistorted()).see(message(0))
    np.testing.assert_array_equal(plain.image, IMAGE)
    assert eye(CameraOdometry(np.eye(4))).see(message(0)).K is None


def test_a_bad_image_is_skipped_over() -> None:
    odometry = CameraOdometry(np.eye(4))
    for second in range(3):
        odometry.add(second * SECOND, se3.transform(np.eye(3), [float(second), 0, 0]))
    seeing = eye(odometry)
    seeing.see(message(0))

    def refuse(_: Any) -> Any:
        raise BadImageError("short data", "1 byte")

    good, seeing._decode = seeing._decode, refuse
    with pytest.raises(BadImageError):
        seeing.see(message(SECOND))
    seeing._decode = good
    moved = seeing.see(message(2 * SECOND)).displacement
    assert moved is not None
    np.testing.assert_allclose(moved.translation, [2.0, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("enabled", "problem", "state", "silence", "level", "word"),
    [
        (True, "cannot learn: x", "learning", 0.0, DiagnosticStatus.ERROR, "cannot learn: x"),
        (True, "", None, 0.0, DiagnosticStatus.OK, "preparing"),
        (False, "", "off", 9.0, DiagnosticStatus.OK, "disabled"),
        (True, "", "off", 0.0, DiagnosticStatus.WARN, "switched off: five failures"),
        (True, "", "waiting", 3.0, DiagnosticStatus.WARN, "no image for 3 s on /image"),
        (True, "", "learning", 0.1, DiagnosticStatus.OK, "learning, 0 steps, base"),
    ],
)
def test_the_worst_is_told(
    enabled: bool, problem: str, state: str | None, silence: float, level: bytes, word: str
) -> None:
    adapter = KnownAdapter(BASE)
    adapter.off = state == "off"
    adapter.frames = int(state == "learning")
    status = adapter.status() if state is not None else None
    found = level_of(enabled, problem, status, silence, "/image")
    assert found[0] == level
    assert word in found[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Makes the node inside of this process, with parameters."""
    made: list[AdaptationNode] = []

    def start(**parameters: Any) -> AdaptationNode:
        words = ["--ros-args"]
        for name, value in {"state_folder": tmp_path / "state", **parameters}.items():
            words += ["-p", f"{name}:={str(value).lower() if value is False else value}"]
        rclpy.init(args=words, domain_id=101)
        made.append(AdaptationNode(build))  # type: ignore[arg-type]
        return made[0]

    yield start
    for node in made:
        node.close()
        node.destroy_node()
    rclpy.try_shutdown()


def test_what_cannot_work_is_said_at_the_start(start: Any, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="there are no weights to adapt"):
        # Only lite has weights in the package.
        start(architecture="resnet18")
    rclpy.try_shutdown()
    BASE.to_file(tmp_path / "net.safetensors")
    with pytest.raises(ParameterError, match="no pair could ever be admitted"):
        start(weights=tmp_path / "net.safetensors", min_time_step=2.0, max_time_step=1.0)


def test_a_recording_that_is_of_no_use_is_an_error_in_the_diagnostics(
    start: Any, tmp_path: Path
) -> None:
    BASE.to_file(tmp_path / "net.safetensors")
    node = start(weights=tmp_path / "net.safetensors", replay_data="nothing", enabled=False, nice=0)
    node.begin()
    end = time.monotonic() + 20
    while not node._problem and time.monotonic() < end:
        time.sleep(0.01)
    assert node._problem == "cannot learn: nothing: no pair of its frames shows motion"
