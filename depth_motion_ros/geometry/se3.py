"""Rigid transforms as 4x4 matrices in float64, for poses and their covariances (NumPy).

Twists are ordered translation, then rotation, as in ``geometry_msgs/PoseWithCovariance``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

# Below this angle (rad) the series of the coefficients beats their closed forms, which cancel.
_SMALL_ANGLE = 1e-3


def transform(R: ArrayLike, t: ArrayLike) -> NDArray[np.float64]:
    """T = [[R, t], [0, 1]]. R: (3, 3), t: (3,) or (3, 1). Raises ValueError for other shapes."""
    rotation, translation = np.asarray(R, np.float64), np.asarray(t, np.float64)
    if rotation.shape != (3, 3) or translation.size != 3:
        raise ValueError(
            f"need R (3, 3) and t (3,), got shapes {rotation.shape} and {translation.shape}"
        )
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation.reshape(3)
    return T


def inverse(T: ArrayLike) -> NDArray[np.float64]:
    """The inverse of a rigid transform (4, 4): [[R', -R' t], [0, 1]]."""
    T = _checked(T)
    R_back = T[:3, :3].T
    return transform(R_back, -R_back @ T[:3, 3])


def adjoint(T: ArrayLike) -> NDArray[np.float64]:
    """(6, 6) map of twists (translation, rotation): T · exp(x) · T^-1 = exp(adjoint(T) · x).

    A covariance C of such a twist becomes A · C · A' with A = adjoint(T).
    """
    T = _checked(T)
    R = T[:3, :3]
    A = np.zeros((6, 6))
    A[:3, :3] = A[3:, 3:] = R
    A[:3, 3:] = _cross(T[:3, 3]) @ R
    return A


def exp(xi: ArrayLike) -> NDArray[np.float64]:
    """The transform reached after moving with a constant twist for a unit of time.

    xi: (6,) translation (m), rotation (rad). Returns (4, 4). Source: Barfoot, State Estimation
    for Robotics, section 7.1. Raises ValueError for another shape.
    """
    twist = np.asarray(xi, np.float64)
    if twist.shape != (6,):
        raise ValueError(f"a twist has shape (6,), got {twist.shape}")
    phi = twist[3:]
    angle = float(np.linalg.norm(phi))
    if angle < _SMALL_ANGLE:
        a, b = 0.5 - angle**2 / 24, 1 / 6 - angle**2 / 120
    else:
        a, b = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    W = _cross(phi)
    V = np.eye(3) + a * W + b * W @ W
    return transform(Rotation.from_rotvec(phi).as_matrix(), V @ twist[:3])


def log(T: ArrayLike) -> NDArray[np.float64]:
    """The twist (6,) whose ``exp`` is T; its rotation angle lies in [0, pi]."""
    T = _checked(T)
    x, y, z, w = quaternion(T[:3, :3])
    sine = math.hypot(x, y, z)
    phi = np.array([x, y, z]) * (2 * math.atan2(sine, w) / sine if sine > 0 else 2.0)
    angle = float(np.linalg.norm(phi))
    if angle < _SMALL_ANGLE:
        c = 1 / 12 + angle**2 / 720
    else:
        c = (1 - 0.5 * angle / np.tan(0.5 * angle)) / angle**2
    W = _cross(phi)
    V_inverse = np.eye(3) - 0.5 * W + c * W @ W
    return np.concatenate((V_inverse @ T[:3, 3], phi))


def quaternion(R: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """x, y, z, w >= 0 of a rotation matrix (3, 3).

    As SciPy's Rotation.from_matrix(R).as_quat(canonical=True), in a fifteenth of its time, which
    counts where it is needed for every frame. Source: Shepperd, Quaternion from rotation matrix,
    1978: each row below is the quaternion times four of its entries, and the largest is safest.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = R.tolist()
    rows = (
        (1 + xx - yy - zz, xy + yx, xz + zx, zy - yz),
        (xy + yx, 1 - xx + yy - zz, yz + zy, xz - zx),
        (xz + zx, yz + zy, 1 - xx - yy + zz, yx - xy),
        (zy - yz, xz - zx, yx - xy, 1 + xx + yy + zz),
    )
    x, y, z, w = max(enumerate(rows), key=lambda entry: entry[1][entry[0]])[1]
    norm = math.copysign(math.hypot(x, y, z, w), w)
    return x / norm, y / norm, z / norm, w / norm


def _cross(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """[v]x, the matrix of v × ·."""
    x, y, z = v
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def _checked(T: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(T, np.float64)
    if matrix.shape != (4, 4):
        raise ValueError(f"a rigid transform has shape (4, 4), got {matrix.shape}")
    return matrix
