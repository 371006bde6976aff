"""The ground: a sloped plane with waves on it, and where a ray first meets it.

Height h(x, y) = h0 + a x + b y + sum_i A_i sin(kx_i x + ky_i y + phase_i), in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from depth_motion_ros.simulator.rendering.shapes import MISS

FIRST_STEPS = 6
MOST_STEPS = 64
CONVERGED = 5e-6


@dataclass(frozen=True, eq=False)
class Ground:
    """Parameters of B grounds. plane: (B, 3) = h0, a, b. waves: (B, W, 4) = A, kx, ky, phase."""

    plane: Tensor
    waves: Tensor

    def rows(self, index: Tensor) -> Ground:
        """The grounds of the given rows: (N,) -> N grounds."""
        return Ground(self.plane[index], self.waves[index])

    @property
    def is_bumpy(self) -> Tensor:
        """(B,) bool: has at least one wave of some height."""
        return (self.waves[..., 0].abs() > 0).any(dim=1)

    def height(self, x: Tensor, y: Tensor) -> Tensor:
        """Height at (B, N) positions."""
        plane = self.plane[..., None]
        result = plane[:, 0] + plane[:, 1] * x + plane[:, 2] * y
        for amplitude, kx, ky, phase in self._each_wave():
            result = result + amplitude * torch.sin(kx * x + ky * y + phase)
        return result

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(dh/dx, dh/dy) at (B, N) positions; (B, 1) where no ground has waves."""
        gx, gy = self.plane[:, 1:2], self.plane[:, 2:3]
        if not self.waves[..., 0].any():
            return gx, gy
        for amplitude, kx, ky, phase in self._each_wave():
            slope = amplitude * torch.cos(kx * x + ky * y + phase)
            gx, gy = gx + slope * kx, gy + slope * ky
        return gx, gy

    def _each_wave(self) -> list[tuple[Tensor, ...]]:
        return [
            tuple(self.waves[:, i, k, None] for k in range(4)) for i in range(self.waves.shape[1])
        ]

    def _intersect_plane(self, origin: Tensor, direction: Tensor, lift: Tensor) -> Tensor:
        """Ray parameter of the plane raised by ``lift`` (B, 1); inf where it is not ahead."""
        plane = self.plane[..., None]
        gap = origin[:, 2:3] - lift - plane[:, 0]
        gap = gap - plane[:, 1] * origin[:, 0:1] - plane[:, 2] * origin[:, 1:2]
        fall = plane[:, 1] * direction[:, 0] + plane[:, 2] * direction[:, 1]
        fall = fall - direction[:, 2]
        t = gap / torch.where(fall.abs() < 1e-9, 1e-9, fall)
        return torch.where((t > 0) & (t < MISS), t, MISS)

    def intersect(self, origin: Tensor, direction: Tensor, far: float) -> tuple[Tensor, Tensor]:
        """First hit of rays from one origin per ground.

        origin: (B, 3) m, above the ground. direction: (B, 3, N). far: largest t of interest.
        Returns t (B, N), inf where nothing is hit before ``far``, and exact (B, N) bool: False
        where the march over the waves had not settled to CONVERGED of the ray's length.
        """
        flat = self._intersect_plane(origin, direction, torch.zeros_like(origin[:, :1]))
        t = torch.where(flat < far, flat, MISS)
        exact = torch.ones_like(t, dtype=torch.bool)
        bumpy = self.is_bumpy.nonzero()[:, 0]
        if len(bumpy):
            t[bumpy], exact[bumpy] = self.rows(bumpy)._march(origin[bumpy], direction[bumpy], far)
        return t, exact

    def _march(self, origin: Tensor, direction: Tensor, far: float) -> tuple[Tensor, Tensor]:
        """Steps that can never pass the first hit (the slope bounds how fast the gap closes)."""
        waves = self.waves
        top = waves[..., 0].abs().sum(dim=1, keepdim=True)
        steep = (waves[..., 0].abs() * torch.hypot(waves[..., 1], waves[..., 2])).sum(1)[:, None]
        start = self._intersect_plane(origin, direction, top)
        inside = origin[:, 2:3] - self.height(origin[:, :1], origin[:, 1:2]) < 2 * top
        start = torch.where(inside, 0.0, start)
        ahead = start < far
        flat_speed = torch.hypot(direction[:, 0], direction[:, 1])
        plane = self.plane[..., None]
        fall = direction[:, 2] - plane[:, 1] * direction[:, 0] - plane[:, 2] * direction[:, 1]
        # The gap to the surface changes at most this fast along the ray.
        closing = torch.clamp(steep * flat_speed - fall, min=1e-6)
        sharp = (waves[..., 0].abs() * (waves[..., 1] ** 2 + waves[..., 2] ** 2)).sum(1)[:, None]
        bend = sharp * flat_speed * flat_speed

        batch, sample = ahead.nonzero(as_tuple=True)
        t = torch.where(ahead, start, MISS)
        exact = torch.ones_like(ahead)
        for step in range(MOST_STEPS):
            if not len(batch):
                break
            ground = self.rows(batch)
            d, now = direction[batch, :, sample], t[batch, sample]
            here = origin[batch] + now[:, None] * d
            x, y = here[:, 0:1], here[:, 1:2]
            gap = here[:, 2] - ground.height(x, y)[:, 0]
            gx, gy = ground.gradient(x, y)
            speed = gx[:, 0] * d[:, 0] + gy[:, 0] * d[:, 1] - d[:, 2]
            settled = gap.abs() < CONVERGED * torch.clamp(now * speed.abs(), min=1e-2)
            # The gap cannot close before the s of gap = speed s + bend s^2 / 2, which near the
            # surface is Newton's step.
            curve = bend[batch, sample]
            root = torch.sqrt((speed * speed + 2 * curve * gap).clamp(min=0.0))
            falling = 2 * gap / (speed + root).clamp(min=1e-9)
            rising = (root - speed) / curve.clamp(min=1e-9)
            safe = torch.maximum(
                gap / closing[batch, sample], torch.where(speed > 0, falling, rising)
            )
            now = torch.where(settled, now, now + safe)
            t[batch, sample] = now
            settled = settled | (now > far)
            if step >= FIRST_STEPS - 1:
                batch, sample = batch[~settled], sample[~settled]
        exact[batch, sample] = False
        return torch.where(t < far, t, MISS), exact
