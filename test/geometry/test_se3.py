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


def test_quaternions_are_those_of_scipy_up_to_half_a_turn():
    # Tiny angles, where w is 1 to the last digit, and half turns about each axis, where it is 0.
    turns = [(0, 0, 0), (1e-12, 0, 0), (0, 1e-6, -1e-6), (1, -2, 0.5), (2, 2, 2), (-3.1, 0, 0.1)]
    turns += [(math.pi, 0, 0), (0, math.pi, 0), (0, 0, math.pi)]
    for turn in turns:
        R = Rotation.from_rotvec(turn).as_matrix()
        x, y, z, w = se3.quaternion(R)
        assert w >= 0
        np.testing.assert_allclose(np.linalg.norm((x, y, z, w)), 1.0, atol=1e-15)
        # Of half a turn w is zero but for rounding: either sign is the same rotation.
        np.testing.assert_allclose(Rotation.from_quat((x, y, z, w)).as_matrix(), R, atol=1e-15)
        if w > 1e-9:
            expected = Rotation.from_matrix(R).as_quat(canonical=True)
            np.testing.assert_allclose((x, y, z, w), expected, atol=1e-15)
