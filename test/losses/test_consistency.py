import math

import torch
from support.loss_scenes import FOCAL, HEIGHT, WIDTH, K, plane, texture

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.geometry.warp import Warp, sample, transform_depth
from depth_motion_ros.losses.consistency import (
    rgbd_consistency,
    rotation_cycle_error,
    translation_cycle_error,
)

STILL = torch.eye(3, dtype=torch.float64)[None]
# Both frames see a plane at 8 m while the camera steps so that the image moves 2 px to the right.
DEPTH, SHIFT = 8.0, 2.0
STEP = SHIFT * DEPTH / FOCAL
# Frame 2's depth is taken 0.1 % larger than where the points land: with exactly equal depths
# rounding would decide what hides what.
BEHIND = 1.001


def _translation(*t):
    return torch.tensor(t, dtype=torch.float64).view(1, 3, 1, 1)


def _compare(image_1, image_2, translation, depth_2, **options):
    warp = transform_depth(plane(DEPTH), STILL, translation, K)
    return rgbd_consistency(image_1, image_2, warp, sample(depth_2, warp.pixel_xy), **options)


def test_a_perfect_warp_of_a_smooth_image_leaves_nothing():
    right = _compare(texture(), texture(SHIFT), _translation(STEP, 0, 0), plane(DEPTH * BEHIND))
    wrong = _compare(texture(), texture(SHIFT), _translation(0, 0, 0), plane(DEPTH * BEHIND))
    # Whole pixels: sampling is exact but for rounding.
    assert right.rgb_error < 1e-12
    # Windows at the edge contain pixels that left the image; they count with the 0.01 of the
    # pooling alone.
    assert right.ssim_error < 0.01 * wrong.ssim_error
    assert wrong.rgb_error > 0.02


def test_between_pixels_a_perfect_warp_is_as_good_as_bilinear_interpolation():
    half = _translation(0.25 * STEP, 0, 0)
    found = _compare(texture(), texture(0.25 * SHIFT), half, plane(DEPTH * BEHIND))
    assert found.rgb_error < 1.6e-3  # the bound of texture()
    wrong = _compare(texture(), texture(0.25 * SHIFT), -half, plane(DEPTH * BEHIND))
    assert wrong.rgb_error > 10 * found.rgb_error


def test_what_something_nearer_hides_is_not_compared():
    depth_2 = plane(DEPTH * BEHIND)
    depth_2[..., 5:9, 10:20] = 2.0
    found = _compare(texture(), torch.zeros_like(texture()), _translation(0, 0, 0), depth_2)
    assert not found.closer[..., 5:9, 10:20].any()
    assert found.maps.rgb[..., 5:9, 10:20].max() == 0
    assert found.closer[..., 10:-1, 1:-1].all()
    # The hidden part's depth is wrong by 6 m among gaps of 8 mm: hardly trusted, but inside.
    assert found.maps.valid[..., 5:9, 10:20].all()
    assert found.proximity_weight[..., 5:9, 10:20].max() < 0.01


def test_depth_error_is_the_gap_where_nothing_hides_it():
    found = _compare(texture(), texture(), _translation(0, 0, 0), plane(DEPTH + 3))
    share = found.closer.double().mean()
    assert share > 0.8
    assert torch.allclose(found.depth_difference, 3 * share)
    behind = _compare(texture(), texture(), _translation(0, 0, 0), plane(DEPTH - 3))
    assert behind.depth_difference == 0


def test_proximity_weight_halves_where_the_gap_is_the_usual_one():
    found = _compare(texture(), texture(), _translation(0, 0, 0), plane(DEPTH + 3))
    inside = found.proximity_weight[found.maps.valid]
    # gap² = 9 everywhere; the mean over n visible pixels is taken as 9n/(n+1) + 1e-4.
    n = found.closer.sum()
    variance = 9 * n / (n + 1) + 1e-4
    assert torch.allclose(inside, (variance / (9 + variance)).double())
    assert found.proximity_weight[~found.maps.valid].max() == 0


def test_static_pixels_are_left_out_on_request():
    image_2 = texture(SHIFT)
    image_2[..., :10] = texture()[..., :10]
    # One pixel alone that does change, among those that do not.
    image_2[..., 12, 4] = 0.0
    arguments = (texture(), image_2, _translation(STEP, 0, 0), plane(DEPTH * BEHIND))
    everything = _compare(*arguments)
    moving = _compare(*arguments, identity_shares=(1.0, 0.0))
    assert everything.maps.rgb[..., :7].max() > 0.02
    expected = torch.zeros(HEIGHT, 8, dtype=torch.bool)
    expected[12, 4] = True
    assert torch.equal((moving.maps.rgb > 0)[0, 0, :, :8], expected)
    # The map of SSIM starts one pixel further in.
    assert torch.equal((moving.maps.ssim > 0)[0, 0, :, :7], expected[1:-1, 1:])
    assert torch.equal(moving.maps.rgb[..., 12:], everything.maps.rgb[..., 12:])


def test_the_other_depth_is_taken_as_given():
    depth_2 = plane(DEPTH + 3).requires_grad_()
    found = _compare(texture(), texture(), _translation(0, 0, 0), depth_2)
    assert not found.depth_difference.requires_grad
    assert not found.ssim_error.requires_grad


def test_image_errors_have_the_gradients_of_finite_differences():
    torch.manual_seed(0)
    depth = torch.full((1, 1, 6, 7), 4.0, dtype=torch.float64)
    image_1, image_2 = torch.rand(2, 1, 3, 6, 7, dtype=torch.float64)
    # Away from whole pixels, where sampling has a kink.
    v, u = torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij")
    xy = torch.nn.functional.pad(torch.stack((u, v))[None].double() + 0.4, (0, 1, 0, 1), value=2.3)
    valid = torch.ones(1, 1, 6, 7, dtype=torch.bool)

    def errors(pixel_xy, moved_depth):
        warp = Warp(pixel_xy, moved_depth, valid)
        found = rgbd_consistency(image_1, image_2, warp, depth + 1)
        return found.rgb_error, found.ssim_error, found.depth_difference

    def errors_at(pixel_xy):
        return errors(pixel_xy, depth)

    assert torch.autograd.gradcheck(errors_at, xy.requires_grad_())
    # The trust in a pixel takes depth as given: only the depth error has a slope in it.
    moved = depth.clone().requires_grad_()
    rgb, ssim, depth_difference = errors(xy.detach(), moved)
    assert not rgb.requires_grad
    assert not ssim.requires_grad
    (slope,) = torch.autograd.grad(depth_difference, moved)
    assert torch.allclose(slope, torch.full_like(slope, -1 / slope.numel()))


def test_turning_there_and_back_costs_nothing():
    R = euler_to_matrix(torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64))
    assert rotation_cycle_error(R, R.transpose(1, 2)) < 1e-12
    assert rotation_cycle_error(STILL, STILL) == 0


def test_turning_twice_the_same_way_costs_nearly_two():
    # |R² - 1|² = 8 sin²(a) against 2·8 sin²(a/2): the quotient is 2 cos²(a/2).
    angle = 0.2
    R = euler_to_matrix(torch.tensor([[0, angle, 0]], dtype=torch.float64))
    error = rotation_cycle_error(R, R)
    assert math.isclose(error, 2 * math.cos(angle / 2) ** 2, rel_tol=1e-6)


def test_a_turn_without_an_answer_costs_one():
    R = euler_to_matrix(torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64))
    assert math.isclose(rotation_cycle_error(R, STILL), 1.0, rel_tol=1e-6)


def _field(*t):
    return _translation(*t).expand(1, 3, HEIGHT, WIDTH)


def test_moving_there_and_back_costs_nothing_and_twice_forward_costs_two():
    visible = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    there, back = _field(0.3, 0, 0.4), _field(-0.3, 0, -0.4)
    assert translation_cycle_error(STILL, there, back, visible) < 1e-12
    # |2t|² / (2|t|²) = 2.
    twice = translation_cycle_error(STILL, there, there, visible)
    assert math.isclose(twice, 2.0, rel_tol=1e-9)
    half = visible.clone()
    half[..., : WIDTH // 2] = False
    assert math.isclose(translation_cycle_error(STILL, there, there, half), 1.0, rel_tol=1e-9)


def test_the_way_back_is_turned_into_the_first_frame():
    # After a quarter turn about y, x of frame 1 is seen along -z: T2 undoes T1 only once turned.
    R = euler_to_matrix(torch.tensor([[0, math.pi / 2, 0]], dtype=torch.float64))
    visible = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    error = translation_cycle_error(R, _field(1, 0, 0), _field(0, 0, -1), visible)
    assert error < 1e-12


def test_motion_cycles_have_the_gradients_of_finite_differences():
    torch.manual_seed(0)
    angles = 0.1 * torch.randn(2, 2, 3, dtype=torch.float64)
    fields = torch.randn(2, 2, 3, 3, 4, dtype=torch.float64)
    visible = torch.rand(2, 1, 3, 4) > 0.3

    def errors(angles_12, angles_21, there, back):
        R_12, R_21 = euler_to_matrix(angles_12), euler_to_matrix(angles_21)
        return (
            rotation_cycle_error(R_12, R_21),
            translation_cycle_error(R_12, there, back, visible),
        )

    inputs = [tensor.clone().requires_grad_() for tensor in (*angles, *fields)]
    assert torch.autograd.gradcheck(errors, inputs)


def test_no_motion_at_all_has_finite_gradients():
    angles = torch.zeros(1, 3, requires_grad=True)
    field = torch.zeros(1, 3, 4, 5, requires_grad=True)
    R = euler_to_matrix(angles)
    visible = torch.ones(1, 1, 4, 5, dtype=torch.bool)
    total = rotation_cycle_error(R, R) + translation_cycle_error(R, field, field, visible)
    total.backward()
    assert torch.isfinite(angles.grad).all()
    assert torch.isfinite(field.grad).all()
