"""Depth judged up to a factor that a wrong minority cannot move."""

import math

import pytest
import torch

from depth_motion_ros.losses.supervised import aligned_log_loss, scale_invariant_log_loss

NAN = math.nan


def _depth():
    """(2, 1, 3, 5): an odd number of pixels, so that the median is one of them."""
    return 1 + 10 * torch.rand(2, 1, 3, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", [1.0, 0.01, 300.0])
def test_true_depth_up_to_a_factor_costs_nothing_and_tells_the_factor(factor):
    found = aligned_log_loss(factor * _depth(), _depth())
    assert found.loss < 1e-6
    torch.testing.assert_close(found.scale, torch.full((2,), factor))


def test_each_image_has_its_own_factor():
    factors = torch.tensor([2.0, 0.5])
    found = aligned_log_loss(factors.view(2, 1, 1, 1) * _depth(), _depth())
    assert found.loss < 1e-6
    torch.testing.assert_close(found.scale, factors)


def test_the_cost_is_the_mean_absolute_log_error():
    depth = _depth()
    # 2 of 15 pixels are off by e and by e^-2, in the first of two images.
    depth[0, 0, 0, 0] *= math.e
    depth[0, 0, 1, 1] *= math.exp(-2)
    assert math.isclose(aligned_log_loss(depth, _depth()).loss, (1 + 2) / 15 / 2, rel_tol=1e-5)


def test_a_wrong_minority_moves_neither_the_factor_nor_the_rest():
    """What passes by itself is triangulated wrongly, and often a hundredfold."""
    truth = _depth()
    truth.view(2, -1)[:, :6] *= 100.0  # 6 of 15
    depth = (3 * _depth()).requires_grad_()
    found = aligned_log_loss(depth, truth)
    torch.testing.assert_close(found.scale, torch.full((2,), 3.0))
    found.loss.backward()
    right = depth.grad.view(2, -1)[:, 6:]
    # Those of a right pixel, met but for rounding, are 0 or one step of the same length.
    per_pixel = 1 / (2 * 15 * depth.detach().view(2, -1))
    assert (right.abs() <= per_pixel[:, 6:] * 1.001).all()
    # However wrong a pixel is, it pulls no harder than one that is a little off.
    torch.testing.assert_close(depth.grad.view(2, -1)[:, :6].abs(), per_pixel[:, :6])
    # 0.4 log 100 in all, where the square, about a mean that has moved, would be 0.24 (log 100)².
    assert math.isclose(found.loss.item(), 0.4 * math.log(100), rel_tol=1e-5)
    square = scale_invariant_log_loss(depth.detach(), truth, scale_share=1.0)
    assert math.isclose(square, 0.24 * math.log(100) ** 2, rel_tol=1e-5)


def test_unknown_depths_judge_nothing():
    truth, depth = _depth(), 2 * _depth()
    truth[0, 0, 0, 0], truth[0, 0, 0, 1], truth[0, 0, 0, 2] = NAN, 0.0, -1.0
    truth[0, 0, 0, 3] = math.inf
    depth[0, 0, 0, :4] = 1000.0
    depth.requires_grad_()
    found = aligned_log_loss(depth, truth)
    found.loss.backward()
    assert found.loss < 1e-6
    torch.testing.assert_close(found.scale, torch.full((2,), 2.0))
    assert (depth.grad[0, 0, 0, :4] == 0).all()


def test_an_image_without_truth_has_no_factor_and_does_not_thin_out_the_others():
    truth, depth = _depth(), _depth()
    truth[1] = NAN
    depth[0, 0, 0, 0] *= math.e
    found = aligned_log_loss(depth, truth)
    assert math.isclose(found.loss, 1 / 15, rel_tol=1e-5)
    assert found.scale[0] == pytest.approx(1.0)
    assert found.scale[1].isnan()


def test_without_any_truth_the_loss_is_zero_with_zero_gradients():
    depth = _depth().requires_grad_()
    found = aligned_log_loss(depth, torch.full_like(depth, NAN))
    found.loss.backward()
    assert found.loss == 0
    assert found.scale.isnan().all()
    assert (depth.grad == 0).all()


def test_one_known_pixel_fixes_the_factor_and_costs_nothing():
    truth, depth = torch.full((1, 1, 3, 5), NAN), torch.full((1, 1, 3, 5), 6.0)
    truth[0, 0, 1, 2] = 2.0
    found = aligned_log_loss(depth, truth)
    assert found.loss == 0
    assert found.scale[0] == pytest.approx(3.0)


def test_the_factor_has_no_gradient():
    depth = _depth().requires_grad_()
    assert not aligned_log_loss(depth, _depth()).scale.requires_grad


def test_gradients_agree_with_finite_differences():
    """The loss has no corner where no pixel changes sides of the median."""
    torch.manual_seed(0)
    depth, truth = 1 + torch.rand(2, 2, 1, 3, 5, dtype=torch.float64)
    truth[1, 0, 0, :2] = NAN  # 13 stay: an odd number, too

    def loss(depth):
        return aligned_log_loss(depth, truth).loss

    assert torch.autograd.gradcheck(loss, [depth.requires_grad_()])


def test_the_loss_is_in_float32_under_autocast():
    depth, truth = (3 * _depth()).bfloat16(), _depth()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = aligned_log_loss(depth, truth)
    assert found.loss.dtype == found.scale.dtype == torch.float32
    assert found.loss == aligned_log_loss(depth.float(), truth).loss


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"depth has shape \(2, 1, 3, 5\) .* \(1, 1, 3, 5\)"):
        aligned_log_loss(_depth(), _depth()[:1])
