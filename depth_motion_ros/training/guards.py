"""Guards against the ways in which this method is known to fail: they see it and say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from depth_motion_ros.training.recipe import GuardSection


class TrainingStoppedError(RuntimeError):
    """The run cannot go on; the message says why, where its last checkpoint is, what to change."""


@dataclass(frozen=True)
class Trap:
    """A way to fail: how it shows in the health metrics, what it is called, what to change."""

    name: str
    holds: Callable[[Mapping[str, float]], bool]
    description: str
    advice: str


# Thresholds leave room around what is real. A car at 10 Hz moves 1 m a frame among points at 15 m
# on average, a ratio of 0.07. Measured depth of the campus and red kitchen sequences has a variance
# of at least 0.06 in any image, and one row profile explains at most 0.90 of it.
TRAPS = (
    Trap(
        "everything near, camera fast",
        lambda v: v["translation_over_depth"] > 0.7 or v["valid"] < 0.3,
        "the camera is believed to move by more than most of the scene's depth from frame to "
        "frame, or most points leave the image",
        "lower network.translation_scale (0.01) or optimiser.clip_norm, add "
        "optimiser.warmup_steps, or lower optimiser.learning_rate",
    ),
    Trap(
        "everything explained by object motion",
        lambda v: v["active_residual"] > 0.6,
        "the residual motion field is active on most of the image",
        "put schedule.residual_start and residual_full later, raise losses.motion_sparsity, "
        "or give masks of possibly moving objects",
    ),
    Trap(
        "not moving at all is safest",
        lambda v: (
            v["translation_over_depth"] < 5e-4
            and v["identity_error"] > 0.02
            and v["warp_error"] > 0.9 * v["identity_error"]
        ),
        "the predicted translation is next to nothing although the images differ",
        "raise network.translation_scale (0.05) or optimiser.clip_norm, and choose pairs with "
        "more parallax (data.pair_step: motion, a larger data.min_motion)",
    ),
    Trap(
        "depth has collapsed to a constant",
        lambda v: v["depth_variance"] < 2e-3,
        "depth is nearly the same everywhere in the image",
        "raise losses.depth_variance (1e-6), lower losses.depth_smoothness, lower "
        "schedule.norm_noise (0.1), or choose pairs with more parallax (data.min_motion)",
    ),
    Trap(
        "depth has collapsed to a fixed vertical gradient",
        lambda v: v["depth_row_share"] > 0.98,
        "depth depends on the row and no longer on the image",
        "lower losses.depth_smoothness and schedule.norm_noise (0.1), start coarse "
        "(schedule.coarse_steps), mix in other scenes, or train for longer",
    ),
    Trap(
        "the focal length has run away",
        lambda v: not 0.25 < v["focal_over_width"] < 5.0,
        "the learned focal length is outside 0.25 to 5 image widths",
        "set data.known_intrinsics where K is known, or use footage in which the camera turns",
    ),
    Trap(
        "the warp explains nothing",
        lambda v: v["identity_error"] > 0.02 and v["warp_error"] > 1.05 * v["identity_error"],
        "the warped image fits worse than the unwarped one",
        "lower optimiser.learning_rate and schedule.norm_noise, or start coarse "
        "(schedule.coarse_steps)",
    ),
)


class Guard:
    """Watches the health metrics of one run.

    A trap is reported when it has held without a break for ``patience`` steps after ``grace``
    steps, and again after as long.
    """

    def __init__(self, recipe: GuardSection) -> None:
        self._recipe = recipe
        self._since: dict[str, int] = {}
        self.skipped_in_a_row = 0
        self.skipped = 0

    def observe(self, step: int, health_values: Mapping[str, float]) -> list[str]:
        """Sentences about the traps the run is in, mostly none."""
        found = []
        for trap in TRAPS:
            if step < self._recipe.grace or not trap.holds(health_values):
                self._since.pop(trap.name, None)
                continue
            since = self._since.setdefault(trap.name, step)
            if step - since >= self._recipe.patience:
                self._since[trap.name] = step
                found.append(_sentence(trap, step, health_values))
        return found

    def count_step(self, finite: bool) -> None:
        """Note a step whose loss and gradients were finite, or that was skipped as they were not.

        Raises TrainingStoppedError after ``max_skipped`` in a row.
        """
        self.skipped_in_a_row = 0 if finite else self.skipped_in_a_row + 1
        self.skipped += not finite
        if self.skipped_in_a_row >= self._recipe.max_skipped:
            raise TrainingStoppedError(
                f"loss or gradients were not finite for {self.skipped_in_a_row} steps in a row; "
                "lower optimiser.learning_rate or optimiser.clip_norm, or train with "
                "--precision 32-true"
            )

    def state(self) -> dict[str, object]:
        """For a checkpoint."""
        return {
            "since": dict(self._since),
            "skipped_in_a_row": self.skipped_in_a_row,
            "skipped": self.skipped,
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from ``state``."""
        since, in_a_row, total = state["since"], state["skipped_in_a_row"], state["skipped"]
        assert isinstance(since, dict)
        assert isinstance(in_a_row, int)
        assert isinstance(total, int)
        self._since, self.skipped_in_a_row, self.skipped = dict(since), in_a_row, total


def _sentence(trap: Trap, step: int, health_values: Mapping[str, float]) -> str:
    signs = ", ".join(f"{name} {value:.3g}" for name, value in health_values.items())
    return (
        f"step {step}: trap “{trap.name}”: {trap.description}. To change: {trap.advice}. ({signs})"
    )
