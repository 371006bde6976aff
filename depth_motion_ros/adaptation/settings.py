"""The settings of the learner."""

from __future__ import annotations

from dataclasses import dataclass

from depth_motion_ros.settings import START, Settings, SettingsError, setting

DECODERS, DEPTH_DECODER, NORMS, ALL = "decoders", "depth_decoder", "norms", "all"
_INTENSITY = "of full intensity"
_WIDTHS = "image widths"


@dataclass(frozen=True)
class AdaptationSettings(Settings, changes=START):
    """Settings of an ``Adapter``.

    Raises SettingsError at construction for a value out of range.
    """

    # What learns, and how fast.
    trainable: str = setting(
        DECODERS,
        "what learns: both decoders and the norm scales, the depth decoder and the norm scales, "
        "the norm scales alone, or everything except the motion scales",
        choices=(DECODERS, DEPTH_DECODER, NORMS, ALL),
    )
    learning_rate: float = setting(1e-4, "learning rate of Adam", 1e-7, 1e-3)
    steps_per_pair: int = setting(1, "optimiser steps for each admitted pair", 1, 20)
    clip_norm: float = setting(1.0, "longer gradients are shortened to it", 1e-3, 1e3)
    ema_decay: float = setting(
        0.98,
        "decay per step of the average of the weights; the average is what is released",
        0.0,
        0.9999,
    )
    live_per_step: int = setting(1, "newest admitted pairs in each step", 1, 32)
    own_per_step: int = setting(1, "pairs of the robot's own past in each step", 0, 32)
    rehearsal_per_step: int = setting(2, "rehearsal pairs in each step", 0, 32)
    anchor: float = setting(
        0.5,
        "weight of the term that keeps the depth of the rehearsal pairs at that of the first "
        "weights",
        0.0,
        100.0,
    )

    # Depth that is triangulated from the robot's own video, where intrinsics are given.
    triangulated: float = setting(
        2.0,
        "weight of the depth triangulated from the robot's own video, up to a factor; 0 = off",
        0.0,
        100.0,
    )
    true_depth: float = setting(
        0.0, "weight of the ground-truth depth of the rehearsal pairs, up to a factor", 0.0, 100.0
    )
    triangulation_width: int = setting(
        416, "wider images are reduced to it for triangulation", 64, 4096, "px"
    )
    min_triangulated: float = setting(
        0.05,
        "pairs with a smaller share of pixels of known depth are not trained on triangulated depth",
        0.0,
        1.0,
    )

    # Budget.
    max_cpu_fraction: float = setting(
        0.5, "processor time per second for the learner", 0.01, 64.0, "cores"
    )
    max_rate: float = setting(
        10.0, "largest number of optimiser steps per second", 0.01, 1000.0, "Hz"
    )

    # Admission of a pair.
    min_time_step: float = setting(0.02, "pairs closer in time are refused", 0.0, 10.0, "s")
    max_time_step: float = setting(0.5, "pairs farther apart in time are refused", 0.01, 10.0, "s")
    min_texture: float = setting(
        0.003, "below this mean gradient the lens counts as covered", 0.0, 1.0, _INTENSITY
    )
    min_image_change: float = setting(
        0.004,
        "below this mean image change the camera counts as standing still",
        0.0,
        1.0,
        _INTENSITY,
    )
    max_image_change: float = setting(
        0.35,
        "above this mean image change the view counts as cut to another scene",
        0.0,
        1.0,
        _INTENSITY,
    )
    min_tracked: float = setting(
        0.5,
        "below this share of points tracked into the other image the view counts as cut to another "
        "scene",
        0.0,
        1.0,
    )
    max_exposure_change: float = setting(
        0.12, "largest change of the logarithm of brightness within a pair", 0.0, 10.0
    )
    min_displacement: float = setting(
        0.004,
        "below this ratio of the camera's displacement to the median depth it counts as standing "
        "still",
        0.0,
        1.0,
    )
    max_displacement: float = setting(
        0.5, "above the same ratio the pair is refused as implausible", 0.0, 10.0
    )
    min_odometry: float = setting(
        0.01,
        "with odometry: below this displacement the camera counts as standing still",
        0.0,
        10.0,
        "m",
    )
    min_parallax: float = setting(
        0.0015,
        "least image motion that rotation alone leaves unexplained (upper quartile)",
        0.0,
        1.0,
        _WIDTHS,
    )
    min_parallax_share: float = setting(
        0.08,
        "least share of the same in all image motion; below it the camera mostly rotates",
        0.0,
        1.0,
    )
    # Measured at 224x64, 75th percentile over its 10th to 90th: turns on the spot 0.0002-0.0008,
    # shares 0.013-0.097 (the large ones with next to no motion); a passing truck 0.012-0.027 of the
    # motion; driving, from 0.0005 and 0.04 up.
    min_structure: float = setting(
        0.0006,
        "least image motion that a single plane leaves unexplained (upper quartile); below it the "
        "pair shows no depth",
        0.0,
        1.0,
        _WIDTHS,
    )
    min_structure_share: float = setting(
        0.035, "least share of the same in all image motion", 0.0, 1.0
    )
    max_flow: float = setting(
        0.1,
        "above this median image motion the pair is refused as too fast a rotation",
        0.0,
        10.0,
        _WIDTHS,
    )
    max_warp_ratio: float = setting(
        1.0,
        "largest ratio of the photometric error of the warped image to that of the unwarped one",
        0.0,
        10.0,
    )
    min_valid: float = setting(
        0.5, "least share of pixels that land inside the other image", 0.0, 1.0
    )
    max_residual: float = setting(
        0.5, "largest share of pixels that seem to move by themselves", 0.0, 1.0
    )

    # Replay.
    own_capacity: int = setting(
        200, "pairs of the robot's own past in the replay buffer", 0, 1000, "pairs"
    )
    held_back_capacity: int = setting(
        16, "live pairs held back for validation, never trained on", 2, 1000, "pairs"
    )
    hold_back_every: int = setting(8, "hold back every Nth admitted pair for validation", 3, 1000)

    # Release.
    steps_per_candidate: int = setting(
        60, "optimiser steps from one candidate to the next", 1, 100_000
    )
    min_held_back: int = setting(
        6, "held-back pairs needed before the first candidate", 2, 1000, "pairs"
    )
    min_gain: float = setting(
        0.002, "relative fall of the loss on held-back pairs that justifies a release", -1.0, 1.0
    )
    margin: float = setting(
        0.015,
        "largest relative rise of the loss above that of the running weights, on the held-back and "
        "on the rehearsal pairs",
        0.0,
        1.0,
    )
    max_worse_share: float = setting(
        0.25, "largest share of the held-back pairs whose loss rises by more than margin", 0.0, 1.0
    )
    max_forgetting: float = setting(
        0.02,
        "largest relative rise since the first weights of the loss on the held-back and the "
        "rehearsal pairs, and of the depth error on the rehearsal ones",
        0.0,
        1.0,
    )
    max_depth_shift: float = setting(
        0.25,
        "largest change of the logarithm of the median depth since the first weights",
        0.0,
        10.0,
    )
    max_scale_shift: float = setting(
        0.25,
        "largest change of the logarithm of the ratio of predicted translation to odometry",
        0.0,
        10.0,
    )
    min_depth_variance: float = setting(
        2e-3,
        "below this ratio of the spatial variance of depth to its mean, depth has collapsed",
        0.0,
        10.0,
    )
    cool_down: float = setting(
        10.0, "pause of learning after a refused candidate", 0.0, 3600.0, "s"
    )
    max_failures: int = setting(
        5, "after this many refused candidates in a row learning is switched off", 1, 1000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_time_step > self.max_time_step:
            raise SettingsError(
                f"min_time_step ({self.min_time_step} s) is more than max_time_step "
                f"({self.max_time_step} s): no pair could ever be admitted"
            )
        if self.min_held_back > self.held_back_capacity:
            raise SettingsError(
                f"min_held_back ({self.min_held_back}) is more than held_back_capacity "
                f"({self.held_back_capacity}): nothing could ever be released"
            )
