"""A training recipe: everything that decides what is learned, in one file that checks itself."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from depth_motion_ros.losses.objective import LossWeights
from depth_motion_ros.models.config import ConfigError, NetworkConfig
from depth_motion_ros.training.options import (
    RecipeError,
    check_ranges,
    from_mapping,
    option,
    to_mapping,
)

SHIPPED = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class NetworkSection:
    """Which member of the family, and where its scalars start."""

    architecture: str = option("lite", "a key of models.config.ARCHITECTURES")
    input_width: int = option(416, "pixels, a multiple of 32", 32, 4096)
    input_height: int = option(128, "pixels, a multiple of 32", 32, 4096)
    rotation_scale: float = option(0.01, "initial value of the learned factor", 0.001, 1.0)
    translation_scale: float = option(0.01, "initial value of the learned factor", 0.001, 1.0)

    def __post_init__(self) -> None:
        check_ranges(self, "network")
        try:
            self.config()
        except ConfigError as error:
            raise RecipeError(f"network: {error}") from error

    def config(self) -> NetworkConfig:
        """The configuration the networks are built from."""
        return NetworkConfig(self.architecture, self.input_width, self.input_height)


@dataclass(frozen=True)
class DataSection:
    """Which pairs are drawn."""

    batch_size: int = option(16, "pairs in one step, over all devices together", 1, 4096)
    supervision: str = option(
        "none",
        "what simulator pairs are judged by: their images alone (none), their exact truth, or both",
        choices=("none", "exact", "both"),
    )
    recorded: str = option(
        "images",
        "what recorded pairs are judged by: their images, the depth and motion triangulated when "
        "they were prepared, or both",
        choices=("images", "triangulated", "both"),
    )
    simulated_reuse: int = option(
        1, "steps that a rendered batch is new for; above 1, pairs are drawn from those kept", 1
    )
    simulated_kept: int = option(
        256, "rendered batches kept to draw from, where simulated_reuse is above 1", 1
    )
    simulated_batch: int = option(
        0, "pairs rendered at once, where simulated_reuse is above 1; 0: as many as a step takes", 0
    )
    pair_step: str = option(
        "consecutive",
        "partner of a frame: the next one, or the first that the image has moved enough for",
        choices=("consecutive", "motion"),
    )
    max_step: int = option(1, "frames between the two of a pair at most", 1, 100)
    min_motion: float = option(
        0.01, "pair_step motion: median optical flow wanted, in image widths", 0.0, 1.0
    )
    duplicate_threshold: float = option(
        0.01, "a pair whose mean abs(I2 - I1) is not above this is dropped; images in [0, 1]", 0, 1
    )
    known_intrinsics: bool = option(
        False, "warp with the source's K where it has one; false: always the learned K"
    )

    def __post_init__(self) -> None:
        check_ranges(self, "data")
        if self.pair_step == "consecutive" and self.max_step != 1:
            raise RecipeError(
                f"data.max_step is {self.max_step} but data.pair_step is 'consecutive'; "
                "set pair_step to 'motion' or max_step to 1"
            )


@dataclass(frozen=True)
class AugmentSection:
    """What is changed about a pair, both frames alike."""

    min_crop: float = option(
        0.75, "smallest crop, a fraction of the width and of the height, drawn apart", 0.1, 1.0
    )
    flip: float = option(0.5, "probability of mirroring left and right", 0.0, 1.0)
    brightness: float = option(0.0, "largest relative change", 0.0, 0.9)
    contrast: float = option(0.0, "largest relative change", 0.0, 0.9)
    saturation: float = option(0.0, "largest relative change", 0.0, 1.0)
    gray: float = option(0.0, "probability of a gray pair", 0.0, 1.0)
    shade: float = option(
        0.0,
        "darkest false shadow, where depth alone is judged: 0 casts none, 1 would be black",
        0.0,
        0.95,
    )

    def __post_init__(self) -> None:
        check_ranges(self, "augment")


@dataclass(frozen=True)
class OptimiserSection:
    """Adam."""

    learning_rate: float = option(2e-4, "after the warm-up", 1e-8, 1.0)
    warmup_steps: int = option(0, "steps of linear rise to learning_rate", 0)
    decay_from: float = option(
        1.0, "fraction of the run after which a cosine takes the rate to a tenth; 1 = never", 0, 1
    )
    clip_norm: float = option(10.0, "largest gradient norm", 1e-6)
    ema_decay: float = option(
        0.0, "decay per step of the averaged weights that are validated and saved; 0 = off", 0, 1
    )

    def __post_init__(self) -> None:
        check_ranges(self, "optimiser")


@dataclass(frozen=True)
class ScheduleSection:
    """What happens when, in optimiser steps."""

    steps: int = option(100_000, "length of the run", 1)
    residual_start: int = option(10_000, "residual motion is off until here", 0)
    residual_full: int = option(20_000, "and fully on from here", 0)
    norm_noise: float = option(0.5, "final std of the noise in the encoder's norms", 0.0, 1.0)
    norm_noise_steps: int = option(10_000, "the noise rises with the square until here", 0)
    depth_frozen: int = option(0, "steps in which motion is learned and depth is left alone", 0)
    coarse_steps: int = option(0, "steps trained at the coarse size first", 0)
    coarse_width: int = option(224, "pixels, a multiple of 32", 32, 4096)
    coarse_height: int = option(64, "pixels, a multiple of 32", 32, 4096)

    def __post_init__(self) -> None:
        check_ranges(self, "schedule")
        if self.residual_full < self.residual_start:
            raise RecipeError(
                f"schedule.residual_full ({self.residual_full}) must not come before "
                f"schedule.residual_start ({self.residual_start})"
            )
        for name in ("coarse_width", "coarse_height"):
            if getattr(self, name) % 32:
                raise RecipeError(
                    f"schedule.{name} is {getattr(self, name)}; it must be a multiple of 32"
                )

    def residual_gain(self, step: int) -> float:
        """Factor on the residual motion field: 0, then a ramp, then 1."""
        if step >= self.residual_full:
            return 1.0
        ramp = max(self.residual_full - self.residual_start, 1)
        return min(max((step - self.residual_start) / ramp, 0.0), 1.0)

    def noise(self, step: int) -> float:
        """Standard deviation of the noise in the encoder's norms."""
        if step >= self.norm_noise_steps:
            return self.norm_noise
        return self.norm_noise * (step / self.norm_noise_steps) ** 2


@dataclass(frozen=True)
class ExactSection:
    """Weights of the terms that judge rendered pairs with ``supervision: exact``."""

    unit: float = option(
        10.0, "metres per unit of length of the network, whose inputs should lie near 1", 1e-3, 1e3
    )
    shape: float = option(1.0, "variance of the log depth error: depth up to a factor", 0.0)
    metric: float = option(0.2, "mean square of the log depth error: depth with its scale", 0.0)
    rotation: float = option(10.0, "mean angle in rad", 0.0)
    translation: float = option(10.0, "mean distance in units", 0.0)
    residual: float = option(10.0, "mean distance in units, moving and static pixels alike", 0.0)
    focal: float = option(0.1, "mean abs log ratio of focal lengths", 0.0)

    def __post_init__(self) -> None:
        check_ranges(self, "exact")

    @property
    def only_motion(self) -> bool:
        """Whether no term asks for depth."""
        return not (self.shape or self.metric)

    @property
    def only_depth(self) -> bool:
        """Whether no term asks for motion."""
        return not (self.rotation or self.translation or self.residual or self.focal)


@dataclass(frozen=True)
class TriangulatedSection:
    """Weights of the terms that judge recorded pairs by what is triangulated from them."""

    shape: float = option(1.0, "mean abs log depth error about its median", 0.0)
    images: float = option(
        0.0,
        "where depth alone is judged: the objective's photometric and smoothness terms, warping by "
        "the triangulated motion",
        0.0,
    )
    unit: float = option(
        0.0,
        "where depth alone is judged: mean square of the mean log ratio to the depth of the "
        "weights that the run starts from, which keeps their unit of length",
        0.0,
    )
    rotation: float = option(10.0, "mean angle in rad", 0.0)
    translation: float = option(10.0, "mean distance in units, after scaling as depth", 0.0)
    focal: float = option(0.1, "mean abs log ratio of focal lengths, where they are known", 0.0)

    def __post_init__(self) -> None:
        check_ranges(self, "triangulated")

    @property
    def only_depth(self) -> bool:
        """Whether no term asks for the network's motion."""
        return not (self.rotation or self.translation or self.focal)

    @property
    def needs_motion(self) -> bool:
        """Whether a term asks for the motion that is triangulated."""
        return not self.only_depth or self.images > 0


@dataclass(frozen=True)
class GuardSection:
    """When the run is warned about, and when it is stopped."""

    watch_every: int = option(50, "steps between two looks at the vital signs", 1)
    patience: int = option(500, "steps a trap must hold before it is reported", 1)
    grace: int = option(1000, "steps at the start in which no trap is reported", 0)
    max_skipped: int = option(20, "non-finite steps in a row that stop the run", 1)
    stop_on_collapse: bool = option(False, "stop, rather than warn, when in a trap")

    def __post_init__(self) -> None:
        check_ranges(self, "guards")


@dataclass(frozen=True)
class RecordSection:
    """What the run writes down, in optimiser steps."""

    scalars_every: int = option(10, "steps between two points of a curve", 1)
    panels_every: int = option(500, "steps between two image panels", 1)
    validate_every: int = option(2000, "steps between two validations", 1)
    checkpoint_every: int = option(1000, "steps between two checkpoints", 1)
    keep_checkpoints: int = option(3, "newest checkpoints kept", 1)

    def __post_init__(self) -> None:
        check_ranges(self, "record")


@dataclass(frozen=True)
class Recipe:
    """The whole recipe. Raises RecipeError for anything out of range or contradictory."""

    seed: int = option(1, "of initial weights, order of pairs, augmentation and noise", 0)
    network: NetworkSection = field(default_factory=NetworkSection)
    data: DataSection = field(default_factory=DataSection)
    augment: AugmentSection = field(default_factory=AugmentSection)
    optimiser: OptimiserSection = field(default_factory=OptimiserSection)
    schedule: ScheduleSection = field(default_factory=ScheduleSection)
    losses: LossWeights = field(default_factory=LossWeights)
    exact: ExactSection = field(default_factory=ExactSection)
    triangulated: TriangulatedSection = field(default_factory=TriangulatedSection)
    guards: GuardSection = field(default_factory=GuardSection)
    record: RecordSection = field(default_factory=RecordSection)

    def __post_init__(self) -> None:
        check_ranges(self, "recipe")

    def size_at(self, step: int) -> tuple[int, int]:
        """(width, height) of the images of a step."""
        if step < self.schedule.coarse_steps:
            return self.schedule.coarse_width, self.schedule.coarse_height
        return self.network.input_width, self.network.input_height

    def rate_factor(self, step: int) -> float:
        """Factor on the learning rate: linear warm-up, constant, cosine to a tenth."""
        optimiser, steps = self.optimiser, self.schedule.steps
        if step < optimiser.warmup_steps:
            return (step + 1) / optimiser.warmup_steps
        start = optimiser.decay_from * steps
        if step <= start or optimiser.decay_from >= 1:
            return 1.0
        progress = min((step - start) / (steps - start), 1.0)
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress))

    def with_steps(self, steps: int) -> Recipe:
        """The same recipe for another length of run; the other schedules are untouched."""
        return replace(self, schedule=replace(self.schedule, steps=steps))

    def overridden(self, assignments: list[str]) -> Recipe:
        """With ``section.key=value`` assignments, the values written as in YAML."""
        mapping = to_mapping(self)
        for assignment in assignments:
            key, separator, text = assignment.partition("=")
            if not separator:
                raise RecipeError(f"{assignment!r} must have the form section.key=value")
            *path, last = key.strip().split(".")
            target = mapping
            for part in path:
                inner = target.setdefault(part, {})
                if not isinstance(inner, dict):
                    raise RecipeError(f"{part!r} in {assignment!r} is no section of the recipe")
                target = inner
            target[last] = yaml.safe_load(text)
        return from_mapping(Recipe, mapping)

    def to_yaml(self) -> str:
        """Text from which ``parse_recipe`` builds the same recipe."""
        return yaml.safe_dump(to_mapping(self), sort_keys=False)


def parse_recipe(text: str, name: str = "recipe") -> Recipe:
    """The recipe of a YAML text; keys left out keep the defaults (the paper's values)."""
    try:
        mapping = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name} is no YAML: {error}") from error
    return from_mapping(Recipe, {} if mapping is None else mapping)


def check_same_recipe(saved: Recipe, now: Recipe) -> None:
    """Raise RecipeError where a run cannot go on because its recipe has changed.

    The length of the run, what is recorded and when to warn may change.
    """
    for section in (
        "seed",
        "network",
        "data",
        "augment",
        "optimiser",
        "schedule",
        "losses",
        "exact",
        "triangulated",
    ):
        before, after = getattr(saved, section), getattr(now, section)
        if section == "schedule":
            before = replace(before, steps=after.steps)
        if before != after:
            raise RecipeError(
                f"the checkpoint was trained with another {section}: {before}, now {after}; "
                "resume with the recipe.yaml of the run, or start a new run from its weights"
            )


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_recipe(name: str | os.PathLike[str]) -> Recipe:
    """A shipped recipe by its name, or one from a YAML file.

    Raises RecipeError where there is neither, or the content is not right.
    """
    path = Path(name)
    if not path.is_file() and str(name) in shipped_recipes():
        path = SHIPPED / f"{name}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(
            f"no recipe {str(name)!r}: neither a file ({error.strerror}) nor one of "
            f"{', '.join(shipped_recipes())}"
        ) from error
    return parse_recipe(text, str(name))
