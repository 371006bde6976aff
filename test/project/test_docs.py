"""What the documents say of names, files and limits is true of the code."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.pages import DOCS, granted, read

from depth_motion_ros.cli.demo.recording import TOPICS
from depth_motion_ros.cli.main import COMMANDS
from depth_motion_ros.launching.camera_arguments import CAMERA_ARGUMENTS as LAUNCH_ARGUMENTS
from depth_motion_ros.launching.fusion import FUSION_ARGUMENTS
from depth_motion_ros.launching.replay import REPLAY_ARGUMENTS
from depth_motion_ros.models.weights import MAX_BYTES
from depth_motion_ros.nodes.adaptation.parameters import ADAPTATION_PARAMETERS
from depth_motion_ros.nodes.camera.parameters import CAMERA_PARAMETERS
from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.share import ALLOCATOR, config_file
from depth_motion_ros.sources.encodings import MOST_PIXELS
from depth_motion_ros.sources.sequence import reader as sequence
from depth_motion_ros.training.recipe import Recipe

if TYPE_CHECKING:
    from support.ros_harness import Ros

try:
    import rclpy  # noqa: F401

    pytest_plugins = ["support.ros_harness"]
    HAS_ROS = True
except ImportError:
    HAS_ROS = False

ROOT = DOCS.parent
PAGES = sorted(DOCS.rglob("*.md"))
GENERATED = DOCS / "reference" / "parameters.md"
ALSO = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
RESEARCH = sorted((ROOT / "research").glob("*.md"))
# Where two nodes have a parameter of one name, that of depth_motion_node has more choices.
PARAMETERS = {
    p.name: p for p in (*ADAPTATION_PARAMETERS, *CAMERA_PARAMETERS, *DEPTH_MOTION_PARAMETERS)
}
# Values of /diagnostics, and parameters of other packages.
NOT_OURS = {
    "intrinsics",
    "metric",
    "tracking",
    "weights_version",
    "engine_reason",
    "enable_odom_tf",
}
LAUNCH_FILES = {
    f"{name}.launch.py": {argument.name for argument in arguments}
    for name, arguments in (
        ("camera", LAUNCH_ARGUMENTS), ("fusion", FUSION_ARGUMENTS), ("replay", REPLAY_ARGUMENTS),
    )
}  # fmt: skip


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
each_text = pytest.mark.parametrize("page", [*PAGES, *ALSO], ids=name_of)


def anchors(text: str) -> set[str]:
    """The fragments that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *ALSO, *RESEARCH], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target, fragment in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text_of(page)):
        if target.startswith("http"):
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        if fragment:
            assert fragment in anchors(text_of(file)), f"{target}#{fragment}"


def test_the_index_names_every_page() -> None:
    linked = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)]+)\)", read("index"))}
    assert {page for page in PAGES if page.name != "index.md"} <= linked


def test_user_pages_stay_short() -> None:
    lines = {page: len(text_of(page).splitlines()) for page in PAGES}
    assert sum(lines.values()) <= 1100, f"{sum(lines.values())} lines"
    assert lines[DOCS / "reference" / "weights.md"] <= 60


@pytest.mark.parametrize("page", [p for p in PAGES if p != GENERATED], ids=name_of)
def test_user_pages_are_no_laboratory_log(page: Path) -> None:
    """Dates, former weights and what was tried live in research/."""
    allowed = {"lite-6", "lite-free-1"} if page.stem == "weights" else set()
    log = r"lite-(?:free-)?\d+|\b20[2-9]\d-\d\d|\b(?:November|December) 20\d\d|was tried|were tried"
    assert set(re.findall(log, text_of(page))) <= allowed


@each_text
def test_parameters_and_their_values_exist(page: Path) -> None:
    for name, value in re.findall(r"`(?:-p )?([a-z_]+):(?:=| )([a-z0-9_]+)`", text_of(page)):
        if name in NOT_OURS or any(name in given for given in LAUNCH_FILES.values()):
            continue
        assert name in PARAMETERS, name
        choices = PARAMETERS[name].choices
        assert not choices or value in choices, f"{name}: {value}"
    for name, value in re.findall(r"(MALLOC_[A-Z_]+)=(\d+)", text_of(page)):
        assert ALLOCATOR[name] == value
    for name in re.findall(r"config/([a-z0-9_]+\.[a-z]+)", text_of(page)):
        assert config_file(name).is_file()


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=command)
    importlib.import_module(COMMANDS[command].module).add_arguments(parser)
    return parser


@each_text
def test_commands_and_their_options_exist(page: Path) -> None:
    text = text_of(page)
    for command, rest in re.findall(
        r"`(?:ros2 run depth_motion_ros )?depth_motion ([a-z]+)([^`\n]*)`", text
    ):
        assert command in COMMANDS, command
        known = {option for a in parser_of(command)._actions for option in a.option_strings}
        assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= known, command + rest
    for command, rest in re.findall(r"^    depth_motion ([a-z]+)([^#\n]*)", text, re.MULTILINE):
        try:
            parser_of(command).parse_args(shlex.split(rest))
        except SystemExit:
            pytest.fail(f"depth_motion {command}{rest} is no valid command line")


@each_text
def test_make_targets_and_benchmarks_exist(page: Path) -> None:
    makefile = text_of(ROOT / "Makefile")
    for target in set(
        re.findall(r"\bmake ([a-z]+)\b(?=[\s`]*(?:[A-Z]+=|`|#|$))", text_of(page), re.M)
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for what in set(re.findall(r"make bench WHAT=([a-z_]+)", text_of(page))):
        assert importlib.util.find_spec(f"benchmarks.{what}"), what


@each_text
def test_launch_files_and_their_arguments_exist(page: Path) -> None:
    for line in re.findall(r"ros2 launch depth_motion_ros (.*)", text_of(page)):
        name, *arguments = line.split("`")[0].split()
        for argument in arguments:
            if ":=" in argument:
                key = argument.partition(":=")[0]
                assert key in LAUNCH_FILES[name], argument


@each_text
def test_recipe_keys_exist(page: Path) -> None:
    recipe = Recipe()
    sections = "|".join(field.name for field in fields(Recipe))
    for section, key in re.findall(rf"`(?:--set )?({sections})\.([a-z_]+)", text_of(page)):
        assert hasattr(getattr(recipe, section), key), f"{section}.{key}"


def test_the_folders_and_files_of_the_architecture_exist() -> None:
    paths = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", read("explanation/architecture"))
    assert len(paths) > 10
    places = (ROOT / "depth_motion_ros", ROOT)
    assert [path for path in paths if not any((top / path).exists() for top in places)] == []


def test_every_output_is_in_the_reference_of_topics() -> None:
    text = read("reference/topics")
    assert [topic for topic in TOPICS if f"`{topic}`" not in text] == []


def test_the_limits_are_those_of_the_code() -> None:
    text = read("reference/security")
    assert f"at most {MAX_BYTES // 1_000_000} MB" in text
    assert f"more than {MOST_PIXELS // 1_000_000} million pixels" in text
    assert f"more than {sequence._MOST_MOTION_BYTES // 1_000_000} MB" in text
    for path in re.findall(r"`(test/[a-z_/]+\.py)`", text):
        assert (ROOT / path).is_file(), path


def test_every_trouble_has_a_symptom_a_check_and_a_fix() -> None:
    rows = [line for line in read("how-to/troubleshoot").splitlines() if re.match(r"\| \d", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(len(row.split(" | ")) == 4 for row in rows)


@pytest.mark.skipif(not HAS_ROS, reason="needs ROS 2 (a sourced one, or the wheels)")
def test_policy_and_diagnostics_are_those_of_the_running_node(ros: Ros) -> None:
    """Every topic, service and value that the node has is granted and explained."""
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from depth_motion_ros.nodes.ros import messages

    diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
    ros.start("depth_motion_node", {"engine": "torch", "input_width": 64, "input_height": 32})
    ros.wait(lambda: ros.node.count_subscribers("/image"), "the node to be active")
    ros.wait(lambda: len(diagnostics) > 2, "diagnostics")
    node, name = ros.node, "depth_motion"
    published = {t for t, _ in node.get_publisher_names_and_types_by_node(name, "/")}
    heard = {t for t, _ in node.get_subscriber_names_and_types_by_node(name, "/")}
    offered = {t for t, _ in node.get_service_names_and_types_by_node(name, "/")}
    # What a parameter adds: TF, the clock of a simulation, the other transport.
    assert granted(name, "topics", "publish") - published == {"/tf", "/tf_static"}
    assert published <= granted(name, "topics", "publish")
    assert granted(name, "topics", "subscribe") - heard == {
        "/clock", "/tf", "/tf_static", "/image/compressed",
    }  # fmt: skip
    assert heard <= granted(name, "topics", "subscribe")
    # Humble has no get_type_description.
    assert granted(name, "services", "reply") - offered <= {"/depth_motion/get_type_description"}
    assert offered <= granted(name, "services", "reply")

    # Most values come with the first frames.
    ros.listen(Image, "/depth/image")
    images = ros.node.create_publisher(Image, "/image", 10)

    def served() -> bool:
        now = ros.node.get_clock().now().to_msg()
        pixels = np.zeros((48, 64, 3), np.uint8)
        images.publish(messages.rgb_image(Header(stamp=now, frame_id="eye"), pixels))
        return any(pair.key == "scale" for pair in diagnostics[-1].status[0].values)

    ros.wait(served, "a frame to be served")
    text = read("reference/diagnostics")
    for pair in diagnostics[-1].status[0].values:
        key = pair.key.partition("/")[0]
        if key.startswith("cpu_"):
            key = key.replace("_p95", "")
        assert f"`{key}`" in text, key
