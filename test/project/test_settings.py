"""Settings: declared once, checked, and refused in words that help."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from depth_motion_ros.settings import (
    LIVE,
    START,
    Setting,
    Settings,
    SettingsError,
    UnknownSettingError,
    declared,
    from_mapping,
    setting,
    to_mapping,
)

RATE = Setting("rate", 10.0, "how often", unit="Hz", minimum=0.5, maximum=100.0)
WIDTH = Setting("width", 64, "width", unit="px", minimum=32, maximum=4096, multiple=32)


@dataclass(frozen=True)
class Camera(Settings, section="camera", changes=START):
    rate: float = setting(10.0, "frames per second", 0.5, 100.0, "Hz", changes=LIVE)
    width: int = setting(64, "width of the image", 32, 4096, "px", multiple=32)
    kind: str = setting("pinhole", "lens model", choices=("pinhole", "fisheye"))


@dataclass(frozen=True)
class Robot(Settings):
    name: str = setting("robot", "its name")
    moves: bool = setting(True, "whether it moves")
    camera: Camera = field(default_factory=Camera)


@pytest.mark.parametrize("value", [0.5, 100.0, 30])
def test_bounds_are_allowed_and_whole_numbers_serve_a_double(value: float) -> None:
    checked = RATE.check(value)
    assert checked == value
    assert isinstance(checked, float)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0.4, r"rate is 0\.4; it must be a finite number from 0\.5 to 100 Hz"),
        (float("nan"), "rate is nan; it must be"),
        (float("inf"), "rate is inf; it must be"),
        ("fast", "rate is 'fast'; it must be a finite number"),
        (True, "rate is True; it must be"),
        (None, "rate is empty; it must be"),
    ],
)
def test_a_refusal_names_the_value_and_what_is_allowed(value: object, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        RATE.check(value)


def test_a_choice_is_refused_with_the_choices() -> None:
    quality = Setting("qos", "auto", "which", choices=("auto", "reliable"))
    with pytest.raises(SettingsError, match="qos is 'fast'; it must be one of auto, reliable"):
        quality.check("fast")


def test_a_list_has_its_length_and_finite_entries() -> None:
    place = Setting("xyz", [0.0, 0.0, 0.0], "where", unit="m", length=3, minimum=-9.0)
    assert place.check((1, 2.5, 3)) == [1.0, 2.5, 3.0]
    for value in ([1.0, 2.0], [1.0, float("nan"), 2.0], ["here", 0, 0], 1.0, None, [0, 0, -10]):
        with pytest.raises(SettingsError, match=r"xyz is .*; it must be 3 finite numbers .* m"):
            place.check(value)


def test_a_multiple_is_asked_for_and_the_nearest_one_named() -> None:
    assert WIDTH.check(96) == 96
    with pytest.raises(SettingsError, match=r"width is 100; .* a multiple of 32 .* nearest is 96"):
        WIDTH.check(100)


@pytest.mark.parametrize(
    ("described", "text", "value"),
    [(RATE, "2e1", 20.0), (WIDTH, "96", 96), (Setting("on", False, "?"), "true", True)],
)
def test_text_of_a_file_or_a_command_line_is_read(
    described: Setting, text: str, value: object
) -> None:
    assert described.read(text) == value
    with pytest.raises(SettingsError, match=f"{described.name} is 'some'; it must be"):
        described.read("some")


def test_a_dataclass_checks_itself_and_describes_its_fields() -> None:
    assert isinstance(Camera(rate=3).rate, float)
    with pytest.raises(
        SettingsError, match=r"camera\.kind is 'box'; it must be one of pinhole, fis"
    ):
        Camera(kind="box")
    described = declared(Camera)
    assert list(described) == ["rate", "width", "kind"]
    assert described["rate"].name == "camera.rate"
    assert (described["rate"].changes, described["width"].changes) == (LIVE, START)


def test_nested_mappings_go_there_and_back() -> None:
    robot = from_mapping(Robot, {"name": "r2", "camera": {"rate": "1e1", "width": 32}})
    assert robot == Robot("r2", camera=Camera(10.0, 32))
    assert from_mapping(Robot, to_mapping(robot)) == robot


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"nam": "x"}, "unknown setting 'nam'; did you mean 'name'"),
        ({"camera": {"widht": 32}}, "unknown setting 'camera.widht'; did you mean 'width'"),
        ({"colour": 1}, "unknown setting 'colour'; known: camera, moves, name"),
        ({"camera": 3}, "camera must be a mapping of names to values, got 3"),
        ([1], "must be a mapping"),
    ],
)
def test_what_does_not_belong_is_named(mapping: object, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        from_mapping(Robot, mapping)
    assert isinstance(caught.value, UnknownSettingError) == says.startswith("unknown")
