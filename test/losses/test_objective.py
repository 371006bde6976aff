import math
from dataclasses import fields, replace

import pytest
import torch
from support.loss_scenes import FOCAL, HEIGHT, WIDTH, K, motion, pair, plane, texture

from depth_motion_ros.losses.objective import TERMS, LossWeights, Objective
from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.settings import SettingsError

# A plane at 8 m, the image moving 2 px to the right while the camera steps by 0.5 m to the left.
DEPTH, SHIFT = 8.0, 2.0
STEP = SHIFT * DEPTH / FOCAL


def _only(**weights):
    """Weights that are 0 but for the ones given."""
    return LossWeights(**(dict.fromkeys(TERMS, 0.0) | weights))


def _right_pair(depth_2=DEPTH * 1.001):
    """What a perfect network says; depth 2 is a little behind, so that rounding hides nothing."""
    return pair(plane(DEPTH), plane(depth_2), motion((STEP, 0, 0)), motion((-STEP, 0, 0)))


def _random_pair(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)

    def one_motion():
        return MotionPrediction(
            0.02 * torch.randn(2, 3, dtype=dtype),
            0.2 * torch.randn(2, 3, dtype=dtype),
            0.05 * torch.randn(2, 3, 16, 20, dtype=dtype),
            K_2,
        )

    K_2 = torch.tensor([[16.0, 0, 9.5], [0, 16, 7.5], [0, 0, 1]], dtype=dtype).repeat(2, 1, 1)
    depths = 4 + torch.rand(2, 2, 1, 16, 20, dtype=dtype)
    images = torch.rand(2, 2, 3, 16, 20, dtype=dtype)
    prediction = PairPrediction(depths[0], depths[1], one_motion(), one_motion(), K_2)
    return images[0], images[1], prediction, K_2


def test_the_truth_costs_less_than_standing_still():
    images = texture(), texture(SHIFT)
    right = Objective()(*images, _right_pair(), K)
    still = Objective()(*images, pair(plane(DEPTH), plane(DEPTH * 1.001)), K)
    assert right.terms["rgb"] < 1e-12
    assert right.terms["ssim"] < 0.01 * still.terms["ssim"]
    assert right.terms["translation_cycle"] < 1e-12
    assert right.total < 0.1 * still.total


def test_the_total_is_the_sum_of_all_terms_by_name():
    loss = Objective(LossWeights(depth_variance=1e-6, depth_consistency=0.1))(*_random_pair())
    assert set(loss.terms) == set(TERMS)
    assert all(term > 0 for term in loss.terms.values())
    assert torch.allclose(loss.total, sum(loss.terms.values()))


@pytest.mark.parametrize("name", TERMS)
def test_each_weight_scales_its_term_and_zero_turns_it_off(name):
    arguments = _random_pair()
    once = Objective(_only(**{name: 1.0}))(*arguments)
    thrice = Objective(_only(**{name: 3.0}))(*arguments)
    assert once.total > 0
    assert torch.allclose(3 * once.total, thrice.total)
    assert all(once.terms[other] == 0 for other in TERMS if other != name)


def test_the_factor_multiplies_everything():
    arguments = _random_pair()
    doubled = Objective(LossWeights())(*arguments).total
    assert torch.allclose(doubled, 2 * Objective(LossWeights(factor=1.0))(*arguments).total)


def test_exchanging_the_frames_changes_nothing():
    image_1, image_2, p, K_2 = _random_pair()
    swapped = PairPrediction(p.depth_2, p.depth_1, p.motion_21, p.motion_12, p.K)
    once = Objective()(image_1, image_2, p, K_2)
    again = Objective()(image_2, image_1, swapped, K_2)
    for name in TERMS:
        assert torch.allclose(once.terms[name], again.terms[name], rtol=1e-12)


def test_a_pair_costs_the_same_alone_and_in_a_batch_of_copies():
    arguments = texture(), texture(SHIFT), _right_pair(DEPTH + 1), K
    one = Objective()(*arguments)
    image_1, image_2, p, intrinsics = (arguments[0], arguments[1], arguments[2], arguments[3])

    def twice(value):
        if isinstance(value, torch.Tensor):
            return value.repeat(2, *[1] * (value.ndim - 1))
        return type(value)(*(twice(getattr(value, entry.name)) for entry in fields(value)))

    two = Objective()(twice(image_1), twice(image_2), twice(p), twice(intrinsics))
    assert torch.allclose(one.total, two.total)


def test_depth_consistency_is_the_gap_of_what_is_not_hidden():
    # Frame 1 says 8 m, frame 2 says 11 m, nothing moves: 3 m where frame 1 is in front, and none
    # in the other order, in which all is hidden. Mean over both orders.
    p = pair(plane(DEPTH), plane(DEPTH + 3))
    loss = Objective(_only(depth_consistency=0.5))(texture(), texture(), p, K)
    share = loss.maps["closer"].double().mean()
    assert share > 0.8
    assert torch.allclose(loss.total, 2 * 0.5 * 3 * share / 2)


def test_with_scale_normalisation_the_unit_of_length_does_not_matter():
    image_1, image_2, p, K_2 = _random_pair()

    def scaled(m):
        return replace(m, translation=3 * m.translation, residual=3 * m.residual)

    bigger = PairPrediction(
        3 * p.depth_1, 3 * p.depth_2, scaled(p.motion_12), scaled(p.motion_21), p.K
    )
    weights = LossWeights(depth_consistency=0.1, scale_normalization=True)
    once = Objective(weights)(image_1, image_2, p, K_2).total
    assert torch.allclose(once, Objective(weights)(image_1, image_2, bigger, K_2).total)
    plain = replace(weights, scale_normalization=False)
    metres = Objective(plain)(image_1, image_2, p, K_2).total
    assert not torch.allclose(metres, Objective(plain)(image_1, image_2, bigger, K_2).total)


def test_auto_masking_leaves_a_standing_camera_alone():
    wrong = pair(plane(DEPTH), plane(DEPTH * 1.001), motion((STEP, 0, 0)), motion((-STEP, 0, 0)))
    plain = Objective(LossWeights())(texture(), texture(), wrong, K)
    masked = Objective(LossWeights(auto_masking=True))(texture(), texture(), wrong, K)
    assert plain.terms["rgb"] > 0.02
    assert masked.terms["rgb"] == 0
    assert masked.terms["ssim"] == 0


def test_auto_masking_keeps_what_a_nearly_right_warp_explains():
    nearly = pair(
        plane(DEPTH), plane(DEPTH * 1.001), motion((0.8 * STEP, 0, 0)), motion((-0.8 * STEP, 0, 0))
    )
    images = texture(), texture(SHIFT)
    plain = Objective(_only(rgb=1.0))(*images, nearly, K)
    masked = Objective(replace(_only(rgb=1.0), auto_masking=True))(*images, nearly, K)
    # Only extrema of the texture, where both errors are next to nothing, are left out.
    assert 0.95 * plain.total < masked.total <= plain.total


def _residual_pair(column):
    """A residual of 0.5 m in one column of frame 1, none elsewhere."""
    residual = torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    residual[..., column] = 0.5
    return pair(plane(DEPTH), plane(DEPTH * 1.1), motion(residual=residual), motion())


# The mask lies in column 20 and reaches 8 px further.
@pytest.mark.parametrize(("column", "kept"), [(28, True), (12, True), (29, False), (11, False)])
def test_residual_motion_counts_near_possibly_moving_objects_alone(column, kept):
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., 20] = 1
    images = texture(), texture(SHIFT)
    open_ = Objective()(*images, _residual_pair(column), K)
    gated = Objective()(*images, _residual_pair(column), K, mask, mask)
    still = Objective()(*images, pair(plane(DEPTH), plane(DEPTH * 1.1)), K)
    assert torch.equal(gated.total, open_.total if kept else still.total)
    assert not torch.equal(open_.total, still.total)


def test_each_mask_gates_the_motion_of_its_own_frame():
    nothing, all_ = torch.zeros(1, 1, HEIGHT, WIDTH), torch.ones(1, 1, HEIGHT, WIDTH)
    images = texture(), texture(SHIFT)
    both = _residual_pair(20)
    both = replace(both, motion_21=both.motion_12)
    first = replace(both, motion_21=motion())
    second = replace(both, motion_12=motion())
    for masks, left in (((all_, nothing), first), ((nothing, all_), second)):
        gated = Objective()(*images, both, K, *masks).total
        assert torch.equal(gated, Objective()(*images, left, K).total)


def test_without_sparsity_the_residual_field_wraps_around():
    # One column of 0.5 m at the very edge: with wrap it has two borders, without one.
    images = texture(), texture(SHIFT)
    wrapped = Objective(_only(motion_smoothness=1.0))(*images, _residual_pair(0), K)
    weights = _only(motion_smoothness=1.0, motion_sparsity=0.2)
    plain = Objective(weights)(*images, _residual_pair(0), K).terms["motion_smoothness"]
    # Two of WIDTH borders in a row against one of WIDTH - 1.
    assert math.isclose(wrapped.total / plain, 2 * (WIDTH - 1) / WIDTH, rel_tol=1e-3)


def test_maps_show_frame_1_against_frame_2_and_carry_no_graph():
    p = _right_pair()
    p.depth_1.requires_grad_()
    maps = Objective()(texture(), texture(SHIFT), p, K).maps
    assert not any(tensor.requires_grad for tensor in maps.values())
    assert maps["warped"].shape == (1, 3, HEIGHT, WIDTH)
    inside = maps["valid"][0, 0]
    # What would come from 2 px beyond the right edge is out of view.
    assert not inside[:, -3:].any()
    assert inside[1:-1, 1:-3].all()
    assert torch.allclose(maps["warped"][..., 1:-1, 1:-3], texture()[..., 1:-1, 1:-3])
    assert maps["photometric_error"][..., 1:-1, 1:-3].max() < 1e-12
    expected = (texture(SHIFT) - texture()).abs().mean(dim=1, keepdim=True)
    assert torch.allclose(maps["identity_error"], expected)
    assert maps["closer"].dtype == maps["valid"].dtype == torch.bool
    assert maps["weight"].shape == maps["photometric_error"].shape == (1, 1, HEIGHT, WIDTH)


def test_gradients_agree_with_finite_differences():
    """Depth 2 far behind and constant: what is taken as given stays as it is.

    The gradient treats sampled depths, trust and sampling places of the cycle as given, which
    finite differences would move; here they do not change.
    """
    torch.manual_seed(1)
    image_1, image_2 = torch.rand(2, 1, 3, 12, 16, dtype=torch.float64)
    intrinsics = torch.tensor([[[14.0, 0, 7.3], [0, 14, 5.6], [0, 0, 1]]], dtype=torch.float64)
    far = torch.full((1, 1, 12, 16), 100.0, dtype=torch.float64)
    flat = torch.zeros(1, 3, 12, 16, dtype=torch.float64)
    weights = LossWeights(ssim=0.0, motion_sparsity=0.0, motion_smoothness=0.0)

    def total(depth, angles_12, angles_21, camera_12, camera_21, K_1):
        p = PairPrediction(
            depth,
            far,
            MotionPrediction(angles_12, camera_12, flat, K_1),
            MotionPrediction(angles_21, camera_21, flat, K_1),
            K_1,
        )
        return Objective(weights)(image_1, image_2, p, K_1).total

    small = 0.03 * torch.randn(4, 1, 3, dtype=torch.float64)
    depth = 4 + torch.rand(1, 1, 12, 16, dtype=torch.float64)
    inputs = [depth, *small, intrinsics]
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    slopes = torch.autograd.grad(total(*inputs), inputs)
    for i, slope in enumerate(slopes):
        torch.manual_seed(i)
        # The last row of K is fixed by what a camera is.
        direction = torch.randn_like(slope) * (inputs[i] != 0) * (inputs[i] != 1)
        step = 1e-6 * direction
        plus, minus = ([*inputs[:i], inputs[i] + s, *inputs[i + 1 :]] for s in (step, -step))
        measured = (total(*plus) - total(*minus)) / 2e-6
        assert math.isclose(
            (slope * direction).sum().item(), measured.item(), rel_tol=1e-5, abs_tol=1e-9
        )


def test_nothing_that_moves_has_finite_gradients():
    p = pair(*(plane(DEPTH).float().requires_grad_() for _ in range(2)))
    leaves = [p.depth_1, p.depth_2]
    motions = []
    for m in (p.motion_12, p.motion_21):
        parts = [part.float().requires_grad_() for part in (m.rotation, m.translation, m.residual)]
        leaves += parts
        motions.append(MotionPrediction(*parts, K.float()))
    p = PairPrediction(p.depth_1, p.depth_2, *motions, K.float())
    weights = LossWeights(depth_variance=1e-6, depth_consistency=0.1)
    loss = Objective(weights)(texture().float(), texture().float(), p, K.float())
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert all(torch.isfinite(leaf.grad).all() for leaf in leaves)


def test_losses_are_in_float32_under_autocast():
    image_1, image_2, p, K_2 = _random_pair(dtype=torch.float32)

    def half(value):
        if isinstance(value, torch.Tensor):
            return value.bfloat16()
        return type(value)(*(half(getattr(value, entry.name)) for entry in fields(value)))

    def full(value):
        if isinstance(value, torch.Tensor):
            return value.float()
        return type(value)(*(full(getattr(value, entry.name)) for entry in fields(value)))

    rounded = half(p)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Objective()(image_1, image_2, rounded, K_2)
    expected = Objective()(image_1, image_2, full(rounded), K_2)
    assert found.total.dtype == torch.float32
    assert torch.equal(found.total, expected.total)


def test_the_default_weights_are_the_papers():
    w = LossWeights()
    assert (w.rgb, w.ssim, w.depth_smoothness, w.rotation_cycle) == (1, 3, 1e-3, 1e-3)
    assert (w.translation_cycle, w.motion_smoothness, w.motion_sparsity) == (5e-2, 1, 0.2)
    assert (w.depth_variance, w.depth_consistency, w.factor) == (0, 0, 2)
    assert not w.scale_normalization
    assert not w.auto_masking


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_weight_out_of_range_is_refused_by_name_and_value(value):
    with pytest.raises(SettingsError, match=f"losses.ssim is {value}"):
        LossWeights(ssim=value)


def test_weights_that_teach_nothing_are_refused():
    with pytest.raises(SettingsError, match="nothing would be learned"):
        _only()
    with pytest.raises(SettingsError, match="factor is 0"):
        LossWeights(factor=0)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="images must both be"):
        Objective()(texture(), texture()[..., :-1], _right_pair(), K)
    with pytest.raises(ValueError, match=r"depth_2 must be \(1, 1, 24, 40\)"):
        Objective()(texture(), texture(), pair(plane(1.0), plane(1.0)[..., :-1]), K)
