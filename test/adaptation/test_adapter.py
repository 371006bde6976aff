"""From frames to releases: what learns, what never does, and what happens when it goes wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.adaptation_scenes import HEIGHT, WIDTH, K, rehearsal_pairs, scene, settings, untrained

from depth_motion_ros.adaptation.adapter import Adapter
from depth_motion_ros.adaptation.budget import Budget
from depth_motion_ros.adaptation.errors import AdaptationError
from depth_motion_ros.adaptation.release import KEPT, REFUSED, RELEASED, ReleaseDecision
from depth_motion_ros.adaptation.status import COOLING, LEARNING, OFF, WAITING

WEIGHTS = untrained()
PAIRS = rehearsal_pairs(2)


def adapter(budget: Budget | None = None, **changes: object) -> Adapter:
    chosen = {"hold_back_every": 3, "min_held_back": 2, "steps_per_candidate": 2, "cool_down": 1.0}
    return Adapter(WEIGHTS, settings(**{**chosen, **changes}), PAIRS, budget=budget)


class Drive:
    """Shows an adapter a camera that drives to the right, at 10 Hz."""

    def __init__(self, learner: Adapter) -> None:
        self.learner = learner
        self.count = 0

    def frame(self, moves: bool = True) -> str:
        image = scene(0.2 * self.count if moves else 0.0, seed=self.count)[0]
        found = self.learner.observe(image, 0.1 * self.count, K)
        self.count += 1
        return found.reason

    def until_candidate(self) -> None:
        while len(self.learner._memory.held_back) < 2 or self.learner.status().steps < 2:
            self.frame()
            while self.learner.learn() is not None:
                pass


def verdict(monkeypatch: pytest.MonkeyPatch, learner: Adapter, *outcomes: str) -> None:
    """Decide for the gate."""
    left = list(outcomes)
    monkeypatch.setattr(
        learner._gate,
        "decide",
        lambda *_: ReleaseDecision(left.pop(0), "said so", {"held_back": 0.5}),
    )


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_standing_still_is_looked_at_and_never_learned_from() -> None:
    learner = adapter()
    drive = Drive(learner)
    reasons = [drive.frame(moves=False) for _ in range(20)]
    assert reasons == ["first"] + ["still"] * 19
    assert learner.learn() is None
    assert learner.consider() is None
    status = learner.status()
    assert (status.frames, status.admitted, status.steps) == (20, 0, 0)
    assert status.refused == {"first": 1, "still": 19}
    assert status.state == WAITING
    assert learner.running is WEIGHTS


def test_a_drive_teaches_and_what_judges_shares_no_image_with_what_teaches() -> None:
    learner = adapter(hold_back_every=3)
    drive = Drive(learner)
    reasons = []
    for _ in range(12):
        reasons.append(drive.frame())
        learner.learn()
    # Two pairs teach; then the chain of images breaks before and after the pair that judges.
    once = ["first", "admitted", "admitted", "first", "held_back"]
    assert reasons == [*once, *once, "first", "admitted"]
    rehearsal_training = {record.stamp for record in learner._memory.live}
    rehearsal_validation = {record.stamp for record in learner._memory.held_back}
    assert not rehearsal_training & rehearsal_validation
    for judge in learner._memory.held_back:
        for teacher in learner._memory.live:
            assert not torch.equal(judge.image_1, teacher.image_2)
            assert not torch.equal(judge.image_2, teacher.image_1)
    assert learner.status().state == LEARNING


def test_pairs_carry_the_depth_that_geometry_tells_of_them() -> None:
    learner = adapter(hold_back_every=100)
    drive = Drive(learner)
    for _ in range(6):
        drive.frame()
        report = learner.learn()
    newest = learner._memory.live[-1]
    assert newest.depth_2 is not None
    truth = torch.from_numpy(scene(1.0)[1])[None]
    known = torch.isfinite(newest.depth_2)
    found, true = newest.depth_2[known].float(), truth[known]
    # Far better than an untrained network; the camera drives 0.2 m a frame, 1 to 8 m away.
    assert float((found * true.median() / found.median() / true - 1).abs().mean()) < 0.1
    # The first frame is the second of the pair before, and so is its depth.
    assert newest.depth_1 is learner._memory.live[-2].depth_2
    assert report is not None
    assert report.terms["triangulated"] > 0
    status = learner.status()
    assert (status.depth, status.triangulated) == ("triangulated", status.admitted - 1)
    # Without intrinsics learning goes on as ever.
    for count in range(6, 12):
        learner.observe(scene(0.2 * count)[0], 0.1 * count)
        report = learner.learn()
    assert learner._memory.live[-1].depth_2 is None
    assert "no CameraInfo" in learner.status().depth
    assert learner.status().triangulated == status.triangulated


def test_triangulation_is_paid_from_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now, processor = [0.0], [0.0]
    learner = adapter(Budget(0.5, 10.0, lambda: now[0], lambda: processor[0]))
    survey = learner._triangulator.depths

    def slow(stamp: float) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        processor[0] += 5.0
        return survey(stamp)

    monkeypatch.setattr(learner._triangulator, "depths", slow)
    drive = Drive(learner)
    # One second is saved up; five are spent, so that for eight nothing more is looked at.
    assert [drive.frame() for _ in range(3)] == ["first", "admitted", "budget"]
    now[0] += 7.9
    assert drive.frame() == "budget"
    now[0] += 0.2
    assert drive.frame() == "admitted"


def test_steps_follow_the_admitted_pairs() -> None:
    learner = adapter(steps_per_pair=2, hold_back_every=100)
    drive = Drive(learner)
    drive.frame()
    drive.frame()
    reports = [learner.learn() for _ in range(3)]
    assert [None if r is None else r.step for r in reports] == [1, 2, None]


def test_a_release_carries_its_number_and_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = adapter()
    drive = Drive(learner)
    drive.until_candidate()
    verdict(monkeypatch, learner, RELEASED)
    release = learner.consider()
    assert release is not None
    assert (release.number, release.weights.version) == (1, "base+1")
    assert release.weights.metadata["parent"] == "base"
    assert learner.running is release.weights
    assert not same(release.weights.tensors, WEIGHTS.tensors)
    # The same candidate is not judged twice.
    assert learner.consider() is None
    assert learner.status().released == 1


def test_a_harmless_candidate_goes_on_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = adapter()
    drive = Drive(learner)
    drive.until_candidate()
    before = learner._learner.weights()
    verdict(monkeypatch, learner, KEPT)
    assert learner.consider() is None
    assert same(learner._learner.weights().tensors, before.tensors)
    assert learner.status().rolled_back == 0
    assert learner.status().reason == "said so"


def test_what_goes_too_far_is_released_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = adapter()
    Drive(learner).until_candidate()
    average = learner._learner.weights().tensors
    verdict(monkeypatch, learner, REFUSED, REFUSED, RELEASED)
    release = learner.consider()
    assert release is not None
    name = "depth_net.head.weight"
    start = WEIGHTS.tensors[name]
    quarter = start + 0.25 * (average[name] - start)
    assert torch.allclose(release.weights.tensors[name], quarter, atol=1e-7)
    # The learner goes on from there, and nothing was refused.
    assert same(learner._learner.weights().tensors, release.weights.tensors)
    assert learner.status().failures == learner.status().rolled_back == 0


def test_a_harmful_candidate_is_rolled_back_cools_down_and_switches_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = adapter(max_failures=2, cool_down=0.45)
    drive = Drive(learner)
    drive.until_candidate()
    # Neither candidate passes, nor half or a quarter of the way to it.
    verdict(monkeypatch, learner, *[REFUSED] * 6)
    assert learner.consider() is None
    status = learner.status()
    assert (status.state, status.rolled_back, status.failures) == (COOLING, 1, 1)
    assert same(learner._learner.weights().tensors, WEIGHTS.tensors)
    # What it learned from is gone, and for 0.45 s nothing new is taken.
    assert status.live_pairs == status.own_pairs == status.held_back_pairs == 0
    assert [drive.frame() for _ in range(4)] == ["cooling"] * 4
    assert drive.frame() == "first"
    steps = status.steps
    while learner.status().steps < steps + 2 or len(learner._memory.held_back) < 2:
        drive.frame()
        while learner.learn() is not None:
            pass
    assert learner.consider() is None
    status = learner.status()
    assert status.state == OFF
    assert "2 refused candidates in a row" in status.reason
    assert drive.frame() == "off"
    assert learner.learn() is None
    # On again, from the first weights, when asked.
    release = learner.reset()
    assert same(release.weights.tensors, WEIGHTS.tensors)
    assert drive.frame() == "first"


def test_rollback_goes_back_by_one_release_under_a_new_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = adapter()
    assert learner.rollback() is None
    Drive(learner).until_candidate()
    verdict(monkeypatch, learner, RELEASED)
    assert learner.consider() is not None
    back = learner.rollback()
    assert back is not None
    assert (back.number, back.weights.version) == (2, "base+2")
    assert back.weights.metadata["parent"] == "base+1"
    assert same(back.weights.tensors, WEIGHTS.tensors)
    assert learner.status().state == COOLING
    assert learner.rollback() is None


def test_without_processor_time_nothing_is_learned() -> None:
    now = [0.0]
    learner = adapter(Budget(0.5, 1.0, lambda: now[0], lambda: 0.0), hold_back_every=100)
    drive = Drive(learner)
    for _ in range(3):
        drive.frame()
    assert learner.learn() is not None
    assert learner.learn() is None
    now[0] += 1.0
    assert learner.learn() is not None


def test_pairs_pile_up_no_further_than_they_can_be_learned() -> None:
    now = [0.0]
    learner = adapter(Budget(0.5, 0.01, lambda: now[0], lambda: 0.0), hold_back_every=100)
    drive = Drive(learner)
    reasons = [drive.frame() for _ in range(8)]
    assert reasons[:4] == ["first", "admitted", "admitted", "admitted"]
    assert set(reasons[4:]) == {"budget"}


@pytest.mark.parametrize("image", [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_frames_that_are_none_change_nothing_but_a_count(image: object) -> None:
    learner = adapter()
    assert learner.observe(image, 0.0).reason == "bad_image"  # type: ignore[arg-type]
    assert learner.observe(scene()[0], float("nan")).reason == "bad_image"
    assert learner.status().refused == {"bad_image": 2}


def test_images_of_any_size_and_no_intrinsics_are_taken() -> None:
    learner = adapter()
    for i in range(3):
        image = np.repeat(np.repeat(scene(0.2 * i)[0], 2, axis=0), 3, axis=1)
        reason = learner.observe(image, 0.1 * i).reason
    assert reason == "admitted"
    (record, *_) = learner._memory.live
    assert record.image_1.shape == (3, HEIGHT, WIDTH)
    assert record.K is None


def test_rehearsal_pairs_of_another_size_are_refused() -> None:
    small = torch.zeros((3, 32, 64), dtype=torch.uint8)
    from depth_motion_ros.adaptation.pairing.records import PairRecord

    with pytest.raises(AdaptationError, match="64x32, the network takes 128x64"):
        Adapter(WEIGHTS, settings(), [PairRecord(small, small)] * 4)
