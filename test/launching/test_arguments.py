"""Launch arguments are read strictly, and a slip of the pen is answered with what was meant."""

from __future__ import annotations

import pytest

from depth_motion_ros.launching.arguments import (
    AUTO_BOOLEAN,
    BOOLEAN,
    CHOICE,
    NAMESPACE,
    NUMBER,
    PREFIX,
    TOPIC,
    Argument,
    read_arguments,
    refuse_unknown_arguments,
)
from depth_motion_ros.launching.camera_arguments import CAMERA_ARGUMENTS
from depth_motion_ros.launching.errors import LaunchError


def argument(kind: str, default: str | None = "", choices: tuple[str, ...] = ()) -> Argument:
    return Argument("it", default, "what it is", kind, choices)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (BOOLEAN, "true", True),
        (BOOLEAN, "True", True),
        (BOOLEAN, "1", True),
        (BOOLEAN, "false", False),
        (BOOLEAN, "0", False),
        (AUTO_BOOLEAN, "", None),
        (AUTO_BOOLEAN, "false", False),
        (NUMBER, "", None),
        (NUMBER, "0.5", 0.5),
        (NAMESPACE, "", ""),
        (NAMESPACE, "/fleet/robot_1", "/fleet/robot_1"),
        (TOPIC, "/cam/image_raw", "/cam/image_raw"),
        (TOPIC, "image", "image"),
        (PREFIX, "robot1/", "robot1/"),
    ],
)
def test_a_valid_text_is_read(kind: str, text: str, value: object) -> None:
    assert argument(kind).read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (BOOLEAN, "yes"),
        (BOOLEAN, "maybe"),
        (BOOLEAN, ""),
        (AUTO_BOOLEAN, "auto"),
        (NUMBER, "fast"),
        (NUMBER, "0"),
        (NUMBER, "-1"),
        (NUMBER, "nan"),
        (NUMBER, "inf"),
        (NAMESPACE, "robot-1"),
        (NAMESPACE, "a//b"),
        (TOPIC, "/cam/image raw"),
        (TOPIC, "/cam/"),
        (PREFIX, "/robot1/"),
    ],
)
def test_an_invalid_one_is_refused_with_its_name_and_value(kind: str, text: str) -> None:
    with pytest.raises(LaunchError) as refused:
        argument(kind).read(text)
    assert str(refused.value).startswith(f"it:={text}: must be ")


def test_an_empty_topic_is_refused_unless_that_is_its_default() -> None:
    assert argument(TOPIC).read("") == ""
    with pytest.raises(LaunchError, match="topic"):
        argument(TOPIC, "image").read("")


def test_a_choice_is_read_in_any_case_and_a_slip_is_answered() -> None:
    level = argument(CHOICE, "info", ("debug", "info", "warn"))
    assert level.read("DEBUG") == "debug"
    with pytest.raises(LaunchError, match=r"it:=warning: must be one of .*did you mean warn\?"):
        level.read("warning")
    with pytest.raises(LaunchError, match="it:=: must be"):
        level.read("")
    assert argument(CHOICE, "", ("raw",)).read("") == ""


def test_what_must_be_given_is_asked_for() -> None:
    with pytest.raises(LaunchError, match="it:= is missing: what it is"):
        read_arguments([argument(BOOLEAN, None)], {})


def test_defaults_serve_for_what_is_not_given_and_foreign_ones_are_left_alone() -> None:
    assert read_arguments([argument(BOOLEAN, "true")], {"theirs": "x"}) == {"it": True}


@pytest.mark.parametrize("argument", CAMERA_ARGUMENTS, ids=lambda argument: argument.name)
def test_every_argument_has_a_description_and_a_valid_default(argument: Argument) -> None:
    assert argument.description
    assert argument.default is not None
    argument.read(argument.default)


COMMAND = ["/opt/ros/bin/ros2", "launch", "depth_motion_ros", "camera.launch.py"]


@pytest.mark.parametrize(
    ("word", "meant"), [("adaptaton:=true", "adaptation"), ("param_file:=x.yaml", "params_file")]
)
def test_a_mistyped_argument_on_the_command_line_is_refused(word: str, meant: str) -> None:
    with pytest.raises(LaunchError, match=rf"no argument .*; did you mean {meant}\?"):
        refuse_unknown_arguments("/x/camera.launch.py", CAMERA_ARGUMENTS, [*COMMAND, word])


def test_one_that_resembles_none_is_refused_as_well() -> None:
    with pytest.raises(LaunchError, match="--show-args"):
        refuse_unknown_arguments("/x/camera.launch.py", CAMERA_ARGUMENTS, [*COMMAND, "qqq:=1"])


def test_arguments_of_a_file_that_includes_this_one_are_its_own_affair() -> None:
    words = ["ros2", "launch", "my_robot", "bringup.launch.py", "images:=all"]
    refuse_unknown_arguments("/x/camera.launch.py", CAMERA_ARGUMENTS, words)
