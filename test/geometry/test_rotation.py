import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from depth_motion_ros.geometry.rotation import euler_to_matrix, matrix_to_euler


def test_the_matrix_is_rx_ry_rz():
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (20, 3))
    # Capital letters: scipy's intrinsic rotations, whose product reads Rx·Ry·Rz.
    expected = Rotation.from_euler("XYZ", angles).as_matrix()
    np.testing.assert_allclose(euler_to_matrix(torch.tensor(angles)).numpy(), expected, atol=1e-14)


def test_turning_about_y_moves_the_view_axis_to_the_right():
    ahead = euler_to_matrix(torch.tensor([[0.0, math.pi / 2, 0.0]])) @ torch.tensor([0.0, 0, 1])
    np.testing.assert_allclose(ahead[0].numpy(), [1, 0, 0], atol=1e-6)


def test_angles_survive_the_way_through_the_matrix():
    # The second angle is unique only within ±pi/2.
    limits = np.array([math.pi, math.pi / 2, math.pi]) * 0.999
    angles = torch.tensor(np.random.default_rng(1).uniform(-limits, limits, (50, 3)))
    assert torch.allclose(matrix_to_euler(euler_to_matrix(angles)), angles, atol=1e-9)


def test_gimbal_lock_still_gives_angles_of_the_same_rotation():
    matrix = euler_to_matrix(torch.tensor([[0.3, math.pi / 2, 0.2]], dtype=torch.float64))
    again = euler_to_matrix(matrix_to_euler(matrix))
    # Rounding of cos(pi/2) leaves 1e-16 of the entries that tell x from z: still the same matrix.
    assert torch.allclose(again, matrix, atol=1e-6)


def test_both_directions_have_the_gradients_of_finite_differences():
    angles = torch.tensor([[0.1, -0.4, 0.7], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(euler_to_matrix, angles.requires_grad_())
    matrix = euler_to_matrix(angles).detach().requires_grad_()
    assert torch.autograd.gradcheck(matrix_to_euler, matrix)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 3, 1)])
def test_angles_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"angles must be \(B, 3\)"):
        euler_to_matrix(torch.zeros(shape))


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"got \(3, 3\)"):
        matrix_to_euler(torch.eye(3))
