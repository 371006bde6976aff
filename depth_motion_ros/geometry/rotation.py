"""Rotation angles and rotation matrices, differentiable in both directions (PyTorch)."""

from __future__ import annotations

import torch


def euler_to_matrix(angles: torch.Tensor) -> torch.Tensor:
    """R = Rx(a0) · Ry(a1) · Rz(a2).

    angles: (B, 3) radians about x, y, z of the camera's optical frame.
    Returns (B, 3, 3) of the same dtype.

    Raises ValueError for another shape.
    """
    if angles.ndim != 2 or angles.shape[1] != 3:
        raise ValueError(f"angles must be (B, 3), got {tuple(angles.shape)}")
    sx, sy, sz = torch.sin(angles).unbind(1)
    cx, cy, cz = torch.cos(angles).unbind(1)
    entries = (
        *(cy * cz, -cy * sz, sy),
        *(cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy),
        *(sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy),
    )
    return torch.stack(entries, dim=1).view(-1, 3, 3)


def matrix_to_euler(matrix: torch.Tensor) -> torch.Tensor:
    """The angles of which ``euler_to_matrix`` makes this matrix.

    matrix: (B, 3, 3) rotation. Returns (B, 3) radians, the second in [-pi/2, pi/2]; at exactly
    ±pi/2 (gimbal lock) x and z are not unique.

    Raises ValueError for another shape.
    """
    if matrix.ndim != 3 or matrix.shape[1:] != (3, 3):
        raise ValueError(f"matrix must be (B, 3, 3), got {tuple(matrix.shape)}")
    x = torch.atan2(-matrix[:, 1, 2], matrix[:, 2, 2])
    # atan2 in place of asin: accurate to the last digits also where |sin| is close to 1.
    y = torch.atan2(matrix[:, 0, 2], torch.hypot(matrix[:, 0, 0], matrix[:, 0, 1]))
    z = torch.atan2(-matrix[:, 0, 1], matrix[:, 0, 0])
    return torch.stack((x, y, z), dim=1)
