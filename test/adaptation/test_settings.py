"""Settings refuse what cannot work, and say what would."""

from __future__ import annotations

from dataclasses import fields

import pytest

from depth_motion_ros.adaptation.errors import AdaptationSettingsError
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.cli.adaptation_options import settings_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("steps_per_pair", 1.5),
        ("max_cpu_fraction", -1),
        ("trainable", "everything"),
        ("max_failures", True),
    ],
)
def test_a_value_out_of_range_is_named_with_its_value(name: str, value: object) -> None:
    with pytest.raises(AdaptationSettingsError, match=name) as caught:
        AdaptationSettings(**{name: value})  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_times_that_exclude_every_pair_are_refused() -> None:
    with pytest.raises(AdaptationSettingsError, match="no pair could ever be admitted"):
        AdaptationSettings(min_time_step=0.4, max_time_step=0.2)


def test_every_setting_says_what_it_is() -> None:
    for entry in fields(AdaptationSettings):
        assert entry.metadata["description"], entry.name
        assert "range" in entry.metadata or "choices" in entry.metadata, entry.name


def test_the_learning_rate_of_the_literature_is_the_default() -> None:
    # Online adaptation is stable with Adam at 1e-5 to 1e-4.
    assert 1e-5 <= AdaptationSettings().learning_rate <= 1e-4


def test_settings_are_read_from_a_command_line() -> None:
    found = settings_of(["learning_rate=2e-5", "steps_per_pair=3", "trainable=norms"])
    assert (found.learning_rate, found.steps_per_pair, found.trainable) == (2e-5, 3, "norms")


@pytest.mark.parametrize("word", ["learning_rat=1", "steps_per_pair=1.5", "learning_rate"])
def test_a_word_that_is_no_setting_is_named(word: str) -> None:
    with pytest.raises(AdaptationSettingsError, match=word):
        settings_of([word])
