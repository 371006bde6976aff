"""The settings of the estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.settings import LIVE, Settings, SettingsError, declared, setting

# Largest deviation from a rotation matrix that rounding to six digits in a file explains.
_ROTATION_TOLERANCE = 1e-4

SCALE_SOURCES = ("auto", "odometry", "camera_height", "constant")
STOP, EXTRAPOLATE = "stop", "extrapolate"
FLOW, NETWORK = "flow", "network"
FUSED = "fused"

# Settings that weights know about themselves, by the same keys in their metadata.
UNIT_KEY, DEPTH_RELATIVE_STD_KEY = "unit", "depth_relative_std"


@dataclass(frozen=True, eq=False)
class EstimatorSettings(Settings):
    """Settings of an ``Estimator``.

    base_from_camera: (4, 4), pose of the camera's optical frame in base_link; by default the
        camera sits at the base's origin and looks ahead.

    Raises SettingsError at construction for a value out of range.
    """

    base_from_camera: NDArray[np.float64] = field(default_factory=BODY_FROM_OPTICAL.copy)
    scale_source: str = setting(
        "auto",
        "source of metric scale; auto = the first of odometry (odom_in), camera_height and the "
        "constant scale that is known",
        choices=SCALE_SOURCES,
    )
    scale: float = setting(
        0.0,
        "constant scale: metres per unit of the network; 0 = unknown, and until another source "
        "knows it, lengths are in the unit of the network's training, as the weights give it",
        0.0,
        10_000.0,
        "m",
    )
    unit: float = setting(
        1.0,
        "metres per unit of length of the network's training; used while the scale is unknown",
        1e-6,
        1e6,
        "m",
    )
    camera_height: float = setting(
        0.0,
        "height of the camera above the ground; 0 = unknown, and scale_source camera_height then "
        "uses the height of the camera above the base",
        0.0,
        1000.0,
        "m",
    )
    publish_unscaled: bool = setting(
        True,
        "publish while no source knows the metric scale, in the network's unit of length; false = "
        "publish nothing until one does",
    )
    refine: bool = setting(
        True,
        "refine the network's motion by aligning the two images",
    )
    # The depth of weights after a short training is off by about so much; a network that measures
    # better says so in its metadata.
    depth_relative_std: float = setting(
        0.3,
        "relative standard deviation of the error of the network's depth over one image; the "
        "refinement and the covariance of odom depend on it",
        0.0,
        1.0,
        changes=LIVE,
    )
    on_lost: str = setting(
        STOP,
        "odometry while tracking is lost: stop publishing it, or extrapolate the last motion with "
        "a large covariance",
        choices=(STOP, EXTRAPOLATE),
    )
    depth_source: str = setting(
        FUSED,
        "depth: of the network, corrected by what the camera's motion triangulates over a few "
        "frames, with a standard deviation for every pixel; or of the network alone",
        choices=(FUSED, NETWORK),
        changes=LIVE,
    )
    max_depth_std: float = setting(
        0.0,
        "depth with a larger relative standard deviation is invalid; 0 = off",
        0.0,
        1.0,
        changes=LIVE,
    )
    min_depth: float = setting(1e-3, "nearer depth is invalid", 0.0, 1000.0, "m", changes=LIVE)
    max_depth: float = setting(100.0, "farther depth is invalid", 0.01, 1e5, "m", changes=LIVE)
    max_gap: float = setting(
        1.0,
        "a longer time between two processed frames resets the motion state",
        0.01,
        3600.0,
        "s",
        changes=LIVE,
    )
    object_motion: str = setting(
        FLOW,
        "source of object motion: optical flow minus the flow that ego-motion and depth explain, "
        "or the residual motion field of the network",
        choices=(FLOW, NETWORK),
        changes=LIVE,
    )
    object_flow_threshold: float = setting(
        0.3, "slower object motion counts as static", 0.0, 1000.0, "m/s", changes=LIVE
    )
    # Measured with weights of a short training (research/odometry.md): at 0.02, up to 6 % of the
    # pixels of static streets count as moving; at 0.1, up to 1.6 %; at 0.15 less than 1 %.
    object_flow_ratio: float = setting(
        0.15,
        "with object_motion network: object motion slower than this times the depth counts as "
        "static",
        0.0,
        100.0,
        "1/s",
        changes=LIVE,
    )
    # Measured at 416x128: 0.0021-0.0022 over 59 pairs of a car at rest (sensor noise), 0.0064 and
    # more over 1,754 pairs of moving cameras, four pairs of identical frames aside.
    static_error: float = setting(
        0.005,
        "two images with a smaller mean absolute difference (intensity, 0 to 1) may come from a "
        "camera at rest; raise it for a noisy camera",
        0.0,
        1.0,
        changes=LIVE,
    )
    max_photometric_error: float = setting(
        0.15,
        "tracking is lost above this mean photometric error of the warped image (intensity, 0 to "
        "1)",
        0.0,
        1.0,
        changes=LIVE,
    )
    # Measured on 36 street pairs with stereo depth: 0.34-0.67 with the true motion, 1.11-1.32 with
    # the motion backwards.
    lost_ratio: float = setting(
        1.1,
        "tracking is lost above this ratio of the photometric error with the estimated motion to "
        "that without motion",
        1.0,
        1e6,
    )
    # Measured with a weak network at 224x64: 0.35 and more in 715 pairs of neighbours of eleven
    # real and five simulated sequences, at most 0.23 over 119 cuts from one to another and 48
    # jumps by 30 frames.
    min_image_correlation: float = setting(
        0.28,
        "tracking is lost below this correlation of the details of two images, whatever the "
        "motion: the view has changed to another place",
        -1.0,
        1.0,
        changes=LIVE,
    )
    min_valid: float = setting(
        0.25, "tracking is lost below this overlap of two images, as a share of the image", 0.0, 1.0
    )
    # Measured with 416x128 images of real streets and five simulated scenes: at most 0.26 from
    # frame to frame with exact depth, at least 1.7 across a cut.
    max_residual_px: float = setting(
        1.0,
        "tracking is lost when the refined motion leaves a larger residual displacement in the "
        "image, in pixels of the network's input",
        0.0,
        1000.0,
        "px",
        changes=LIVE,
    )
    # Measured over 2,025 pairs of 17 scenes, three of them real: below it (35 pairs), the median
    # motion is off by 24 to 93 % of the translation; from 55 to 65 % of the usual ratio, by 5.
    min_inlier_ratio: float = setting(
        0.55,
        "tracking is lost below this inlier ratio of the tracked corners, relative to the usual "
        "ratio of this camera: something large moves in front of it; 0 = off",
        0.0,
        1.0,
        changes=LIVE,
    )
    # Measured at 416x128: 0.021 and more in real and simulated scenes, at most 0.003 for noise on
    # a blank or smoothly shaded image.
    min_texture: float = setting(
        0.005,
        "tracking is lost below this mean gradient of an eighth of the image (intensity, 0 to 1, "
        "per pixel)",
        0.0,
        1.0,
        changes=LIVE,
    )
    lost_speed: float = setting(
        1.0,
        "standard deviation of the robot's speed while there is no motion estimate; the pose "
        "covariance grows by it",
        0.0,
        1000.0,
        "m/s",
        changes=LIVE,
    )
    lost_turn_rate: float = setting(
        0.5,
        "standard deviation of the robot's turn rate while there is no motion estimate",
        0.0,
        100.0,
        "rad/s",
        changes=LIVE,
    )
    square_pixels: bool = setting(
        True,
        "without camera_info: assume square pixels, so that learned fx and fy become one focal "
        "length",
    )
    intrinsics_window: int = setting(
        31, "learned intrinsics are the median over this many frames", 1, 1000, "frames"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_depth >= self.max_depth:
            raise SettingsError(
                f"min_depth is {self.min_depth} m; it must be less than max_depth "
                f"({self.max_depth} m)"
            )
        object.__setattr__(self, "base_from_camera", _checked_pose(self.base_from_camera))
        if self.scale_source == "camera_height" and self.height <= 0:
            raise SettingsError(
                f"scale_source camera_height needs camera_height > 0 m; it is 0, and "
                f"base_from_camera puts the camera {self.height:g} m above the base"
            )

    @property
    def height(self) -> float:
        """Metres of the camera above the ground, by camera_height or else above the base."""
        return self.camera_height or float(self.base_from_camera[2, 3])


def unit_of(metadata: Mapping[str, str]) -> float:
    """Metres per unit of length as weights state it; the default where they do not."""
    return _stated(metadata, UNIT_KEY)


def depth_relative_std_of(metadata: Mapping[str, str]) -> float:
    """Relative error of depth as weights state it; the default where they do not."""
    return _stated(metadata, DEPTH_RELATIVE_STD_KEY)


def _stated(metadata: Mapping[str, str], name: str) -> float:
    described = declared(EstimatorSettings)[name]
    try:
        return float(described.read(metadata[name]) or described.default)
    except (KeyError, SettingsError):
        return float(described.default)


def _checked_pose(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    pose = np.array(pose, dtype=np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise SettingsError(f"base_from_camera must be a finite 4x4 matrix, got {pose.tolist()}")
    R = pose[:3, :3]
    is_rigid = (
        np.abs(R @ R.T - np.eye(3)).max() < _ROTATION_TOLERANCE
        and np.linalg.det(R) > 0
        and (pose[3] == (0, 0, 0, 1)).all()
    )
    if not is_rigid:
        raise SettingsError(
            f"base_from_camera is no rigid transform (rotation, translation, last row 0 0 0 1): "
            f"{pose.tolist()}"
        )
    U, _, Vt = np.linalg.svd(R)
    pose[:3, :3] = U @ Vt
    pose.setflags(write=False)
    return pose
