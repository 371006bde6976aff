"""The estimator's result for one frame."""

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

    rotation: (3, 3), from this camera's optical axes to the previous camera's.
    translation: (3,) m, position of this camera in the previous camera's optical axes.
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

    value: metres per unit of the network.
    source: ``unit`` (not metric), ``constant``, ``camera_height`` or ``odometry``.
    variance: relative, of ``value``; NaN where unknown.
    """

    value: float
    source: str
    variance: float = float("nan")

    @property
    def is_metric(self) -> bool:
        return self.source != "unit"

    @property
    def is_of_the_frame(self) -> bool:
        """Whether the frame itself was measured, in its own unit of length."""
        return self.source == "camera_height"


@dataclass(frozen=True)
class Quality:
    """How reliable the estimate is.

    tracking: ``first`` (no pair yet), ``ok``, ``static``, ``lost`` or ``skipped`` (no new image).
    photometric_error: mean absolute error of the warped image, [0, 1]; NaN for the first frame.
    identity_error: the same without any motion.
    valid_fraction: share of pixels that could be compared.
    moving_fraction: share of pixels that belong to moving objects.
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
    """The estimator's result for one frame, at the network's image size.

    stamp: of the input, ns.
    image: (H, W, 3) uint8 RGB, the input at the size of the depth map.
    depth: (H, W) float32, metres, NaN where invalid.
    depth_std: (H, W) float32, relative standard deviation of depth, apart from that of its scale.
    motion: ego-motion; None for a first or skipped frame; while lost, None or an extrapolation
        (``on_lost``).
    object_flow: (H, W, 3) float32, m/s in this camera's optical axes: scene flow of moving objects,
        zero where static, NaN where depth is invalid; None without ``motion`` or if not requested.
    camera: intrinsics used, of ``image`` and ``depth``.
    learned_camera: the network's intrinsics, filtered over time; None before the first pair.
    scale: metres per unit of the network, already applied.
    quality: tracking state and its evidence.
    is_withheld: not to be published: the scale is unknown and ``publish_unscaled`` is false.
    refinement: cost of aligning the images.
    """

    stamp: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    depth_std: NDArray[np.float32]
    motion: Motion | None
    object_flow: NDArray[np.float32] | None
    camera: Camera
    learned_camera: Camera | None
    scale: Scale
    quality: Quality
    is_withheld: bool = False
    refinement: Cost = NOTHING
