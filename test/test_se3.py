import math

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from depth_motion_ros.geometry import se3


def _random_transform(seed):
    rng = np.random.default_rng(seed)
    return se3.transform(Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3))


def _hat(xi):
    """4x4 generator of a twist, the definition that exp is held against."""
    G = np.zeros((4, 4))
    x, y, z = xi[3:]
    G[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    G[:3, 3] = xi[:3]
    return G


# 1e-5 and 9e-4 use the series, 1.1e-3 the closed form next to it; 3.1 is almost half a turn.
@pytest.mark.parametrize("angle", [0.0, 1e-5, 9e-4, 1.1e-3, 0.5, 3.1])
def test_exp_is_the_matrix_exponential_and_log_undoes_it(angle):
    axis = np.array([0.48, -0.6, 0.64])
    xi = np.concatenate(([1.0, -2.0, 3.0], angle * axis))
    T = se3.exp(xi)
    np.testing.assert_allclose(T, expm(_hat(xi)), atol=1e-12)
    np.testing.assert_allclose(se3.log(T), xi, atol=1e-9)


def test_a_quarter_turn_while_driving_ends_on_a_quarter_circle():
    # Forward (z) speed v, turning about y at w = pi/2 per unit: radius v / w.
    T = se3.exp([0, 0, 1, 0, math.pi / 2, 0])
    radius = 2 / math.pi
    np.testing.assert_allclose(T[:3, 3], [radius, 0, radius], atol=1e-15)


def test_inverse_undoes_a_transform():
    T = _random_transform(3)
    np.testing.assert_allclose(se3.inverse(T) @ T, np.eye(4), atol=1e-15)


def test_adjoint_carries_a_twist_through_a_transform():
    T, xi = _random_transform(4), np.array([0.3, -0.1, 0.2, 0.4, 0.5, -0.6])
    moved = T @ se3.exp(xi) @ se3.inverse(T)
    np.testing.assert_allclose(se3.exp(se3.adjoint(T) @ xi), moved, atol=1e-12)


def test_a_column_serves_as_translation():
    np.testing.assert_array_equal(se3.transform(np.eye(3), [[1], [2], [3]])[:3, 3], [1, 2, 3])


def test_wrong_shapes_are_refused_with_the_shape():
    with pytest.raises(ValueError, match=r"\(3, 3\) and \(2,\)"):
        se3.transform(np.eye(3), [1, 2])
    with pytest.raises(ValueError, match=r"got \(3, 3\)"):
        se3.inverse(np.eye(3))
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        se3.exp([1, 2, 3])
