"""Metres per unit of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Scale
from depth_motion_ros.geometry.camera import Camera

UNKNOWN_SCALE = Scale(1.0, "unit")


@dataclass(frozen=True, eq=False)
class ScaleObservation:
    """What a frame shows, in the network's unit of length.

    stamp: ns.
    depth: (H, W) > 0.
    camera: intrinsics of ``depth``.
    previous_stamp: ns.
    motion: (4, 4), points of this camera to the previous one's axes; None if lost.
    unit_change: known factor by which the same length has grown since the frame before.
    unit_variance: relative, of the unknown part of that factor.
    points: (3, N), triangulated points in this camera's optical axes; None = none.
    point_variance: (N,) of ln(depth) of each point.
    """

    stamp: int
    depth: NDArray[np.float32]
    camera: Camera
    previous_stamp: int | None = None
    motion: NDArray[np.float64] | None = None
    unit_change: float = 1.0
    unit_variance: float = 0.0
    points: NDArray[np.float32] | None = None
    point_variance: NDArray[np.float32] | None = None


class ScaleSource(Protocol):
    """Source of the length of the network's unit.

    Depth, translation and residual motion of a frame are all multiplied by the same value.
    """

    def update(self, seen: ScaleObservation) -> Scale:
        """The scale of this frame; ``UNKNOWN_SCALE`` while it is unknown."""
        ...


class ConstantScale:
    """A fixed scale, or none (1, source ``unit``)."""

    def __init__(self, value: float | None) -> None:
        self._scale = UNKNOWN_SCALE if value is None else Scale(value, "constant")

    def update(self, seen: ScaleObservation) -> Scale:
        return self._scale


class UnitUntilKnown:
    """Another source, and until it knows the scale the unit of the network's training.

    That is still a scale of source ``unit``: right where the network was trained, else a guess.
    """

    def __init__(self, source: ScaleSource, unit: float) -> None:
        """unit: metres, > 0."""
        self._source, self._unit = source, Scale(unit, UNKNOWN_SCALE.source)

    def update(self, seen: ScaleObservation) -> Scale:
        scale = self._source.update(seen)
        return scale if scale.is_metric else self._unit


class FirstKnown:
    """The first of several sources that knows the scale; all of them get every frame."""

    def __init__(self, sources: Sequence[ScaleSource]) -> None:
        """sources: in order of trust."""
        self._sources = tuple(sources)

    def update(self, seen: ScaleObservation) -> Scale:
        scales = [source.update(seen) for source in self._sources]
        return next((scale for scale in scales if scale.is_metric), UNKNOWN_SCALE)
