"""What can be set about the estimator, with the range and unit of every value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL

# Largest deviation from a rotation matrix that rounding to six digits in a file explains.
_ROTATION_TOLERANCE = 1e-4


DEPTH_ERROR = 0.3
"""Relative error of a depth about which nothing is known."""
DEPTH_ERROR_KEY = "depth_error"
UNIT_KEY = "unit"
"""Where weights say it in their metadata: a number in text."""

SCALE_SOURCES = ("constant", "camera_height", "odometry", "auto")
SILENT, UNIT, HOLD = "silent", "unit", "hold"
FLOW, NETWORK = "flow", "network"


class SettingsError(ValueError):
    """A setting is out of its range; the message gives name, value, range and unit."""


def _choice(default: str, choices: tuple[str, ...], description: str) -> Any:
    return field(default=default, metadata={"choices": choices, "description": description})


def _number(default: float, low: float, high: float, unit: str, description: str) -> Any:
    return field(
        default=default, metadata={"range": (low, high), "unit": unit, "description": description}
    )


@dataclass(frozen=True, eq=False)
class EstimatorSettings:
    """Settings of an ``Estimator``; ``fields()`` of this class carry range, unit and description.

    scale: metres per unit of the network; None = unknown, everything is in the network's unit.
    unit: metres per unit as the network was taught, which serves while the scale is unknown.
    refine: align the images to refine the network's motion, and what is smoothly wrong in its
        depth. It also tells the covariance.
    base_from_camera: (4, 4), pose of the camera's optical frame in base_link; by default the
        camera sits at the base's origin and looks ahead.
    square_pixels: the pixels of the frames are square, so learned intrinsics have one focal length.

    Raises SettingsError at construction for a value out of range.
    """

    scale: float | None = None
    unit: float = 1.0
    base_from_camera: NDArray[np.float64] = field(default_factory=BODY_FROM_OPTICAL.copy)
    scale_source: str = _choice(
        "auto",
        SCALE_SOURCES,
        "who knows the metre: the constant scale, the camera's height above the ground, odometry, "
        "or the first of odometry, height and constant that knows",
    )
    camera_height: float = _number(
        0.0,
        0.0,
        1000.0,
        "m",
        "height of the camera above the ground; 0 = not known, and then scale_source camera_height "
        "takes it from base_from_camera, with the base on the ground",
    )
    unknown_scale: str = _choice(
        UNIT,
        (UNIT, SILENT),
        "while no source knows the scale: tell everything in the network's unit, or nothing",
    )
    refine: bool = True
    # The depth of weights after a short training is off by about so much; a network that measures
    # better says so in its metadata.
    depth_error: float = _number(
        DEPTH_ERROR,
        0.0,
        1.0,
        "dimensionless",
        "relative standard deviation of the error of the network's depth over one image",
    )
    when_lost: str = _choice(
        SILENT,
        (SILENT, HOLD),
        "while tracking is lost: no motion, or the last one with the covariance of not seeing",
    )
    min_depth: float = _number(1e-3, 0.0, math.inf, "m", "nearer depth is invalid")
    max_depth: float = _number(100.0, 0.0, math.inf, "m", "farther depth is invalid")
    max_gap: float = _number(
        1.0, 0.0, math.inf, "s", "a longer time without frames resets the motion state"
    )
    object_motion: str = _choice(
        FLOW,
        (FLOW, NETWORK),
        "what tells the motion of objects: optical flow against the camera's motion and depth, or "
        "the residual field of the network",
    )
    min_flow_speed: float = _number(
        0.3, 0.0, math.inf, "m/s", "slower object motion counts as static"
    )
    # Measured with weights of a short training (docs/odometry.md): at 0.02, up to 6 % of the pixels
    # of static streets are said to move; at 0.1, up to 1.6 %; at 0.15 less than 1 %.
    min_flow_ratio: float = _number(
        0.15,
        0.0,
        math.inf,
        "1/s",
        "object motion of the network slower than this share of the depth per second counts as "
        "static",
    )
    # Measured at 416x128: 0.0021-0.0022 over 59 pairs of a car at rest (sensor noise), 0.0064 and
    # more over 1,754 pairs of moving cameras, four pairs of identical frames aside.
    static_error: float = _number(
        0.005,
        0.0,
        1.0,
        "intensity, of 1",
        "two images that differ by less, on average, may show a camera at rest",
    )
    lost_error: float = _number(
        0.15,
        0.0,
        1.0,
        "intensity, of 1",
        "a warped image that differs by more, on average, means that tracking is lost",
    )
    # Measured on 36 street pairs with stereo depth: 0.34-0.67 with the true motion, 1.11-1.32 with
    # the motion backwards.
    lost_ratio: float = _number(
        1.1,
        1.0,
        math.inf,
        "dimensionless",
        "tracking is lost when the motion explains the image this much worse than no motion does",
    )
    # Measured with a weak network at 224x64: 0.35 and more in 715 pairs of neighbours of eleven
    # real and five simulated sequences, at most 0.23 over 119 cuts from one to another and 48
    # jumps by 30 frames.
    min_likeness: float = _number(
        0.28,
        -1.0,
        1.0,
        "correlation",
        "tracking is lost where the details of two images correlate less, at any motion tried",
    )
    min_valid: float = _number(
        0.25, 0.0, 1.0, "share of the image", "less overlap of two frames means tracking is lost"
    )
    # Measured with 416x128 images of real streets and five simulated scenes: at most 0.26 from
    # frame to frame with exact depth, at least 1.7 across a cut.
    lost_displacement: float = _number(
        1.0,
        0.0,
        math.inf,
        "pixels",
        "tracking is lost when the refined motion leaves more image displacement unexplained",
    )
    # Measured over 2,025 pairs of 17 scenes, three of them real: where fewer agree (35 pairs), the
    # median motion is off by 24 to 93 % of the step; where 55 to 65 % as many do as usually, by 5.
    min_agreement: float = _number(
        0.55,
        0.0,
        1.0,
        "share of the usual share",
        "tracking is lost when so much fewer corners agree on a motion than usually",
    )
    # Measured at 416x128: 0.021 and more in real and simulated scenes, at most 0.003 for noise on
    # a blank or smoothly shaded image.
    min_texture: float = _number(
        0.005,
        0.0,
        1.0,
        "intensity, of 1, per pixel",
        "tracking is lost where the mean gradient of an eighth of the image is weaker",
    )
    lost_speed: float = _number(
        1.0,
        0.0,
        math.inf,
        "m/s",
        "standard deviation of the unseen speed while there is no motion estimate",
    )
    lost_turn_rate: float = _number(
        0.5,
        0.0,
        math.inf,
        "rad/s",
        "standard deviation of the unseen turn rate while there is no motion estimate",
    )
    square_pixels: bool = True
    intrinsics_window: int = _number(
        31, 1, 1000, "frames", "learned intrinsics are the median over this many frames"
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if "choices" in entry.metadata and value not in entry.metadata["choices"]:
                raise SettingsError(
                    f"{entry.name} must be one of {', '.join(entry.metadata['choices'])}, "
                    f"got {value!r}"
                )
            if "range" in entry.metadata:
                low, high = entry.metadata["range"]
                if not low <= value <= high:
                    raise SettingsError(
                        f"{entry.name} must lie in [{low:g}, {high:g}] {entry.metadata['unit']}, "
                        f"got {value}"
                    )
        if self.min_depth >= self.max_depth:
            raise SettingsError(
                f"min_depth {self.min_depth} m must be less than max_depth {self.max_depth} m"
            )
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise SettingsError(
                f"scale must be positive and finite, got {self.scale}; None = not known"
            )
        object.__setattr__(self, "base_from_camera", _checked_pose(self.base_from_camera))
        if self.scale_source == "camera_height" and self.height <= 0:
            raise SettingsError(
                f"scale_source camera_height needs camera_height > 0 m; it is 0, and "
                f"base_from_camera puts the camera {self.height:g} m above the base"
            )

        if not (math.isfinite(self.unit) and self.unit > 0):
            raise SettingsError(f"unit must be positive and finite, got {self.unit}")

    @property
    def height(self) -> float:
        """Metres of the camera above the ground, by camera_height or else above the base."""
        return self.camera_height or float(self.base_from_camera[2, 3])


def unit_of(metadata: Mapping[str, str]) -> float:
    """Metres per unit of length as weights say it; 1 where they do not, or no number."""
    try:
        unit = float(metadata[UNIT_KEY])
    except (KeyError, ValueError):
        return 1.0
    return unit if 0 < unit < math.inf else 1.0


def depth_error_of(metadata: Mapping[str, str]) -> float:
    """What weights say about their depth; ``DEPTH_ERROR`` where they do not, or no number."""
    try:
        error = float(metadata[DEPTH_ERROR_KEY])
    except (KeyError, ValueError):
        return DEPTH_ERROR
    return error if 0 < error <= 1 else DEPTH_ERROR


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
