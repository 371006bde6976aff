"""Metres per unit of the network."""

from __future__ import annotations

from typing import Protocol

from depth_motion_ros.engines.engine import RawPrediction
from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.geometry.camera import Camera


class ScaleSource(Protocol):
    """Says how long the network's unit of length is.

    Depth, translation and residual motion of a frame are all multiplied by the same value.
    """

    def update(self, stamp: int, raw: RawPrediction, camera: Camera) -> Scale:
        """The scale for this frame. stamp: ns. camera: intrinsics of ``raw.depth``."""
        ...


class ConstantScale:
    """A scale that was measured once, or none (1, source ``unit``)."""

    def __init__(self, value: float | None) -> None:
        self._scale = Scale(1.0, "unit") if value is None else Scale(value, "constant")

    def update(self, stamp: int, raw: RawPrediction, camera: Camera) -> Scale:
        return self._scale
