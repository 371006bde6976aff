"""Nothing is released that is worse, has drifted, has collapsed, or is not finite."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from support.adaptation_scenes import pair, rehearsal_pairs, settings, untrained

from depth_motion_ros.adaptation.learner import Learner, LearnerBatch
from depth_motion_ros.adaptation.release import (
    KEPT,
    REFUSED,
    RELEASED,
    ReleaseGate,
    ReleaseVersions,
    _harm,
)
from depth_motion_ros.adaptation.scoring import score
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import build_network

WEIGHTS = untrained()
LIVE = [pair(0.3 * i, with_depth=False) for i in range(3)]
GOOD = {
    "held_back": 0.9,
    "held_back_running": 1.0,
    "held_back_first": 1.0,
    "rehearsal": 1.0,
    "rehearsal_running": 1.0,
    "rehearsal_first": 1.0,
    "depth_abs_rel": 0.3,
    "depth_abs_rel_first": 0.3,
    "depth_abs_rel_live": 0.2,
    "depth_abs_rel_live_running": 0.2,
    "depth_abs_rel_live_first": 0.2,
    "depth_shift": 0.0,
    "scale_shift": 0.0,
    "rehearsal_depth_shift": 0.0,
    "depth_variance": 0.1,
    "active": 0.0,
    "worse_share": 0.0,
}


@pytest.fixture(scope="module")
def gate() -> ReleaseGate:
    # An untrained network's depth is nearly constant: the floor of its variance is tested apart.
    return ReleaseGate(WEIGHTS, rehearsal_pairs(3), settings(min_depth_variance=0.0))


@pytest.fixture(scope="module")
def learned() -> DepthMotionNet:
    """Masters after ten steps on the live pairs, with pairs of the same scene as replay."""
    learner = Learner(WEIGHTS, settings(learning_rate=5e-4, anchor=0.0))
    for _ in range(10):
        learner.step(
            LearnerBatch(LIVE[:1], LIVE[1:2], rehearsal_pairs(1), [torch.ones(2, 1, 64, 128)])
        )
    return learner.network.eval()


def test_a_better_candidate_is_released(gate: ReleaseGate, learned: DepthMotionNet) -> None:
    verdict = gate.decide(learned, build_network(WEIGHTS), LIVE)
    assert verdict.outcome == RELEASED, verdict
    assert verdict.scores["held_back"] < verdict.scores["held_back_running"]
    assert verdict.reason == ""


def test_the_same_weights_are_neither_harmful_nor_worth_a_release(gate: ReleaseGate) -> None:
    verdict = gate.decide(build_network(WEIGHTS), build_network(WEIGHTS), LIVE)
    assert verdict.outcome == KEPT
    assert "falls by 0.00%" in verdict.reason


def test_nearer_to_what_was_triangulated_is_worth_a_release() -> None:
    """Also where the objective sees no gain; and what is farther from it is not."""
    gate = ReleaseGate(WEIGHTS, rehearsal_pairs(3), settings(min_depth_variance=0.0))
    live = [pair(0.3 * i) for i in range(3)]
    running, candidate = build_network(WEIGHTS), build_network(WEIGHTS)
    with torch.no_grad():
        # A thousandth of the motion: next to no other loss.
        candidate.motion_net.pose.weight *= 0.999
    verdict = gate.decide(candidate, running, live)
    assert verdict.outcome == KEPT
    assert "the depth error falls by" in verdict.reason
    known = [record.depth_1 for record in live]
    assert verdict.scores["depth_abs_rel_live"] == verdict.scores["depth_abs_rel_live_running"]
    assert all(depth is not None for depth in known)


def test_depth_in_another_unit_is_refused(gate: ReleaseGate) -> None:
    candidate = build_network(WEIGHTS)
    with torch.no_grad():
        # softplus(0.7 + 1) / softplus(0.7) is about 1.7: all depth grows by that factor.
        candidate.depth_net.head.bias += 1.0
    verdict = gate.decide(candidate, build_network(WEIGHTS), LIVE)
    assert verdict.outcome == REFUSED
    assert verdict.reason


def test_weights_that_are_not_finite_are_refused(gate: ReleaseGate) -> None:
    candidate = build_network(WEIGHTS)
    with torch.no_grad():
        candidate.depth_net.head.bias += math.nan
    verdict = gate.decide(candidate, build_network(WEIGHTS), LIVE)
    assert verdict.outcome == REFUSED
    assert "not finite" in verdict.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"held_back": 1.03}, "held-back live pairs is 1.0300, more than 1.0150"),
        ({"held_back": 1.03, "held_back_running": 1.03}, "held-back live pairs"),
        ({"worse_share": 0.3}, "share of held-back pairs that are worse"),
        ({"rehearsal": 1.03}, "loss on rehearsal pairs"),
        # No worse than the running weights, but they have forgotten already.
        ({"rehearsal": 1.03, "rehearsal_running": 1.03}, "loss on rehearsal pairs"),
        ({"depth_abs_rel": 0.31}, "depth error on them"),
        ({"depth_abs_rel_live": 0.204}, "depth error on held-back live pairs is 0.2040"),
        (
            {"depth_abs_rel_live": 0.205, "depth_abs_rel_live_running": 0.205},
            "depth error on held-back live pairs is 0.2050, more than 0.2040",
        ),
        ({"depth_shift": 0.4}, "median depth of live pairs has changed by the factor 1.492"),
        ({"depth_shift": -0.4}, "median depth of live pairs"),
        ({"rehearsal_depth_shift": 0.4}, "median depth of rehearsal pairs"),
        ({"scale_shift": -0.4}, "learned translation"),
        ({"depth_variance": 1e-4}, "collapsed"),
        ({"active": 0.7}, "seem to move"),
        ({"held_back": math.inf}, "held_back not finite"),
    ],
)
def test_every_bound_is_kept(changes: dict[str, float], words: str) -> None:
    assert _harm(GOOD, settings()) == ""
    assert words in _harm({**GOOD, **changes}, settings())


def test_without_truth_the_other_bounds_still_hold() -> None:
    unknown = {name: math.nan for name in GOOD if name.startswith("depth_abs_rel")}
    assert _harm({**GOOD, **unknown}, settings()) == ""
    assert _harm({**GOOD, **unknown, "rehearsal": 1.1}, settings())


def test_a_score_says_what_the_truth_says() -> None:
    network = build_network(WEIGHTS)
    record = pair()
    (found,) = score(network, [record])
    errors = []
    for image, truth in ((record.image_1, record.depth_1), (record.image_2, record.depth_2)):
        assert truth is not None
        depth = network.depth_net(image[None].float() / 255)[0].detach()
        scaled = depth * truth.median() / depth.median()
        errors.append(float(((scaled - truth).abs() / truth).mean()))
    assert found.depth_abs_rel == pytest.approx(sum(errors) / 2, rel=1e-4)
    assert math.isnan(score(network, LIVE[:1])[0].depth_abs_rel)


def test_a_score_does_not_depend_on_its_neighbours() -> None:
    network = build_network(WEIGHTS)
    together = score(network, LIVE)
    alone = [score(network, [record])[0] for record in LIVE]
    assert [s.loss for s in together] == pytest.approx([s.loss for s in alone], rel=1e-4)


def test_numbers_of_releases_rise_from_those_of_the_weights() -> None:
    versions = ReleaseVersions("run+3", number=1)
    one = versions.release(WEIGHTS, "run+3", {})
    two = versions.release(one.weights, one.weights.version, {})
    assert (one.number, two.number) == (4, 5)
    assert two.weights.metadata["version"] == "run+5"
    assert two.weights.metadata["parent"] == "run+4"


def test_scores_of_the_running_weights_follow_a_release(learned: DepthMotionNet) -> None:
    gate = ReleaseGate(WEIGHTS, rehearsal_pairs(3), settings(min_depth_variance=0.0))
    running = build_network(WEIGHTS)
    before = gate.decide(learned, running, LIVE).scores
    gate.running_changed(learned)
    after = gate.decide(copy.deepcopy(learned), learned, LIVE).scores
    assert after["held_back_running"] == pytest.approx(before["held_back"])
    assert after["held_back_first"] == before["held_back_first"]
