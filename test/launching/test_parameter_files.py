"""Which parameters a file gives a node: as rclpy reads it, which one test asks itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from depth_motion_ros.launching.errors import LaunchError
from depth_motion_ros.launching.parameter_files import parameters_of_node

HERE = {"ros__parameters": {"a": 1}}
# Document, and the nodes among NODES that it is for.
NODES = ("/depth_motion", "/front/depth_motion")
DOCUMENTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "name": ({"depth_motion": HERE}, NODES[:1]),
    "full name": ({"/front/depth_motion": HERE}, NODES[1:]),
    "full name without a slash": ({"front/depth_motion": HERE}, NODES[1:]),
    "nested": ({"front": {"depth_motion": HERE}}, NODES[1:]),
    "nested with a slash": ({"/front": {"depth_motion": HERE}}, NODES[1:]),
    "all": ({"/**": HERE}, NODES),
    "one word": ({"/*": HERE}, NODES[:1]),
    "any namespace of one word": ({"/*/depth_motion": HERE}, NODES[1:]),
    "any namespace": ({"/**/depth_motion": HERE}, NODES),
    "nested in all": ({"/**": {"depth_motion": HERE}}, NODES),
    "any node of a namespace": ({"/front/*": HERE}, NODES[1:]),
    "another node": ({"camera": HERE}, ()),
}


def write(folder: Path, document: object) -> str:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_section_is_for_the_nodes_that_its_key_names(
    name: str, node: str, tmp_path: Path
) -> None:
    document, nodes = DOCUMENTS[name]
    path = write(tmp_path, document)
    if node in nodes:
        assert parameters_of_node(path, node) == {"a": 1}
    else:
        with pytest.raises(LaunchError, match=f"has nothing for {node}: begin it with"):
            parameters_of_node(path, node)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_rclpy_reads_the_same(name: str, tmp_path: Path) -> None:
    rclpy = pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    document, nodes = DOCUMENTS[name]
    path = write(tmp_path, document)
    context = rclpy.context.Context()
    rclpy.init(args=["--ros-args", "--params-file", path], context=context)
    try:
        for full in NODES:
            namespace, _, base = full.rpartition("/")
            node = rclpy.create_node(
                base, namespace=namespace or "/", context=context,
                automatically_declare_parameters_from_overrides=True,
            )  # fmt: skip
            assert node.has_parameter("a") == (full in nodes), full
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_the_last_section_that_fits_wins_and_nested_names_have_dots(tmp_path: Path) -> None:
    first = {"ros__parameters": {"a": 1, "group": {"b": 2}}}
    document = {"/depth_motion": first, "/**": {"ros__parameters": {"a": 3}}}
    path = write(tmp_path, document)
    assert parameters_of_node(path, "/depth_motion") == {"a": 3, "group.b": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "must be a mapping of node names, not a list"),
        ("hello\n", "must be a mapping of node names, not a str"),
        ("", "names no node"),
        ("max_depth: 5.0\n", "max_depth stands outside of any ros__parameters"),
        ("/**:\n  max_depth: 5.0\n", r"\*\*/max_depth stands outside"),
        ("/**:\n  ros__parameters:\n  - a\n", r"must be a mapping of names to values, not \['a'\]"),
        ("/**: [\n", "is no YAML"),
    ],
)
def test_what_is_no_parameter_file_is_refused_in_one_line(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LaunchError, match=said) as refused:
        parameters_of_node(str(path), "/depth_motion")
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named_with_its_argument() -> None:
    with pytest.raises(LaunchError, match=r"ekf_params_file:=/nix.yaml: there is no such file"):
        parameters_of_node("/nix.yaml", "/ekf_filter_node", "ekf_params_file")
