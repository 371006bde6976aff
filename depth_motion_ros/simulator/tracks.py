"""Where things are at a time: sampled paths, interpolated so that speed has no steps.

A track is (T, 6): x, y, z in metres and roll, pitch, yaw in radians (unwrapped), sampled at
``TRACK_RATE`` from time 0. World: x forward, y left, z up. R = Rz(yaw) Ry(pitch) Rx(roll).
"""

from __future__ import annotations

import torch
from torch import Tensor

TRACK_RATE = 20.0

# Optical axes (x right, y down, z ahead) of a camera whose body has x ahead, y left, z up.
OPTICAL_IN_BODY = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))


def interpolate(tracks: Tensor, time: Tensor) -> Tensor:
    """Catmull-Rom interpolation.

    tracks: (B, N, T, 6). time: (B,) s, clamped to the track. Returns (B, N, 6).
    """
    count = tracks.shape[2]
    position = (time.to(tracks.dtype) * TRACK_RATE).clamp(0.0, count - 1.0)
    first = position.floor().clamp(max=count - 2).long()
    s = (position - first)[:, None, None]
    rows = torch.arange(len(time), device=tracks.device)
    p0, p1, p2, p3 = (tracks[rows, :, (first + k).clamp(0, count - 1)] for k in (-1, 0, 1, 2))
    a = 2 * p1
    b = p2 - p0
    c = 2 * p0 - 5 * p1 + 4 * p2 - p3
    d = 3 * p1 - p0 - 3 * p2 + p3
    return 0.5 * (a + s * (b + s * (c + s * d)))


def rotation(angles: Tensor) -> Tensor:
    """(..., 3) roll, pitch, yaw -> (..., 3, 3) Rz(yaw) Ry(pitch) Rx(roll)."""
    cr, cp, cy = torch.cos(angles).unbind(-1)
    sr, sp, sy = torch.sin(angles).unbind(-1)
    rows = (
        cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr,
        sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr,
        -sp, cp * sr, cp * cr,
    )  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*angles.shape[:-1], 3, 3)


def to_matrix(state: Tensor) -> Tensor:
    """(..., 6) -> (..., 4, 4): maps body coordinates to the world."""
    pose = torch.zeros(*state.shape[:-1], 4, 4, dtype=state.dtype, device=state.device)
    pose[..., :3, :3] = rotation(state[..., 3:])
    pose[..., :3, 3] = state[..., :3]
    pose[..., 3, 3] = 1.0
    return pose


def camera_pose(carrier: Tensor, mount: Tensor) -> Tensor:
    """Camera-to-world pose (optical axes) of a camera mounted on a carrier.

    carrier: (..., 6) state. mount: (..., 6) in the carrier's axes. Returns (..., 4, 4).
    """
    pose = to_matrix(carrier) @ to_matrix(mount)
    optical = torch.tensor(OPTICAL_IN_BODY, dtype=pose.dtype, device=pose.device)
    pose[..., :3, :3] = pose[..., :3, :3] @ optical
    return pose


def rigid_inverse(pose: Tensor) -> Tensor:
    """Inverse of rigid (..., 4, 4) transforms."""
    inverse = torch.zeros_like(pose)
    turned = pose[..., :3, :3].transpose(-1, -2)
    inverse[..., :3, :3] = turned
    inverse[..., :3, 3] = -(turned @ pose[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse
