import math

import pytest
import torch

from depth_motion_ros.losses import regularisers


def _image(height=4, width=6):
    return torch.full((1, 3, height, width), 0.5, dtype=torch.float64)


def _ramp(height=4, width=6):
    """Inverse depth 1, 2, … from left to right."""
    inverse = torch.arange(1, width + 1, dtype=torch.float64).expand(1, 1, height, width)
    return 1 / inverse


def test_a_constant_depth_is_smooth():
    assert regularisers.depth_smoothness(torch.full((1, 1, 4, 6), 7.0), torch.rand(1, 3, 4, 6)) == 0


def test_smoothness_is_the_slope_of_inverse_depth_over_its_mean():
    # Steps of 1 about a mean of 3.5; nothing changes down the columns.
    found = regularisers.depth_smoothness(_ramp(), _image())
    assert math.isclose(found, 1 / 3.5, rel_tol=1e-6)


def test_smoothness_does_not_depend_on_scale():
    once = regularisers.depth_smoothness(_ramp(), _image())
    assert math.isclose(regularisers.depth_smoothness(40 * _ramp(), _image()), once, rel_tol=1e-6)


def test_an_edge_in_the_image_forgives_an_edge_in_depth():
    depth = torch.ones(1, 1, 4, 6, dtype=torch.float64)
    depth[..., 3:] = 2.0
    edge = _image()
    edge[..., 3:] += 0.3
    plain = regularisers.depth_smoothness(depth, _image())
    forgiven = regularisers.depth_smoothness(depth, edge)
    assert math.isclose(forgiven, plain * math.exp(-0.3), rel_tol=1e-9)


def test_inverse_variance_of_two_depths():
    # 1 and 3 about 2: relative deviation 0.5, variance 0.25.
    depth = torch.ones(1, 1, 4, 6, dtype=torch.float64)
    depth[..., 3:] = 3.0
    assert math.isclose(regularisers.inverse_depth_variance(depth), 4.0, rel_tol=1e-5)


def test_constant_images_that_differ_from_each_other_are_still_constant():
    depth = torch.tensor([1.0, 9.0]).view(2, 1, 1, 1).expand(2, 1, 4, 6)
    # Its bound: 1e6, which with the usual weight of 1e-6 is 1.
    assert math.isclose(regularisers.inverse_depth_variance(depth), 1e6, rel_tol=1e-5)


def test_normalised_motion_is_in_units_of_the_whole_motion():
    residual = torch.full((1, 3, 4, 6), 0.2, dtype=torch.float64)
    # Whole motion of length 5 (3, 0, 4): sqrt(3 · 25/3) = 5.
    whole = torch.tensor([3.0, 0, 4], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 4, 6)
    found = regularisers.normalised_motion(residual, whole)
    assert torch.allclose(found, torch.full_like(found, 0.04))


def _step_field():
    """One channel of three steps from 0 to 1 in the middle of 6 columns."""
    field = torch.zeros(1, 3, 4, 6, dtype=torch.float64)
    field[:, 0, :, 3:] = 1.0
    return field


def test_motion_smoothness_counts_edges():
    # Without wrap 5 borders, one of them an edge, in one of 3 channels.
    found = regularisers.motion_smoothness(_step_field(), wrap=False)
    assert math.isclose(found, 1 / 15, rel_tol=1e-4)
    # With wrap 6 borders, and the image's own edge is a second one.
    found = regularisers.motion_smoothness(_step_field(), wrap=True)
    assert math.isclose(found, 2 / 18, rel_tol=1e-4)


def test_with_wrap_a_shift_changes_nothing():
    torch.manual_seed(0)
    field = torch.randn(1, 3, 5, 6, dtype=torch.float64)
    shifted = field.roll((2, 3), dims=(2, 3))
    once = regularisers.motion_smoothness(field, wrap=True)
    assert math.isclose(regularisers.motion_smoothness(shifted, wrap=True), once, rel_tol=1e-9)


def test_sparsity_of_a_constant_field():
    # abs M = its mean everywhere: 2·m·sqrt(2).
    found = regularisers.motion_sparsity(torch.full((1, 3, 4, 6), -0.1, dtype=torch.float64))
    assert math.isclose(found, 0.2 * math.sqrt(2), rel_tol=1e-9)


def test_few_large_motions_cost_less_than_many_small_ones():
    spread = torch.full((1, 3, 4, 6), 0.1, dtype=torch.float64)
    gathered = torch.zeros_like(spread)
    gathered[:, :, 0, 0] = 0.1 * 24
    assert regularisers.motion_sparsity(gathered) < regularisers.motion_sparsity(spread)


def test_the_mean_in_sparsity_is_taken_as_given():
    torch.manual_seed(0)
    field = torch.randn(1, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    regularisers.motion_sparsity(field).backward()
    size = field.detach().abs()
    mean = size.mean(dim=(2, 3), keepdim=True)
    expected = field.detach().sign() / torch.sqrt(1 + size / mean) / field.numel()
    assert torch.allclose(field.grad, expected)


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    depth = (1 + torch.rand(2, 1, 4, 5, dtype=torch.float64)).requires_grad_()
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    field = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    whole = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    check = torch.autograd.gradcheck
    assert check(lambda d: regularisers.depth_smoothness(d, image), depth)
    assert check(regularisers.inverse_depth_variance, depth)
    assert check(regularisers.normalised_motion, (field, whole))
    for wrap in (False, True):
        assert check(lambda m, wrap=wrap: regularisers.motion_smoothness(m, wrap), field)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_field_of_zeros_costs_nothing_and_has_finite_gradients(dtype):
    field = torch.zeros(1, 3, 4, 6, dtype=dtype, requires_grad=True)
    motion = regularisers.normalised_motion(field, field)
    total = regularisers.motion_smoothness(motion, wrap=False) + regularisers.motion_sparsity(
        motion
    )
    total.backward()
    assert total < 2e-6  # the root of 1e-12
    assert torch.isfinite(field.grad).all()


def test_a_depth_next_to_zero_has_finite_values_and_gradients():
    depth = torch.ones(1, 1, 4, 6)
    depth[..., 2, 3] = 0.0
    depth.requires_grad_()
    found = regularisers.depth_smoothness(depth, torch.rand(1, 3, 4, 6))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(depth.grad).all()
