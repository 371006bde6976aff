"""What can be set about adaptation, with the range and unit of every value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from depth_motion_ros.adaptation.errors import AdaptationSettingsError

DECODERS, DEPTH_DECODER, NORMS, ALL = "decoders", "depth_decoder", "norms", "all"


def _choice(default: str, choices: tuple[str, ...], description: str) -> Any:
    return field(default=default, metadata={"choices": choices, "description": description})


def _number(default: float, low: float, high: float, unit: str, description: str) -> Any:
    return field(
        default=default, metadata={"range": (low, high), "unit": unit, "description": description}
    )


@dataclass(frozen=True)
class AdaptationSettings:
    """Settings of an ``Adapter``; ``fields()`` of this class carry range, unit and description.

    Raises AdaptationSettingsError at construction for a value out of range.
    """

    # What learns, and how fast.
    trainable: str = _choice(
        DECODERS,
        (DECODERS, DEPTH_DECODER, NORMS, ALL),
        "what learns: both decoders and the norm scales, the depth decoder and the norm scales, "
        "the norm scales alone, or all but the motion scales",
    )
    learning_rate: float = _number(1e-4, 1e-7, 1e-3, "", "of Adam")
    steps_per_pair: int = _number(1, 1, 20, "", "optimiser steps for each admitted pair")
    clip_norm: float = _number(1.0, 1e-3, 1e3, "", "longest gradient; longer ones are shortened")
    ema_decay: float = _number(
        0.98, 0.0, 0.9999, "", "of the average of the weights over steps; the average is released"
    )
    live_per_step: int = _number(1, 1, 32, "", "newest admitted pairs in each step")
    own_per_step: int = _number(1, 0, 32, "", "pairs of the robot's own past in each step")
    immutable_per_step: int = _number(2, 0, 32, "", "immutable pairs in each step")
    anchor: float = _number(
        0.5,
        0.0,
        100.0,
        "",
        "weight of what holds depth of the immutable pairs where the first weights have it",
    )

    # Depth that is triangulated from the robot's own video, where intrinsics are given.
    triangulated: float = _number(
        2.0,
        0.0,
        100.0,
        "",
        "weight of depth that is triangulated from the robot's own video, up to a factor; 0 = none",
    )
    true_depth: float = _number(
        0.0, 0.0, 100.0, "", "weight of the true depth of immutable pairs, up to a factor"
    )
    triangulation_width: int = _number(
        416, 64, 4096, "px", "width of the images that are triangulated; smaller ones stay"
    )
    min_triangulated: float = _number(
        0.05, 0.0, 1.0, "", "share of pixels whose depth must be known; less is left out"
    )

    # Budget.
    max_cpu_fraction: float = _number(
        0.5, 0.01, 64.0, "cores", "processor time the learner may take, per second"
    )
    max_rate: float = _number(10.0, 0.01, 1000.0, "Hz", "optimiser steps per second, at most")

    # Admission of a pair.
    min_time_step: float = _number(0.02, 0.0, 10.0, "s", "shorter pairs are refused")
    max_time_step: float = _number(0.5, 0.01, 10.0, "s", "longer pairs are refused")
    min_texture: float = _number(
        0.003, 0.0, 1.0, "intensity, of 1", "mean gradient below which the lens counts as covered"
    )
    min_image_change: float = _number(
        0.004, 0.0, 1.0, "intensity, of 1", "mean change below which the camera stands still"
    )
    max_image_change: float = _number(
        0.35, 0.0, 1.0, "intensity, of 1", "mean change above which the scene was cut"
    )
    min_tracked: float = _number(
        0.5, 0.0, 1.0, "", "share of points found in both images; less is a cut of the scene"
    )
    max_exposure_change: float = _number(
        0.12, 0.0, 10.0, "", "largest change of the logarithm of brightness within a pair"
    )
    min_displacement: float = _number(
        0.004, 0.0, 1.0, "", "displacement of the camera over median depth; less is standing still"
    )
    max_displacement: float = _number(
        0.5, 0.0, 10.0, "", "displacement over median depth; more is not to be believed"
    )
    min_odometry: float = _number(
        0.01, 0.0, 10.0, "m", "displacement by odometry, where heard; less is standing still"
    )
    min_parallax: float = _number(
        0.0015,
        0.0,
        1.0,
        "image widths",
        "motion in the image that a turn of the camera leaves unexplained (upper quartile)",
    )
    min_parallax_share: float = _number(
        0.08, 0.0, 1.0, "", "the same, over all motion in the image: less is mostly turning"
    )
    # Measured at 224x64, 75th percentile over its 10th to 90th: turns on the spot 0.0002-0.0008,
    # shares 0.013-0.097 (the large ones with next to no motion); a passing truck 0.012-0.027 of the
    # motion; driving, from 0.0005 and 0.04 up.
    min_structure: float = _number(
        0.0006,
        0.0,
        1.0,
        "image widths",
        "motion in the image that no plane explains (upper quartile): less shows no depth",
    )
    min_structure_share: float = _number(
        0.035, 0.0, 1.0, "", "the same, over all motion in the image"
    )
    max_flow: float = _number(
        0.1, 0.0, 10.0, "image widths", "median motion in the image; more is a fast turn"
    )
    max_warp_ratio: float = _number(
        1.0, 0.0, 10.0, "", "error of the warped image over that of the unwarped one, at most"
    )
    min_valid: float = _number(0.5, 0.0, 1.0, "", "share of pixels that land inside the image")
    max_residual: float = _number(
        0.5, 0.0, 1.0, "", "share of pixels that seem to move by themselves, at most"
    )

    # Replay.
    own_capacity: int = _number(200, 0, 1000, "pairs", "of the robot's own past")
    held_back_capacity: int = _number(16, 2, 1000, "pairs", "live pairs that judge and never teach")
    hold_back_every: int = _number(
        8, 3, 1000, "", "of so many admitted pairs one is held back to judge"
    )

    # Release.
    steps_per_candidate: int = _number(60, 1, 100000, "", "steps from one candidate to the next")
    min_held_back: int = _number(6, 2, 1000, "pairs", "held back before there can be a candidate")
    min_gain: float = _number(
        0.002, -1.0, 1.0, "", "relative fall of the loss on held-back pairs that is worth a release"
    )
    margin: float = _number(
        0.015,
        0.0,
        1.0,
        "",
        "relative rise of the loss over that of the running weights, on either set of pairs",
    )
    max_worse_share: float = _number(
        0.25,
        0.0,
        1.0,
        "",
        "share of the held-back pairs whose loss may rise by more than margin",
    )
    max_forgetting: float = _number(
        0.02,
        0.0,
        1.0,
        "",
        "relative rise since the first weights of the loss on either set of pairs, and of the "
        "depth error on the immutable ones",
    )
    max_depth_shift: float = _number(
        0.25, 0.0, 10.0, "", "change of the logarithm of median depth since the first weights"
    )
    max_scale_shift: float = _number(
        0.25, 0.0, 10.0, "", "change of the logarithm of predicted translation over odometry's"
    )
    min_depth_variance: float = _number(
        2e-3, 0.0, 10.0, "", "spatial variance of depth over its mean: less has collapsed"
    )
    cool_down: float = _number(
        10.0, 0.0, 3600.0, "s", "without learning after a candidate was refused"
    )
    max_failures: int = _number(
        5, 1, 1000, "", "candidates refused in a row, after which learning is switched off"
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), dict(entry.metadata), entry.default)
        if self.min_time_step > self.max_time_step:
            raise AdaptationSettingsError(
                f"min_time_step ({self.min_time_step} s) is more than max_time_step "
                f"({self.max_time_step} s): no pair could ever be admitted"
            )
        if self.min_held_back > self.held_back_capacity:
            raise AdaptationSettingsError(
                f"min_held_back ({self.min_held_back}) is more than held_back_capacity "
                f"({self.held_back_capacity}): nothing could ever be released"
            )


def _check(name: str, value: Any, about: dict[str, Any], default: Any) -> None:
    if "choices" in about:
        if value not in about["choices"]:
            raise AdaptationSettingsError(
                f"{name} is {value!r}; it must be one of {', '.join(about['choices'])}"
            )
        return
    low, high = about["range"]
    whole = isinstance(default, int)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = is_number and math.isfinite(value) and low <= value <= high
    if not fits or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        unit = f" {about['unit']}" if about["unit"] else ""
        raise AdaptationSettingsError(
            f"{name} is {value!r}; it must be {kind} from {low:g} to {high:g}{unit}"
        )
