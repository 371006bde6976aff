import math

import pytest
import torch
from support.loss_scenes import HEIGHT, WIDTH, texture

from depth_motion_ros.losses.photometric import (
    improved_by_warp,
    mean_difference,
    weighted_ssim,
)

ONES = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.float64)


def test_an_image_is_not_dissimilar_to_itself():
    loss, weight = weighted_ssim(texture(), texture(), ONES)
    assert loss.shape == (1, 3, HEIGHT - 2, WIDTH - 2)
    assert weight.shape == (1, 1, HEIGHT - 2, WIDTH - 2)
    assert loss.max() < 1e-12


def test_an_inverted_image_is_as_dissimilar_as_can_be():
    # Equal variance, covariance of the other sign, c2 next to nothing: SSIM = -1, loss 1.
    steep = 0.5 + 0.4 * torch.rand(1, 1, 8, 8, dtype=torch.float64)
    loss, _ = weighted_ssim(steep, 1 - steep, torch.ones_like(steep), math.inf, 1e-12)
    assert torch.allclose(loss, torch.ones_like(loss))


def test_without_luminance_term_brightness_does_not_count():
    brighter = texture() + 0.1
    with_term, _ = weighted_ssim(brighter, texture(), ONES)
    without, _ = weighted_ssim(brighter, texture(), ONES, math.inf, 9e-6)
    assert without.max() < 1e-9
    assert with_term.mean() > 1e-3


def test_a_pixel_that_is_not_trusted_hardly_counts_in_its_windows():
    broken = texture()
    broken[..., 10, 15] = 1.0
    weight = ONES.clone()
    weight[..., 10, 15] = 0.0
    trusted, _ = weighted_ssim(broken, texture(), ONES, weight_epsilon=1e-9)
    distrusted, _ = weighted_ssim(broken, texture(), weight, weight_epsilon=1e-9)
    assert trusted.max() > 0.3
    assert distrusted.max() < 1e-6


def test_ssim_has_the_gradient_of_finite_differences():
    torch.manual_seed(0)
    x, y = torch.rand(2, 1, 2, 5, 6, dtype=torch.float64)
    weight = torch.rand(1, 1, 5, 6, dtype=torch.float64)
    x.requires_grad_()
    for c1, c2 in ((math.inf, 0.03**2), (0.01**2, math.inf), (0.01**2, 0.03**2)):
        assert torch.autograd.gradcheck(
            lambda image, c1=c1, c2=c2: weighted_ssim(image, y, weight, c1, c2)[0], x
        )


def test_ssim_refuses_what_leaves_nothing_to_compare():
    with pytest.raises(ValueError, match="both infinite"):
        weighted_ssim(texture(), texture(), ONES, math.inf, math.inf)
    with pytest.raises(ValueError, match=r"\(2, 5\)"):
        weighted_ssim(torch.ones(1, 3, 2, 5), torch.ones(1, 3, 2, 5), torch.ones(1, 1, 2, 5))


def _improved(warped, unwarped, target, shares=(1.0, 1.5)):
    ssim, _ = weighted_ssim(warped, target, ONES, math.inf, 9e-6)
    return improved_by_warp(
        mean_difference(warped, target),
        ssim.mean(dim=1, keepdim=True),
        unwarped,
        target,
        ONES,
        shares,
    )


def test_pixels_that_do_not_change_tell_nothing_about_motion():
    # Whatever the warp makes of them, a frame equal to the other has no error to improve.
    assert not _improved(texture(2.0), texture(), texture()).any()
    assert not _improved(texture(), texture(), texture()).any()


def test_pixels_that_a_warp_explains_are_kept():
    assert _improved(texture(), texture(2.0), texture()).all()


def test_the_comparison_is_made_pixel_by_pixel():
    still_left = texture(2.0)
    still_left[..., : WIDTH // 2] = texture()[..., : WIDTH // 2]
    kept = _improved(texture(), still_left, texture(), shares=(1.0, 0.0))
    assert not kept[..., : WIDTH // 2].any()
    assert kept[..., WIDTH // 2 :].all()
