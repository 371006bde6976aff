"""What the estimator says about one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.stopwatch import NOTHING, Cost
from depth_motion_ros.geometry.camera import Camera

SKIPPED = "skipped"
"""``Quality.tracking`` of a frame that is left out of the motion: it was not new."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Rigid motion of the camera from the previous frame to this one.

    rotation (3, 3), translation (3,) m: map points of this camera into the previous camera's
        optical axes, that is, the pose of this camera seen from the previous one.
    covariance: (6, 6), translation (m^2) before rotation (rad^2), of the same transform.
    dt: seconds between the two frames.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    dt: float


@dataclass(frozen=True)
class Scale:
    """Metres per unit of the network.

    source: ``unit``, ``constant``, ``camera_height``, ``odometry``.

    variance: of ``value``, relative (dimensionless); NaN where unknown.
    """

    value: float
    source: str
    variance: float = float("nan")

    @property
    def is_metric(self) -> bool:
        return self.source != "unit"

    @property
    def is_of_the_frame(self) -> bool:
        """Whether it is measured in what the frame itself shows, in its very unit."""
        return self.source == "camera_height"


@dataclass(frozen=True)
class Quality:
    """How far the estimate is to be believed.

    tracking: ``first`` (no pair yet), ``ok``, ``static``, ``lost`` or ``skipped`` (no new image).
    photometric_error: mean absolute error of the warped image, [0, 1]; NaN for the first frame.
    identity_error: the same without any motion: what "nothing moved" would cost.
    valid_fraction: share of pixels that could be compared.
    moving_fraction: share of pixels taken to move by themselves.
    reason: why tracking is not ``ok``, or why the state was reset; empty otherwise.
    """

    tracking: str
    photometric_error: float = float("nan")
    identity_error: float = float("nan")
    valid_fraction: float = float("nan")
    moving_fraction: float = float("nan")
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Estimate:
    """The estimator's answer for one frame, at the network's image size.

    stamp: of the input, ns.
    image: (H, W, 3) uint8 RGB, the input at the size of the depth map.
    depth: (H, W) float32, metres, NaN where invalid.
    motion: None for the first frame, after a reset and for a frame that is skipped; while lost,
        None or, where the settings ask for it, the last motion with the covariance of not seeing.
    object_flow: (H, W, 3) float32, m/s in this camera's optical axes: velocity of what moves by
        itself, zero where static, NaN where depth is invalid; None where ``motion`` is None or
        when not asked for.
    camera: intrinsics of ``image`` and ``depth`` that were used.
    is_silent: nothing of this is to be told: the scale is not known, and the settings ask for
        silence until it is.
    refinement: what aligning the images has cost; nothing where they were not aligned.
    learned_camera: what the network believes, steadied over time; None before the first pair,
        unless a frame without a camera had to be looked at for it.
    """

    stamp: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    motion: Motion | None
    object_flow: NDArray[np.float32] | None
    camera: Camera
    learned_camera: Camera | None
    scale: Scale
    quality: Quality
    is_silent: bool = False
    refinement: Cost = NOTHING
