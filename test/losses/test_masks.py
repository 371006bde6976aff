import pytest
import torch

from depth_motion_ros.losses.masks import dilate, gate_residual


def _dot(dtype=torch.bool):
    mask = torch.zeros(1, 1, 40, 50, dtype=dtype)
    mask[0, 0, 20, 25] = 1
    return mask


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_a_dot_grows_by_eight_pixels_to_every_side(dtype):
    grown = dilate(_dot(dtype))
    expected = torch.zeros(1, 1, 40, 50, dtype=torch.bool)
    expected[..., 12:29, 17:34] = True
    assert torch.equal(grown, expected)


def test_growth_stops_at_the_border_and_zero_pixels_change_nothing():
    mask = torch.zeros(1, 1, 10, 10, dtype=torch.bool)
    mask[0, 0, 0, 0] = True
    assert dilate(mask, 2).sum() == 9
    assert torch.equal(dilate(mask, 0), mask)


def test_residual_motion_is_kept_near_the_mask_alone_and_so_is_its_gradient():
    residual = torch.ones(1, 3, 40, 50, requires_grad=True)
    gated = gate_residual(residual, _dot())
    gated.sum().backward()
    allowed = dilate(_dot()).expand_as(residual).float()
    assert torch.equal(gated, allowed)
    assert torch.equal(residual.grad, allowed)


def test_without_a_mask_everything_may_move():
    residual = torch.rand(1, 3, 4, 5)
    assert gate_residual(residual, None) is residual


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 1, 40, 50\) does not fit"):
        gate_residual(torch.ones(1, 3, 40, 48), _dot())
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\), got \(40, 50\)"):
        dilate(torch.ones(40, 50))
    with pytest.raises(ValueError, match="got -1"):
        dilate(_dot(), -1)
