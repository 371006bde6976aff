"""Parameters: one declaration, checked values, and files that equal it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from depth_motion_ros.nodes.adaptation.parameters import ADAPTATION_PARAMETERS
from depth_motion_ros.nodes.camera.parameters import CAMERA_PARAMETERS
from depth_motion_ros.nodes.perception.parameters import (
    DEPTH_MOTION_PARAMETERS,
    ESTIMATOR_PARAMETERS,
)
from depth_motion_ros.nodes.tools.render_parameters import render_markdown, render_yaml

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


def test_engine_choices_are_those_of_the_engines() -> None:
    from depth_motion_ros.engines import select

    choices = {parameter.name: parameter.choices for parameter in DEPTH_MOTION_PARAMETERS}
    assert choices["engine"] == select.ENGINES
    assert choices["precision"] == select.PRECISIONS


def test_every_parameter_reaches_the_estimator() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    from depth_motion_ros.nodes.perception.pipeline import estimator_settings

    defaults = {parameter.name: parameter.default for parameter in DEPTH_MOTION_PARAMETERS}
    for name in ESTIMATOR_PARAMETERS:
        default = defaults[name]
        if isinstance(default, float):
            # Half the default, and half a metre for the height, is allowed for each of them.
            value: Any = 0.5 * default or 0.5
        elif isinstance(default, bool):
            value = not default
        else:
            continue
        assert getattr(estimator_settings({**defaults, name: value}), name) == value


def test_what_the_weights_state_of_their_depth_holds_until_a_parameter_says_otherwise() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    from depth_motion_ros.nodes.perception.pipeline import estimator_settings

    config = {parameter.name: parameter.default for parameter in DEPTH_MOTION_PARAMETERS}
    assert estimator_settings(config).depth_relative_std == 0.3
    stated = {"depth_relative_std": "0.17", "unit": "10"}
    assert estimator_settings(config, stated).depth_relative_std == 0.17
    assert estimator_settings(config, stated).unit == 10.0
    config["depth_relative_std"] = 0.08
    assert estimator_settings(config, stated).depth_relative_std == 0.08


@pytest.mark.parametrize("name", ["rat", "robot_width"])
def test_a_name_that_does_not_exist_is_refused_as_misspelled_or_reported(name: str) -> None:
    rclpy = pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    from depth_motion_ros.nodes.ros.parameters import ParameterError, ParameterServer

    context = rclpy.Context()
    given = [f"{name}:=3.0", "rate:=20.0", "use_sim_time:=false", "qos_overrides./tf.x:=1"]
    arguments = ["--ros-args", *(word for value in given for word in ("-p", value))]
    rclpy.init(args=arguments, context=context)
    node = rclpy.create_node("misspelled", context=context)
    said: list[str] = []
    node.get_logger().warning = said.append
    try:
        if name == "rat":
            with pytest.raises(ParameterError, match="'rat'; did you mean 'rate'"):
                ParameterServer(node, CAMERA_PARAMETERS, lambda: True, lambda _: None)
            assert said == []
        else:
            server = ParameterServer(node, CAMERA_PARAMETERS, lambda: True, lambda _: None)
            assert server["rate"] == 20.0
            [warning] = said
            assert warning.startswith("unknown parameter 'robot_width'")
            assert warning.endswith("it is ignored")
    finally:
        node.destroy_node()
        context.shutdown()
