"""What geometry alone knows of the depth of every pixel, from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.epipolar_field import Doubles, Floats
from depth_motion_ros.estimation.depth.triangulation import UNKNOWN, Measurement
from depth_motion_ros.estimation.scene_flow.optical_flow import DenseFlow
from depth_motion_ros.geometry.camera import Camera

# Relative standard deviation that a frame adds: the surface is sampled between pixels, flow misses.
_FLOWED, _CARRIED = np.float32(0.03), np.float32(0.10)
# No state is more exact, relative.
_BEST = np.float32(0.01)
# Two that differ by more than so many standard deviations do not speak of the same surface.
_SURPRISE = np.float32(4.0)


@dataclass(frozen=True, eq=False)
class GeometryState:
    """inverse_depth, variance: (H, W) of the pixels of one frame; UNKNOWN where nothing is."""

    inverse_depth: Floats
    variance: Floats

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> GeometryState:
        return cls(np.zeros(shape, np.float32), np.full(shape, UNKNOWN, np.float32))

    @property
    def is_empty(self) -> bool:
        """Nothing is known of any pixel."""
        return bool((self.variance >= UNKNOWN).all())

    def finite(self) -> GeometryState:
        """Nothing is known where numbers have overflown."""
        valid = np.isfinite(self.inverse_depth) & (self.variance <= UNKNOWN)
        if valid.all():
            return self
        return GeometryState(
            np.where(valid, self.inverse_depth, np.float32(0)),
            np.where(valid, self.variance, UNKNOWN),
        )

    def in_unit(self, factor: float) -> GeometryState:
        """In a unit of length that is ``factor`` times smaller."""
        if factor == 1:
            return self
        return GeometryState(
            self.inverse_depth / np.float32(factor),
            np.minimum(self.variance / np.float32(factor**2), UNKNOWN),
        )

    def without(self, gone: NDArray[np.bool_]) -> GeometryState:
        """Nothing is known where gone (H, W)."""
        return replace(self, variance=np.where(gone, UNKNOWN, self.variance))

    def followed(self, flow: DenseFlow) -> GeometryState:
        """Of the next frame's pixels where flow is good, as far away as before: for a moment in
        which the motion is not known."""
        x, y = flow.target()
        layers = cv2.merge((self.inverse_depth, self.variance))
        past = cv2.remap(
            layers, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, float(UNKNOWN)),
        )  # fmt: skip
        inverse_depth, variance = (np.asarray(part, np.float32) for part in cv2.split(past))
        variance = variance + (_CARRIED * inverse_depth) ** 2
        return GeometryState(inverse_depth, np.where(flow.good, variance, UNKNOWN))

    def propagated(
        self,
        x: Floats,
        y: Floats,
        followed: NDArray[np.bool_],
        motion: Doubles,
        camera: Camera,
    ) -> GeometryState:
        """Of the next frame's pixels, which lie at x, y (H, W) in this one.

        followed: (H, W), where flow says so; elsewhere it is carried by motion and expected depth.
        motion: (4, 4) points of the next camera into this one's axes.
        """
        layers = cv2.merge((self.inverse_depth, self.variance, self.inverse_depth**2))
        past = cv2.remap(
            layers, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, float(UNKNOWN), 0),
        )  # fmt: skip
        before, variance, square = cv2.split(past)
        # Where neighbours differ, it is not known which of them it is.
        variance = variance + np.maximum(square - before * before, 0)
        # z' = R' (ray / r - t), third component.
        K = camera.K
        row = motion[:3, 2].astype(np.float32)
        shift = np.float32(motion[:3, 2] @ motion[:3, 3])
        ray_z = (
            row[0] * (x - np.float32(K[0, 2])) * np.float32(1 / K[0, 0])
            + row[1] * (y - np.float32(K[1, 2])) * np.float32(1 / K[1, 1])
            + row[2]
        )
        slope = ray_z - shift * before
        ahead = slope > np.float32(1e-3)
        over = 1 / np.where(ahead, slope, np.float32(1))
        after = before * over
        gain = ray_z * over * over
        growth = np.where(followed, _FLOWED, _CARRIED) * after
        variance = variance * gain * gain + growth * growth
        return GeometryState(after, np.where(ahead, np.minimum(variance, UNKNOWN), UNKNOWN))

    def updated(self, seen: Measurement) -> GeometryState:
        """With a measurement of the same pixels."""
        off = seen.inverse_depth - self.inverse_depth
        total = self.variance + seen.variance
        surprise = np.where(seen.known, off * off / total, np.float32(0))
        # A large surprise means that the variance was too small.
        before = self.variance * np.maximum(surprise / _SURPRISE, 1)
        total = before + seen.variance
        gain = before / total
        after = self.inverse_depth + gain * off
        floor = np.maximum((_BEST * after) ** 2, np.minimum(before, seen.common))
        variance = np.minimum(np.maximum(gain * seen.variance, floor), UNKNOWN)
        return GeometryState(
            np.where(seen.known, after, self.inverse_depth),
            np.where(seen.known, variance, self.variance),
        )
