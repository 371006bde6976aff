"""What learns learns, what is frozen stays as it was to the last bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.adaptation_scenes import pair, rehearsal_pairs, settings, untrained

from depth_motion_ros.adaptation.learner import ANCHOR, Learner, LearnerBatch, LearnerState
from depth_motion_ros.adaptation.settings import ALL, DECODERS, DEPTH_DECODER, NORMS
from depth_motion_ros.models.weights import Weights, build_network

WEIGHTS = untrained()
FROZEN = ("motion_net.rotation_scale", "motion_net.translation_scale")


def batch(known: bool = True, count: int = 1) -> LearnerBatch:
    live = [pair(0.3 * i, with_depth=False) for i in range(count)]
    if not known:
        live = [replace(record, K=None) for record in live]
    return LearnerBatch(live, [], [], [])


def changed(learner: Learner) -> set[str]:
    before, now = WEIGHTS.tensors, learner.network.state_dict()
    return {name for name in before if not torch.equal(before[name], now[name])}


@pytest.mark.parametrize("which", [DECODERS, DEPTH_DECODER, NORMS, ALL])
def test_only_what_is_trainable_changes(which: str) -> None:
    learner = Learner(WEIGHTS, settings(trainable=which, learning_rate=1e-4))
    for _ in range(2):
        learner.step(batch())
    found = changed(learner)
    is_norm = {name for name in found if ".norm" in name}
    in_depth_decoder = {n for n in found if n.startswith(("depth_net.decoder", "depth_net.head"))}
    in_motion = {name for name in found if name.startswith("motion_net")}
    assert is_norm
    assert not found & set(FROZEN)
    assert bool(in_depth_decoder) == (which != NORMS)
    assert bool(in_motion) == (which in (DECODERS, ALL))
    others = found - is_norm - in_depth_decoder - in_motion
    assert bool(others) == (which == ALL)
    if which == DECODERS:
        assert not {name for name in found if name.startswith("motion_net.encoder")}


def test_intrinsics_learn_only_where_they_are_not_given() -> None:
    learner = Learner(WEIGHTS, settings())
    learner.step(batch(known=True))
    assert not {name for name in changed(learner) if "focal" in name or "centre" in name}
    learner.step(batch(known=False))
    assert {name for name in changed(learner) if "focal" in name}
    # And not by the momentum of what was learned before.
    focal = learner.network.motion_net.focal.weight.clone()
    learner.step(batch(known=True))
    assert torch.equal(focal, learner.network.motion_net.focal.weight)


def test_the_loss_falls() -> None:
    learner = Learner(WEIGHTS, settings(learning_rate=1e-3))
    losses = [learner.step(batch(count=2)).loss for _ in range(12)]
    assert losses[-1] < losses[0]


def test_rehearsal_pairs_hold_depth_where_it_was() -> None:
    records = rehearsal_pairs(1)
    first = build_network(WEIGHTS)
    images = torch.stack((records[0].image_1, records[0].image_2)).float() / 255
    depths = first.depth_net(images).detach()
    drift = {}
    for anchor in (0.0, 20.0):
        learner = Learner(WEIGHTS, settings(learning_rate=1e-3, anchor=anchor))
        for _ in range(8):
            report = learner.step(replace(batch(), rehearsal=records, first_depths=[depths]))
        now = learner.network.depth_net(images).detach()
        drift[anchor] = float((now / depths).log().abs().mean())
    assert drift[20.0] < 0.5 * drift[0.0]
    assert ANCHOR in report.terms


def test_depth_learns_from_what_was_triangulated_up_to_its_unit() -> None:
    record = pair()
    assert record.depth_1 is not None
    assert record.depth_2 is not None
    other_unit = replace(
        record, depth_1=(record.depth_1 / 7).half(), depth_2=(record.depth_2 / 7).half()
    )
    images = torch.stack((record.image_1, record.image_2)).float() / 255
    truth = torch.stack((record.depth_1, record.depth_2))

    def spread(learner: Learner) -> float:
        """Of the logarithm of the ratio to the truth."""
        return float((learner.network.depth_net(images).detach() / truth).log().std())

    learner = Learner(WEIGHTS, settings(learning_rate=1e-3, triangulated=20.0))
    before = spread(learner)
    for _ in range(32):
        report = learner.step(LearnerBatch([other_unit], [], [], []))
    # Measured: 0.38 before, 0.17 after; without this term 0.38.
    assert spread(learner) < 0.6 * before
    assert report.terms["triangulated"] > 0
    without = Learner(WEIGHTS, settings(triangulated=0.0)).step(
        LearnerBatch([other_unit], [], [], [])
    )
    assert "triangulated" not in without.terms


def test_the_average_lags_behind_the_masters() -> None:
    learner = Learner(WEIGHTS, settings(ema_decay=0.9, learning_rate=1e-3))
    learner.step(batch())
    name = "depth_net.head.weight"
    start = WEIGHTS.tensors[name]
    master = learner.network.state_dict()[name]
    expected = start + 0.1 * (master - start)
    assert torch.allclose(learner.weights().tensors[name], expected, atol=1e-7)


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    learner = Learner(WEIGHTS, settings())
    # Intrinsics that overflow float32 on the way through the warp.
    broken = replace(pair(), K=torch.full((3, 3), 3e38))
    report = learner.step(LearnerBatch([broken], [], [], []))
    assert report.skipped
    assert learner.skipped_steps == 1
    assert changed(learner) == set()
    assert not learner.step(batch()).skipped


def test_a_long_gradient_is_told_and_shortened() -> None:
    learner = Learner(WEIGHTS, settings(clip_norm=1e-3))
    report = learner.step(batch())
    assert report.gradient_norm > 1e-3
    total = sum(
        float(p.grad.square().sum()) for p in learner.network.parameters() if p.grad is not None
    )
    assert total**0.5 == pytest.approx(1e-3, rel=1e-2)


def test_half_precision_weights_are_learned_in_full() -> None:
    learner = Learner(WEIGHTS.half(), settings())
    assert {p.dtype for p in learner.network.parameters()} == {torch.float32}


def test_a_restored_learner_goes_on_as_if_nothing_had_happened() -> None:
    learner = Learner(WEIGHTS, settings(learning_rate=1e-3))
    for _ in range(2):
        learner.step(batch())
    state = learner.state()
    copied = LearnerState(
        {part: {n: t.clone() for n, t in found.items()} for part, found in state.tensors.items()},
        dict(state.numbers),
    )
    learner.step(batch())
    other = Learner(WEIGHTS, settings(learning_rate=1e-3))
    other.restore(copied)
    other.step(batch())
    one, two = learner.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_starting_over_forgets_masters_average_and_momentum() -> None:
    learner = Learner(WEIGHTS, settings(learning_rate=1e-3))
    learner.step(batch())
    learner.restart(WEIGHTS)
    found: Weights = learner.weights()
    assert all(torch.equal(found.tensors[n], WEIGHTS.tensors[n]) for n in WEIGHTS.tensors)
    assert not learner.optimiser.state
