"""Parameters: one declaration, checked values, and files that equal it."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.nodes.adaptation.parameters import ADAPTATION_PARAMETERS
from depth_motion_ros.nodes.camera.parameters import CAMERA_PARAMETERS
from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.nodes.ros.parameters import (
    Parameter,
    ParameterError,
    render_markdown,
    render_yaml,
)

CONFIG = Path(__file__).resolve().parents[2] / "config"
TABLES = {
    "depth_motion": DEPTH_MOTION_PARAMETERS,
    "camera": CAMERA_PARAMETERS,
    "adaptation": ADAPTATION_PARAMETERS,
}
REMEDY = "run `python -m depth_motion_ros.nodes.tools.render_parameters`"


@pytest.mark.parametrize("name", TABLES)
def test_the_parameter_file_is_the_rendering_of_the_table(name: str) -> None:
    text = (CONFIG / f"{name}.yaml").read_text(encoding="utf-8")
    assert text == render_yaml(TABLES[name], f"{name}_node"), REMEDY


@pytest.mark.parametrize("name", TABLES)
def test_the_rendering_reads_back_as_the_defaults(name: str) -> None:
    rendered = yaml.safe_load(render_yaml(TABLES[name], name))["/**"]["ros__parameters"]
    assert rendered == {parameter.name: parameter.default for parameter in TABLES[name]}


@pytest.mark.parametrize("name", TABLES)
def test_every_default_is_allowed_and_every_parameter_described(name: str) -> None:
    for parameter in TABLES[name]:
        assert parameter.check(parameter.default) == parameter.default
        assert len(parameter.description) > 6, parameter.name


def test_no_parameter_is_declared_twice() -> None:
    for table in TABLES.values():
        names = [parameter.name for parameter in table]
        assert len(names) == len(set(names))


def test_the_table_names_every_parameter_once() -> None:
    lines = render_markdown(DEPTH_MOTION_PARAMETERS).splitlines()
    names = [line.split("|")[1].strip(" `") for line in lines[2:]]
    assert names == [parameter.name for parameter in DEPTH_MOTION_PARAMETERS]


RATE = Parameter("rate", 10.0, "how often", unit="Hz", minimum=0.5, maximum=100.0)


@pytest.mark.parametrize("value", [0.5, 100.0, 30])
def test_bounds_are_allowed_and_whole_numbers_serve_a_double(value: float) -> None:
    checked = RATE.check(value)
    assert checked == value
    assert isinstance(checked, float)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0.4, r"rate = 0\.4 Hz: must be 0\.5 … 100 Hz"),
        (float("nan"), "rate = nan Hz"),
        (float("inf"), "rate = inf Hz"),
        ("fast", r"rate must be a double, got 'fast' \(str\)"),
        (True, r"rate must be a double, got True \(bool\)"),
        (None, "rate must be a double, got None"),
    ],
)
def test_a_refusal_names_the_value_and_what_is_allowed(value: object, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        RATE.check(value)


def test_a_choice_is_refused_with_the_choices() -> None:
    parameter = Parameter("qos", "auto", "which", choices=("auto", "reliable"))
    with pytest.raises(ParameterError, match=r"'fast': must be one of auto \| reliable"):
        parameter.check("fast")


def test_a_list_has_its_length_and_finite_entries() -> None:
    parameter = Parameter("xyz", [0.0, 0.0, 0.0], "where", unit="m", length=3)
    assert parameter.check((1, 2.5, 3)) == [1.0, 2.5, 3.0]
    with pytest.raises(ParameterError, match="must have 3 numbers, got 2"):
        parameter.check([1.0, 2.0])
    with pytest.raises(ParameterError, match="must be finite"):
        parameter.check([1.0, float("nan"), 2.0])


def test_engine_choices_are_those_of_the_engines() -> None:
    from depth_motion_ros.engines import select

    choices = {parameter.name: parameter.choices for parameter in DEPTH_MOTION_PARAMETERS}
    assert choices["engine"] == select.ENGINES
    assert choices["precision"] == select.PRECISIONS


# No user can know better values than those measured, or the value is said by other parameters, or
# by the weights.
INTERNAL = {"lost_ratio", "min_valid", "intrinsics_window", "base_from_camera", "unit"}
# 0 leaves these to the weights file.
OF_THE_WEIGHTS = {"depth_error"}
RENAMED = {"min_flow_speed": "object_flow_threshold", "min_flow_ratio": "object_flow_ratio"}


def test_every_setting_of_the_estimator_is_a_parameter_with_the_same_default_and_meaning() -> None:
    table = {parameter.name: parameter for parameter in DEPTH_MOTION_PARAMETERS}
    settings = {field.name: field for field in fields(EstimatorSettings)}
    assert settings.keys() >= INTERNAL
    for name, field in settings.items():
        if name in INTERNAL:
            continue
        parameter = table[RENAMED.get(name, name)]
        # An unknown scale is None there and 0 here: a parameter has one type.
        default = 0.0 if name in OF_THE_WEIGHTS else field.default or type(parameter.default)(0)
        assert parameter.default == default, name
        low, high = field.metadata.get("range", (-math.inf, math.inf))
        if parameter.minimum is not None:
            assert low <= parameter.minimum, name
            assert parameter.maximum <= high, name
        assert set(parameter.choices) == set(field.metadata.get("choices", ())), name


def test_every_parameter_reaches_the_estimator() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    from depth_motion_ros.nodes.perception.pipeline import estimator_settings

    defaults = {parameter.name: parameter.default for parameter in DEPTH_MOTION_PARAMETERS}
    for name, field in {field.name: field for field in fields(EstimatorSettings)}.items():
        if "range" not in field.metadata or name in INTERNAL:
            continue
        # Half the default, and half a metre for the height, is allowed for each of them.
        value = 0.5 * field.default or 0.5
        config = {**defaults, RENAMED.get(name, name): value}
        assert getattr(estimator_settings(config), name) == value


def test_what_the_weights_say_about_their_depth_holds_until_a_parameter_says_otherwise() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    from depth_motion_ros.nodes.perception.pipeline import estimator_settings

    config = {parameter.name: parameter.default for parameter in DEPTH_MOTION_PARAMETERS}
    assert estimator_settings(config).depth_error == EstimatorSettings().depth_error
    assert estimator_settings(config, depth_error=0.17).depth_error == 0.17
    stated = {**config, "depth_error": 0.08}
    assert estimator_settings(stated, depth_error=0.17).depth_error == 0.08
