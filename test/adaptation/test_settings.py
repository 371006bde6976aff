"""Settings refuse what cannot work, and say what would."""

from __future__ import annotations

from dataclasses import fields

import pytest

from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.cli.adapt_options import settings_of
from depth_motion_ros.settings import SettingsError, declared


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
    with pytest.raises(SettingsError, match=name) as caught:
        AdaptationSettings(**{name: value})  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_times_that_exclude_every_pair_are_refused() -> None:
    with pytest.raises(SettingsError, match="no pair could ever be admitted"):
        AdaptationSettings(min_time_step=0.4, max_time_step=0.2)


def test_every_setting_says_what_it_is() -> None:
    settings = declared(AdaptationSettings)
    assert settings.keys() == {entry.name for entry in fields(AdaptationSettings)}
    for name, setting in settings.items():
        assert setting.description, name
        assert setting.range_text, name


def test_the_learning_rate_of_the_literature_is_the_default() -> None:
    # Online adaptation is stable with Adam at 1e-5 to 1e-4.
    assert 1e-5 <= AdaptationSettings().learning_rate <= 1e-4


def test_settings_are_read_from_a_command_line() -> None:
    found = settings_of(["learning_rate=2e-5", "steps_per_pair=3", "trainable=norms"])
    assert (found.learning_rate, found.steps_per_pair, found.trainable) == (2e-5, 3, "norms")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("learning_rat=1", "'learning_rat'; did you mean 'learning_rate'"),
        ("steps_per_pair=1.5", r"steps_per_pair is '1\.5'; it must be a whole number"),
        ("learning_rate", "learning_rate is ''; it must be a finite number"),
    ],
)
def test_a_word_that_is_no_setting_is_named(word: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        settings_of([word])
