"""A training recipe: everything that decides what is learned, in one file that checks itself."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from depth_motion_ros.losses.objective import LossWeights
from depth_motion_ros.models.config import SIZE_STEP, NetworkConfig
from depth_motion_ros.settings import Settings, SettingsError, from_mapping, setting, to_mapping

SHIPPED = Path(__file__).parent / "recipes"


class RecipeError(SettingsError):
    """A training recipe that cannot be used; the message names the key, the value and the fix."""


@dataclass(frozen=True)
class NetworkSection(NetworkConfig, section="network"):
    """Which member of the family, and the initial values of its scalars."""

    rotation_scale: float = setting(0.01, "initial value of the learned factor", 0.001, 1.0)
    translation_scale: float = setting(0.01, "initial value of the learned factor", 0.001, 1.0)

    def config(self) -> NetworkConfig:
        """The configuration the networks are built from."""
        return NetworkConfig(self.architecture, self.input_width, self.input_height)


@dataclass(frozen=True)
class DataSection(Settings, section="data"):
    """Which pairs are drawn."""

    batch_size: int = setting(16, "pairs in one step, over all devices together", 1, 4096)
    supervision: str = setting(
        "none",
        "supervision of simulated pairs: their images alone (none), exact ground truth, or both",
        choices=("none", "exact", "both"),
    )
    recorded: str = setting(
        "images",
        "supervision of recorded pairs: their images, the depth and motion triangulated by "
        "prepare, or both",
        choices=("images", "triangulated", "both"),
    )
    simulated_reuse: int = setting(
        1, "steps per rendered batch; above 1, pairs are drawn from the batches kept", 1
    )
    simulated_kept: int = setting(256, "rendered batches kept while simulated_reuse is above 1", 1)
    simulated_batch: int = setting(
        0, "pairs rendered at once while simulated_reuse is above 1; 0 = as many as a step uses", 0
    )
    pair_step: str = setting(
        "consecutive",
        "second frame of a pair: the next one, or the first with enough image motion",
        choices=("consecutive", "motion"),
    )
    max_step: int = setting(1, "largest distance of the two frames of a pair", 1, 100, "frames")
    min_motion: float = setting(
        0.01, "with pair_step motion: least median optical flow of a pair", 0.0, 1.0, "image widths"
    )
    duplicate_threshold: float = setting(
        0.01,
        "pairs with a mean absolute image difference up to this are dropped",
        0,
        1,
        "of full intensity",
    )
    known_intrinsics: bool = setting(
        False, "warp with the source's intrinsics if it has any; false = always the learned ones"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pair_step == "consecutive" and self.max_step != 1:
            raise RecipeError(
                f"data.max_step is {self.max_step} but data.pair_step is 'consecutive'; "
                "set pair_step to 'motion' or max_step to 1"
            )


@dataclass(frozen=True)
class AugmentSection(Settings, section="augment"):
    """What is changed about a pair, both frames alike."""

    min_crop: float = setting(
        0.75, "smallest crop, a share of the width and, drawn separately, of the height", 0.1, 1.0
    )
    flip: float = setting(0.5, "probability of mirroring left and right", 0.0, 1.0)
    brightness: float = setting(0.0, "largest relative change", 0.0, 0.9)
    contrast: float = setting(0.0, "largest relative change", 0.0, 0.9)
    saturation: float = setting(0.0, "largest relative change", 0.0, 1.0)
    gray: float = setting(0.0, "probability of a gray pair", 0.0, 1.0)
    shade: float = setting(
        0.0,
        "darkness of false shadows when training depth alone: 0 = none, 1 would be black",
        0.0,
        0.95,
    )


@dataclass(frozen=True)
class OptimiserSection(Settings, section="optimiser"):
    """Adam."""

    learning_rate: float = setting(2e-4, "learning rate after the warm-up", 1e-8, 1.0)
    warmup_steps: int = setting(0, "steps of linear rise to learning_rate", 0)
    decay_from: float = setting(
        1.0, "share of the run after which a cosine reduces the rate to a tenth; 1 = never", 0, 1
    )
    clip_norm: float = setting(10.0, "largest gradient norm", 1e-6)
    ema_decay: float = setting(
        0.0, "decay per step of the averaged weights that are validated and saved; 0 = off", 0, 1
    )


@dataclass(frozen=True)
class ScheduleSection(Settings, section="schedule"):
    """What happens when, in optimiser steps."""

    steps: int = setting(100_000, "length of the run", 1)
    residual_start: int = setting(10_000, "residual motion is off before this step", 0)
    residual_full: int = setting(20_000, "residual motion is fully on from this step", 0)
    norm_noise: float = setting(0.5, "final std of the noise in the encoder's norms", 0.0, 1.0)
    norm_noise_steps: int = setting(10_000, "the noise rises quadratically until this step", 0)
    depth_frozen: int = setting(0, "first steps, which train motion and keep depth as it is", 0)
    coarse_steps: int = setting(0, "first steps, which train at the coarse size", 0)
    coarse_width: int = setting(224, "coarse width", 32, 4096, "px", multiple=SIZE_STEP)
    coarse_height: int = setting(64, "coarse height", 32, 4096, "px", multiple=SIZE_STEP)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.residual_full < self.residual_start:
            raise RecipeError(
                f"schedule.residual_full ({self.residual_full}) must not come before "
                f"schedule.residual_start ({self.residual_start})"
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
class ExactSection(Settings, section="exact"):
    """Weights of the loss terms of exact ground truth (``supervision: exact`` or ``both``)."""

    unit: float = setting(
        10.0, "metres per unit of length of the network; depths should be near 1", 1e-3, 1e3, "m"
    )
    shape: float = setting(1.0, "variance of the log depth error: depth up to a factor", 0.0)
    metric: float = setting(0.2, "mean square of the log depth error: depth with its scale", 0.0)
    rotation: float = setting(10.0, "mean angle in rad", 0.0)
    translation: float = setting(10.0, "mean distance in units", 0.0)
    residual: float = setting(10.0, "mean distance in units, moving and static pixels alike", 0.0)
    focal: float = setting(0.1, "mean absolute log ratio of focal lengths", 0.0)

    @property
    def only_motion(self) -> bool:
        """Whether no term asks for depth."""
        return not (self.shape or self.metric)

    @property
    def only_depth(self) -> bool:
        """Whether no term asks for motion."""
        return not (self.rotation or self.translation or self.residual or self.focal)


@dataclass(frozen=True)
class TriangulatedSection(Settings, section="triangulated"):
    """Weights of the loss terms of triangulated depth and motion (``recorded: triangulated``)."""

    shape: float = setting(1.0, "mean absolute log depth error about its median", 0.0)
    images: float = setting(
        0.0,
        "when training depth alone: photometric and smoothness terms, warping by the triangulated "
        "motion",
        0.0,
    )
    unit: float = setting(
        0.0,
        "when training depth alone: mean square of the mean log ratio to the depth of the starting "
        "weights, which keeps their unit of length",
        0.0,
    )
    rotation: float = setting(10.0, "mean angle in rad", 0.0)
    translation: float = setting(10.0, "mean distance in units, after scaling as depth", 0.0)
    focal: float = setting(0.1, "mean absolute log ratio of focal lengths, if known", 0.0)

    @property
    def only_depth(self) -> bool:
        """Whether no term asks for the network's motion."""
        return not (self.rotation or self.translation or self.focal)

    @property
    def needs_motion(self) -> bool:
        """Whether a term asks for the motion that is triangulated."""
        return not self.only_depth or self.images > 0


@dataclass(frozen=True)
class GuardSection(Settings, section="guards"):
    """When the run is warned about, and when it is stopped."""

    watch_every: int = setting(50, "steps between two checks of the health metrics", 1)
    patience: int = setting(500, "steps that a bad state must last before it is reported", 1)
    grace: int = setting(1000, "first steps, in which no bad state is reported", 0)
    max_skipped: int = setting(20, "this many non-finite steps in a row stop the run", 1)
    stop_on_collapse: bool = setting(False, "stop the run in a bad state; false = warn only")


@dataclass(frozen=True)
class RecordSection(Settings, section="record"):
    """What the run writes down, in optimiser steps."""

    scalars_every: int = setting(10, "steps between two points of a curve", 1)
    panels_every: int = setting(500, "steps between two image panels", 1)
    validate_every: int = setting(2000, "steps between two validations", 1)
    checkpoint_every: int = setting(1000, "steps between two checkpoints", 1)
    keep_checkpoints: int = setting(3, "newest checkpoints kept", 1)


@dataclass(frozen=True)
class Recipe(Settings):
    """The whole recipe. Raises RecipeError for anything out of range or contradictory."""

    seed: int = setting(1, "seed of initial weights, order of pairs, augmentation and noise", 0)
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
