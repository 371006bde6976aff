"""Analytic scenes: where points land is known without any code of the package."""

import math

import numpy as np
import pytest
import torch

from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.geometry.warp import inverse_intrinsics, sample, transform_depth

HEIGHT, WIDTH, FOCAL, CX, CY = 12, 20, 16.0, 9.5, 5.5
K = torch.tensor([[[FOCAL, 0, CX], [0, FOCAL, CY], [0, 0, 1]]], dtype=torch.float64)


def _plane(depth):
    return torch.full((1, 1, HEIGHT, WIDTH), depth, dtype=torch.float64)


def _translation(*t):
    return torch.tensor(t, dtype=torch.float64).view(1, 3, 1, 1)


def _rotation(*angles):
    return euler_to_matrix(torch.tensor([angles], dtype=torch.float64))


def _grid():
    v, u = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return u.double(), v.double()


def test_without_motion_every_pixel_stays():
    warp = transform_depth(_plane(7.0), _rotation(0, 0, 0), _translation(0, 0, 0), K)
    u, v = _grid()
    assert torch.allclose(warp.pixel_xy[0], torch.stack((u, v)), atol=1e-12)
    assert torch.allclose(warp.depth, _plane(7.0))
    # The last column and row are not strictly inside (x' < W - 1), as in the reference; rounding
    # puts the first ones on either side of 0, so they are not asserted.
    assert warp.valid[0, 0, 1:-1, 1:-1].all()
    assert not warp.valid[..., -1].any()
    assert not warp.valid[..., -1, :].any()


def test_a_plane_shifts_by_focal_length_times_baseline_over_depth():
    # 16 px · 0.5 m / 4 m = 2 px to the right.
    warp = transform_depth(_plane(4.0), _rotation(0, 0, 0), _translation(0.5, 0, 0), K)
    u, v = _grid()
    expected = torch.stack(((u + 2).clamp(max=WIDTH - 1), v))
    assert torch.allclose(warp.pixel_xy[0], expected, atol=1e-12)
    assert torch.equal(warp.valid[0, 0, 1:-1, 1:], (u + 2 < WIDTH - 1)[1:-1, 1:])


def test_a_plane_that_recedes_shrinks_towards_the_principal_point():
    warp = transform_depth(_plane(4.0), _rotation(0, 0, 0), _translation(0, 0, 1.0), K)
    u, v = _grid()
    # From 4 m to 5 m: a factor of 0.8 about (cx, cy).
    expected = torch.stack((CX + 0.8 * (u - CX), CY + 0.8 * (v - CY)))
    assert torch.allclose(warp.pixel_xy[0], expected, atol=1e-12)
    assert torch.allclose(warp.depth, _plane(5.0))
    assert warp.valid.all()


def test_pure_rotation_does_not_depend_on_depth():
    angle = 0.1
    still = _translation(0, 0, 0)
    near = transform_depth(_plane(2.0), _rotation(0, angle, 0), still, K)
    far = transform_depth(_plane(200.0), _rotation(0, angle, 0), still, K)
    assert torch.allclose(near.pixel_xy, far.pixel_xy, atol=1e-9)
    # A ray at angle a to the axis, in the plane of the turn, ends at a + 0.1.
    on_axis = transform_depth(
        _plane(2.0),
        _rotation(0, angle, 0),
        still,
        K - torch.tensor([[0, 0, 0], [0, 0, 0.5], [0] * 3]),
    )
    u = torch.arange(WIDTH, dtype=torch.float64)
    expected = CX + FOCAL * torch.tan(torch.atan((u - CX) / FOCAL) + angle)
    assert torch.allclose(on_axis.pixel_xy[0, 0, 5], expected.clamp(0, WIDTH - 1), atol=1e-9)


def test_a_translation_field_moves_one_pixel_alone():
    field = torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    field[0, 1, 6, 10] = 0.25
    warp = transform_depth(_plane(4.0), _rotation(0, 0, 0), field, K)
    u, v = _grid()
    expected = torch.stack((u, v))
    expected[1, 6, 10] += 1.0  # 16 px · 0.25 m / 4 m
    assert torch.allclose(warp.pixel_xy[0], expected, atol=1e-12)


def test_what_ends_behind_the_camera_is_not_valid():
    warp = transform_depth(_plane(4.0), _rotation(0, 0, 0), _translation(0, 0, -5.0), K)
    assert torch.allclose(warp.depth, _plane(-1.0))
    assert not warp.valid.any()


def test_a_point_in_the_camera_centre_has_no_infinite_coordinates_or_gradients():
    depth = _plane(4.0).requires_grad_()
    warp = transform_depth(depth, _rotation(0, 0, 0), _translation(0, 0, -4.0), K)
    warp.pixel_xy.sum().backward()
    assert torch.isfinite(warp.pixel_xy).all()
    assert torch.isfinite(depth.grad).all()
    assert not warp.valid.any()


def test_an_unknown_depth_is_not_valid_and_has_coordinates_inside():
    depth = _plane(4.0)
    depth[0, 0, 3, 4] = math.nan
    warp = transform_depth(depth, _rotation(0, 0, 0), _translation(0.1, 0, 0), K)
    assert not warp.valid[0, 0, 3, 4]
    assert warp.valid[0, 0, 3, 5]
    assert torch.isfinite(warp.pixel_xy).all()


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    depth = (4 + torch.rand(1, 1, HEIGHT, WIDTH, dtype=torch.float64)).requires_grad_()
    field = (0.01 * torch.randn(1, 3, HEIGHT, WIDTH, dtype=torch.float64)).requires_grad_()
    angles = torch.tensor([[0.01, -0.02, 0.03]], dtype=torch.float64, requires_grad=True)
    intrinsics = K.clone().requires_grad_()

    def warped(depth, angles, field, intrinsics):
        warp = transform_depth(depth, euler_to_matrix(angles), field, intrinsics)
        return warp.pixel_xy, warp.depth

    assert torch.autograd.gradcheck(warped, (depth, angles, field, intrinsics), fast_mode=True)


def test_sampling_between_pixels_is_bilinear_and_the_border_is_repeated():
    image = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]], dtype=torch.float64)
    xy = torch.tensor([[0.5, 0.5], [0.25, 0.0], [1.0, 1.0], [7.0, -3.0]], dtype=torch.float64)
    values = sample(image, xy.T.reshape(1, 2, 1, 4))
    # Centre: mean of all four; a quarter along the first row; a corner; far outside.
    np.testing.assert_allclose(values[0, 0, 0].numpy(), [1.75, 0.25, 4.0, 1.0])


def test_sampling_at_the_pixels_of_an_image_gives_the_image():
    image = torch.rand(2, 3, HEIGHT, WIDTH, dtype=torch.float64)
    grid = torch.stack(_grid()).expand(2, -1, -1, -1)
    assert torch.allclose(sample(image, grid), image, atol=1e-12)


def test_sampling_has_the_gradients_of_finite_differences():
    torch.manual_seed(0)
    image = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    # Away from whole pixels, where bilinear interpolation has a kink.
    xy = torch.rand(1, 2, 3, 3, dtype=torch.float64) * 0.8 + 1.1
    assert torch.autograd.gradcheck(sample, (image, xy.requires_grad_()))


def test_the_closed_form_inverts_intrinsics_with_skew():
    skewed = torch.tensor([[[500.0, 3, 320], [0, 480, 250], [0, 0, 1]]], dtype=torch.float64)
    assert torch.allclose(inverse_intrinsics(skewed), torch.linalg.inv(skewed), atol=1e-15)


@pytest.mark.parametrize(
    ("depth", "rotation", "translation", "message"),
    [
        ((1, HEIGHT, WIDTH), (1, 3, 3), (1, 3, 1, 1), "depth must be"),
        ((1, 1, HEIGHT, WIDTH), (1, 3), (1, 3, 1, 1), "rotation and K must be"),
        ((1, 1, HEIGHT, WIDTH), (1, 3, 3), (1, 3), "translation must be"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(depth, rotation, translation, message):
    with pytest.raises(ValueError, match=message):
        transform_depth(torch.ones(depth), torch.ones(rotation), torch.ones(translation), K)


def test_sampling_coordinates_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="pixel_xy must be"):
        sample(torch.ones(1, 3, 4, 4), torch.ones(1, 4, 4, 2))
