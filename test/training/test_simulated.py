"""Rendered pairs in the batch, and the exact truth as their judge."""

from __future__ import annotations

from dataclasses import replace

import torch

from depth_motion_ros.geometry.rotation import matrix_to_euler
from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.simulator.batches import PairBatch, PairSampler
from depth_motion_ros.training.data.simulated import RenderedPairs, truth_of
from depth_motion_ros.training.recipe import ExactSection, parse_recipe
from depth_motion_ros.training.rendered_supervision import PairTruth

RECIPE = parse_recipe(
    "network: {input_width: 96, input_height: 64}\n"
    "data: {supervision: exact}\n"
    "schedule: {coarse_steps: 3, coarse_width: 64, coarse_height: 64}"
)
CPU = torch.device("cpu")


def _perfect(truth: PairTruth) -> PairPrediction:
    """A network that knows everything."""
    motions = [
        MotionPrediction(
            matrix_to_euler(order.rotation),
            order.translation,
            torch.nan_to_num(order.motion),
            truth.K,
        )
        for order in (truth.there, truth.back)
    ]
    # Any depth will do where the truth knows none: the sky.
    depth_1, depth_2 = (torch.nan_to_num(o.depth, nan=50.0) for o in (truth.there, truth.back))
    return PairPrediction(depth_1, depth_2, motions[0], motions[1], truth.K)


def test_the_truth_itself_costs_nothing_and_every_error_costs_something() -> None:
    batch = PairSampler(64, 64, seed=3).batch(3, index=0)
    truth = truth_of(batch, unit=10.0)
    perfect = _perfect(truth)
    exact = truth.judge(perfect, ExactSection())
    # Square roots of 1e-12 remain, times a weight of 10 for rotation, in both orders.
    assert float(exact.total) < 1e-3
    motion = perfect.motion_12
    worse = {
        "shape": replace(perfect, depth_1=perfect.depth_1 * torch.linspace(1, 2, 64)),
        "metric": replace(perfect, depth_1=1.5 * perfect.depth_1),
        "rotation": replace(perfect, motion_12=replace(motion, rotation=motion.rotation + 0.1)),
        "translation": replace(
            perfect, motion_12=replace(motion, translation=motion.translation + 0.1)
        ),
        "residual": replace(perfect, motion_12=replace(motion, residual=motion.residual + 0.1)),
        "focal": replace(perfect, K=perfect.K * 1.2),
    }
    for name, prediction in worse.items():
        terms = truth.judge(prediction, ExactSection()).terms
        assert float(terms[name]) > 10 * float(exact.terms[name]) + 1e-3, name
    depths = truth.supervise_depth(perfect.depth_1, 1.5 * perfect.depth_2, ExactSection())
    assert depths.terms.keys() == {"shape", "metric"}
    assert float(depths.terms["metric"]) > 1e-2
    # A wrong scale is no wrong shape.
    assert float(truth.judge(worse["metric"], ExactSection()).terms["shape"]) < 1e-4


def test_rendered_pairs_follow_from_the_step() -> None:
    one, other = (RenderedPairs(RECIPE, {"yard": 1.0}) for _ in range(2))
    other(0, range(2), CPU)
    a, b = one(1, range(2), CPU), other(1, range(2), CPU)
    torch.testing.assert_close(a.pairs.image_1, b.pairs.image_1, rtol=0, atol=0)
    assert a.pairs.image_1.shape == (2, 3, 64, 64)
    assert a.truth is not None
    assert not a.by_images
    # Another device draws others; after the coarse start they are larger.
    assert not torch.equal(a.pairs.image_1, one(1, range(2, 4), CPU).pairs.image_1)
    assert one(3, range(2), CPU).pairs.image_1.shape == (2, 3, 64, 96)


def test_without_supervision_the_images_alone_judge() -> None:
    unsupervised = parse_recipe("network: {input_width: 64, input_height: 64}")
    drawn = RenderedPairs(unsupervised, {"yard": 1.0})(0, range(1), CPU)
    assert drawn.truth is None
    assert drawn.by_images


def test_kept_pairs_are_drawn_again_and_a_resumed_run_draws_the_same() -> None:
    recipe = parse_recipe(
        "network: {input_width: 64, input_height: 64}\n"
        "data: {supervision: exact, simulated_reuse: 4, simulated_kept: 2}"
    )
    run = RenderedPairs(recipe, {"yard": 1.0})
    drawn = [run(step, range(2), CPU) for step in range(12)]
    # Of the third rendered batch and the one before, whatever was drawn earlier.
    resumed = RenderedPairs(recipe, {"yard": 1.0})(11, range(2), CPU)
    torch.testing.assert_close(resumed.pairs.image_1, drawn[11].pairs.image_1, rtol=0, atol=0)
    torch.testing.assert_close(resumed.pairs.jitter, drawn[11].pairs.jitter, rtol=0, atol=0)
    # 12 steps of 2 pairs saw 3 batches of 2, each also mirrored.
    different = {image.numpy().tobytes() for d in drawn for image in d.pairs.image_1}
    assert len(different) <= 12


def test_more_pairs_are_rendered_at_once_than_a_step_takes() -> None:
    recipe = parse_recipe(
        "network: {input_width: 64, input_height: 64}\n"
        "data: {supervision: exact, simulated_reuse: 8, simulated_kept: 2, simulated_batch: 6}"
    )
    run = RenderedPairs(recipe, {"yard": 1.0})
    drawn = [run(step, range(2), CPU) for step in range(8)]
    assert all(len(d.pairs.K) == 2 for d in drawn)
    # 16 draws from the 6 pairs of the first batch, whose intrinsics differ but for the mirror.
    focal = {float(K[0, 0]) for d in drawn for K in d.pairs.K}
    assert 2 < len(focal) <= 6


def test_autocast_around_a_step_leaves_rendering_alone() -> None:
    """On a GPU under bf16 the simulator's geometry failed: products in half precision."""
    plain = RenderedPairs(RECIPE, {"drive": 1.0})(0, range(2), CPU)
    with torch.autocast("cpu", torch.bfloat16):
        under = RenderedPairs(RECIPE, {"drive": 1.0})(0, range(2), CPU)
    torch.testing.assert_close(under.pairs.image_1, plain.pairs.image_1, rtol=0, atol=0)


def test_kept_pairs_can_be_mirrored_one_by_one() -> None:
    batch = PairSampler(64, 64, seed=3).batch(2, index=0)
    chosen = batch.mirrored(torch.tensor([False, True]))
    for name in ("image_1", "depth_2", "T_12", "motion_21", "K", "time_step"):
        one, both, mirror = (getattr(b, name) for b in (chosen, batch, batch.mirrored()))
        torch.testing.assert_close(one, torch.stack((both[0], mirror[1])), rtol=0, atol=0)


def test_a_mirrored_pair_is_as_true_as_the_pair() -> None:
    batch = PairSampler(64, 64, seed=3).batch(2, index=0)
    mirror = batch.mirrored()
    torch.testing.assert_close(mirror.mirrored().T_12, batch.T_12, rtol=0, atol=0)
    torch.testing.assert_close(mirror.mirrored().K, batch.K)

    def landing(pairs: PairBatch) -> torch.Tensor:
        """Where the pixels of frame 1 land in frame 2, x and y, (B, 2, 64, 64)."""
        x, y = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy")
        rays = torch.stack((x, y, torch.ones_like(x))).flatten(1)
        points = torch.linalg.inv(pairs.K) @ rays * pairs.depth_1.flatten(2)
        moved = pairs.T_12[:, :3, :3] @ points + pairs.T_12[:, :3, 3:]
        moved = pairs.K @ (moved + pairs.motion_12.flatten(2))
        return (moved[:, :2] / moved[:, 2:]).unflatten(2, (64, 64))

    expected = landing(batch).flip(3)
    expected[:, 0] = 63 - expected[:, 0]
    torch.testing.assert_close(landing(mirror), expected, rtol=1e-3, atol=1e-2)
