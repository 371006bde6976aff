"""Predictions of recorded pairs are judged by what the video tells, up to its unit of length."""

from __future__ import annotations

import math

import pytest
import torch

from depth_motion_ros.geometry.rotation import euler_to_matrix, matrix_to_euler
from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.training.data.pairs import Pairs
from depth_motion_ros.training.recipe import TriangulatedSection
from depth_motion_ros.training.triangulation.pairs import TriangulatedLabel
from depth_motion_ros.training.triangulation.supervision import StartingUnit, judge, supervise_depth

B, H, W = 2, 4, 5
ANGLES = torch.tensor([[0.02, -0.03, 0.01], [0.0, 0.05, 0.0]])
STEP = torch.tensor([[0.1, 0.0, 0.4], [-0.2, 0.05, 0.1]])
WEIGHTS = TriangulatedSection(shape=1.0, rotation=1.0, translation=1.0, focal=1.0)
FOCAL = 3.0


def truth() -> TriangulatedLabel:
    generator = torch.Generator().manual_seed(0)
    one, two = (1 + torch.rand(B, 1, H, W, generator=generator) for _ in range(2))
    return TriangulatedLabel(one, two, euler_to_matrix(ANGLES), STEP.clone())


def intrinsics(focal: float) -> torch.Tensor:
    return torch.tensor([[focal, 0, 2.0], [0, focal, 1.5], [0, 0, 1]]).repeat(B, 1, 1)


def pairs(known: bool = True) -> Pairs:
    nothing = torch.zeros(B, 3, H, W)
    flags = torch.full((B,), known)
    return Pairs(nothing, nothing, intrinsics(FOCAL), flags, None, None, torch.ones(B, 3))


def prediction(
    unit: float = 1.0, angles: torch.Tensor = ANGLES, step: torch.Tensor = STEP
) -> PairPrediction:
    """What a network would say that knows all, but for its unit of length."""
    rotation = euler_to_matrix(angles)
    back = -(rotation.transpose(1, 2) @ step[..., None])[..., 0]
    inverse = matrix_to_euler(rotation.transpose(1, 2))
    still, K = torch.zeros(B, 3, H, W), intrinsics(FOCAL)
    there = MotionPrediction(angles, unit * step, still, K)
    returning = MotionPrediction(inverse, unit * back, still, K)
    told = truth()
    return PairPrediction(unit * told.depth_1, unit * told.depth_2, there, returning, K)


@pytest.mark.parametrize("unit", [1.0, 0.2, 50.0])
def test_the_truth_costs_nothing_in_any_unit_of_length(unit: float) -> None:
    found = judge(prediction(unit), truth(), pairs(), WEIGHTS)
    assert set(found.terms) == {"shape", "rotation", "translation", "focal"}
    for name, value in found.terms.items():
        # float32; a length below 1e-6 counts as 0.
        assert value < 1e-5 * max(unit, 1.0), name


def test_depth_and_motion_must_be_in_one_unit() -> None:
    """Depth of twice the size asks for twice the way: a network may not shrink its motion alone."""
    pair = prediction(2.0)
    halved = prediction(1.0)
    mixed = PairPrediction(pair.depth_1, pair.depth_2, halved.motion_12, halved.motion_21, pair.K)
    found = judge(mixed, truth(), pairs(), WEIGHTS)
    # Both orders lack as much as they have.
    expected = 2 * STEP.norm(dim=1).mean()
    assert found.terms["translation"] == pytest.approx(expected.item(), rel=1e-4)
    assert found.terms["shape"] < 1e-6
    assert found.terms["rotation"] < 1e-5


def test_both_depths_count_for_their_shape() -> None:
    pair = prediction()
    pair.depth_1[0, 0, 0, 0] *= math.e
    once = judge(pair, truth(), pairs(), WEIGHTS).terms["shape"]
    # Off by 1 in one of 20 pixels of one of two images.
    assert once == pytest.approx(1 / 20 / 2, rel=1e-4)
    pair.depth_2[0, 0, 0, 0] *= math.e
    assert judge(pair, truth(), pairs(), WEIGHTS).terms["shape"] == pytest.approx(2 * once.item())


def test_rotation_is_judged_in_both_orders() -> None:
    wrong = ANGLES.clone()
    wrong[1, 1] += 0.1  # about y alone: the angle between is 0.1
    found = judge(prediction(angles=wrong), truth(), pairs(), WEIGHTS)
    assert found.terms["rotation"] == pytest.approx(2 * 0.1 / 2, rel=1e-3)


def test_weights_scale_their_terms_and_the_total_is_their_sum() -> None:
    wrong = prediction(angles=ANGLES + 0.1, step=2 * STEP)
    wrong.depth_1[:, 0, 0] *= 3
    one = judge(wrong, truth(), pairs(), WEIGHTS)
    weights = TriangulatedSection(shape=2.0, rotation=3.0, translation=0.0, focal=1.0)
    other = judge(wrong, truth(), pairs(), weights)
    assert other.terms["shape"] == pytest.approx(2 * one.terms["shape"].item())
    assert other.terms["rotation"] == pytest.approx(3 * one.terms["rotation"].item())
    assert other.terms["translation"] == 0
    assert other.total == pytest.approx(sum(v.item() for v in other.terms.values()))


def test_focal_length_is_judged_where_it_is_known() -> None:
    pair = prediction()
    wider = PairPrediction(
        pair.depth_1, pair.depth_2, pair.motion_12, pair.motion_21, intrinsics(1.1 * FOCAL)
    )
    found = judge(wider, truth(), pairs(), WEIGHTS)
    assert found.terms["focal"] == pytest.approx(math.log(1.1), rel=1e-4)
    assert judge(wider, truth(), pairs(known=False), WEIGHTS).terms["focal"] == 0


def test_what_is_unknown_is_left_out_and_gradients_stay_finite() -> None:
    """A frame without depth has no unit, so its motion cannot be judged; the other image can."""
    told = truth()
    told.depth_1[0] = torch.nan
    told.rotation[1], told.translation[1] = torch.nan, torch.nan
    pair = prediction(step=5 * STEP)
    leaves = [t.requires_grad_() for t in (pair.depth_1, pair.depth_2, pair.motion_12.translation)]
    found = judge(pair, told, pairs(), WEIGHTS)
    assert found.terms["translation"] == 0
    found.total.backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
    assert (leaves[0].grad[0] == 0).all()
    assert (leaves[2].grad == 0).all()


def test_nothing_known_at_all_teaches_nothing() -> None:
    told = TriangulatedLabel(*(torch.full_like(tensor, torch.nan) for tensor in truth()))
    pair = prediction()
    pair.depth_1.requires_grad_()
    found = judge(pair, told, pairs(known=False), WEIGHTS)
    found.total.backward()
    assert found.total == 0
    assert (pair.depth_1.grad == 0).all()


def test_depth_alone_is_judged_as_its_part_of_the_whole() -> None:
    pair = prediction(3.0)
    pair.depth_1[:, 0, 0] *= 2
    alone = supervise_depth(pair.depth_1, pair.depth_2, truth(), WEIGHTS)
    assert set(alone.terms) == {"shape"}
    assert alone.total > 0
    assert alone.total == judge(pair, truth(), pairs(), WEIGHTS).terms["shape"]


def test_only_depth_is_when_no_term_asks_for_motion() -> None:
    nothing = {"rotation": 0.0, "translation": 0.0, "focal": 0.0}
    assert TriangulatedSection(**nothing).only_depth
    for name in nothing:
        assert not TriangulatedSection(**{**nothing, name: 1.0}).only_depth


def test_another_unit_costs_the_square_of_its_log_and_another_shape_nothing() -> None:
    before = torch.nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        before.weight.fill_(0.5)
        before.bias.fill_(0.1)
    unit = StartingUnit(before)
    images = torch.rand(3, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    depth = before(images).detach()
    assert unit(images, depth) < 1e-10
    assert unit(images, 2 * depth) == pytest.approx(math.log(2) ** 2, rel=1e-4)
    tilted = depth * torch.linspace(-1, 1, 6).exp()
    assert unit(images, tilted) < 1e-10
    # The network goes on; what it is compared with does not.
    with torch.no_grad():
        before.weight.mul_(3)
    assert unit(images, depth) < 1e-10
    assert not any(p.requires_grad for p in unit.parameters())
