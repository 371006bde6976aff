"""Each trap is recognised, named in words, and not cried before it has lasted."""

from __future__ import annotations

import pytest

from depth_motion_ros.training.guards import TRAPS, Guard, TrainingStoppedError
from depth_motion_ros.training.recipe import GuardSection

HEALTHY = {
    "depth_variance": 0.3,
    "depth_row_share": 0.6,
    "active_residual": 0.05,
    "translation_over_depth": 0.05,
    "focal_over_width": 0.6,
    "identity_error": 0.08,
    "warp_error": 0.03,
    "valid": 0.9,
}
NO_DELAY = GuardSection(patience=1, grace=0)


def _reports(health_values: dict[str, float]) -> list[str]:
    guard = Guard(NO_DELAY)
    guard.observe(0, health_values)
    return guard.observe(1, health_values)


@pytest.mark.parametrize(
    ("change", "trap", "advice"),
    [
        ({"translation_over_depth": 2.0}, "everything near, camera fast", "translation_scale"),
        ({"valid": 0.1}, "everything near, camera fast", "clip_norm"),
        ({"active_residual": 0.9}, "explained by object motion", "residual_start"),
        (
            {"translation_over_depth": 1e-5, "warp_error": 0.08},
            "not moving at all is safest",
            "min_motion",
        ),
        ({"depth_variance": 1e-4}, "collapsed to a constant", "depth_variance"),
        ({"depth_row_share": 0.995}, "fixed vertical gradient", "coarse_steps"),
        ({"focal_over_width": 20.0}, "focal length has run away", "known_intrinsics"),
        ({"warp_error": 0.12}, "warp explains nothing", "learning_rate"),
    ],
)
def test_a_trap_is_named_with_what_to_change(
    change: dict[str, float], trap: str, advice: str
) -> None:
    (sentence,) = _reports({**HEALTHY, **change})
    assert trap in sentence
    assert advice in sentence
    name, value = next(iter(change.items()))
    assert f"{name} {value:.3g}" in sentence


def test_a_healthy_run_is_left_alone() -> None:
    assert _reports(HEALTHY) == []


def test_a_standing_camera_is_no_trap() -> None:
    # Nothing moves in the image: no translation is the right answer.
    standing = {"translation_over_depth": 0.0, "identity_error": 0.004, "warp_error": 0.004}
    assert _reports({**HEALTHY, **standing}) == []


def test_traps_are_reported_after_grace_and_patience_and_not_at_every_step() -> None:
    guard = Guard(GuardSection(patience=100, grace=50))
    flat = {**HEALTHY, "depth_variance": 0.0}
    reported = [step for step in range(0, 400, 10) if guard.observe(step, flat)]
    assert reported == [150, 250, 350]


def test_a_break_starts_the_count_anew() -> None:
    guard = Guard(GuardSection(patience=100, grace=0))
    flat = {**HEALTHY, "depth_variance": 0.0}
    guard.observe(0, flat)
    guard.observe(90, HEALTHY)
    assert guard.observe(110, flat) == []


def test_every_trap_gives_advice_that_names_a_key_of_the_recipe() -> None:
    for trap in TRAPS:
        assert "." in trap.advice, trap.name


def test_non_finite_steps_in_a_row_stop_the_run() -> None:
    guard = Guard(GuardSection(max_skipped=3))
    for finite in (False, False, True, False, False):
        guard.count_step(finite)
    assert guard.skipped == 4
    with pytest.raises(TrainingStoppedError, match="3 steps in a row"):
        guard.count_step(False)


def test_the_state_survives_a_checkpoint() -> None:
    guard, resumed = Guard(GuardSection(patience=100, grace=0)), Guard(GuardSection(patience=100))
    flat = {**HEALTHY, "depth_variance": 0.0}
    guard.observe(1000, flat)
    guard.count_step(False)
    resumed.restore(guard.state())
    assert resumed.skipped == 1
    assert len(resumed.observe(1100, flat)) == 1
