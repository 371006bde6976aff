import math

import pytest
import torch
from support.loss_scenes import HEIGHT, WIDTH, texture

from depth_motion_ros.losses.photometric import (
    PhotometricMaps,
    improved_by_warp,
    mean_difference,
    minimum_reprojection,
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


def _maps(rgb, valid):
    rgb = torch.tensor(rgb)[None, None]
    return PhotometricMaps(rgb, rgb[..., 1:-1, 1:-1] * 10, torch.tensor(valid)[None, None])


def test_each_pixel_is_judged_by_the_neighbour_that_shows_it_best():
    first = _maps([[0.3] * 3, [0.3, 0.1, 0.3], [0.3] * 3], [[True] * 3] * 3)
    second = _maps([[0.2] * 3] * 3, [[True] * 3] * 3)
    best = minimum_reprojection(first, second)
    expected = torch.full((3, 3), 0.2)
    expected[1, 1] = 0.1
    assert torch.allclose(best.rgb[0, 0], expected)
    assert torch.allclose(best.ssim, torch.full((1, 1, 1, 1), 1.0))


def test_a_pixel_outside_one_neighbour_is_judged_by_the_other():
    # Outside its image a warp has error 0, which must not pass for a perfect match.
    first = _maps([[0.0] * 3] * 3, [[False] * 3] * 3)
    second = _maps([[0.2] * 3] * 3, [[True] * 3, [True] * 3, [False] * 3])
    for best in (minimum_reprojection(first, second), minimum_reprojection(second, first)):
        assert torch.allclose(best.rgb[0, 0, :2], torch.full((2, 3), 0.2))
        assert torch.allclose(best.ssim, torch.full((1, 1, 1, 1), 2.0))
        assert torch.equal(best.valid[0, 0], torch.tensor([[True] * 3, [True] * 3, [False] * 3]))
