"""What a parameter file gives a node, by the rules of rcl_yaml_param_parser and rclpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from depth_motion_ros.launching.errors import LaunchError

PARAMETERS = "ros__parameters"


def parameters_of_node(path: str, node: str, argument: str = "params_file") -> dict[str, Any]:
    """The parameters that the file ``path`` gives the node of this full name, nested ones by dots.

    node: such as /robot1/depth_motion. argument: for the messages.

    A key names nodes: ``/**`` all, ``*`` one word of a name, ``**`` any number of them; keys may be
    nested (robot1: {depth_motion: {ros__parameters: ...}}). The last one that fits wins.

    Raises LaunchError where the file is missing, is no parameter file, or has nothing for the node:
    ROS takes such a file without a word.
    """
    values: dict[str, Any] = {}
    keys: list[str] = []
    fits = False
    for key, parameters in _sections(_read(path, argument), path, argument):
        keys.append(key)
        if _fits(key.split("/"), node.strip("/").split("/")):
            fits = True
            values.update(_flat(parameters))
    if not fits:
        written = f"is for {', '.join(keys)}" if keys else "names no node"
        raise LaunchError(
            f"{argument}:={path} {written}, and so has nothing for {node}: "
            f"begin it with `/**:` or `{node}:`, and below that `{PARAMETERS}:`"
        )
    return values


def _read(path: str, argument: str) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LaunchError(f"{argument}:={path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchError(f"{argument}:={path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise LaunchError(f"{argument}:={path}: is no YAML: {where}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise LaunchError(
            f"{argument}:={path}: must be a mapping of node names, not a {type(document).__name__}"
        )
    return document


def _sections(
    document: Mapping[Any, Any], path: str, argument: str, above: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Key, without a leading slash, and parameters of every section of the file."""
    for key, below in document.items():
        if key == PARAMETERS:
            if not isinstance(below, dict):
                raise LaunchError(
                    f"{argument}:={path}: {PARAMETERS} of {above or 'no node'} must be a mapping "
                    f"of names to values, not {below!r}"
                )
            yield above, below
        elif isinstance(below, dict):
            yield from _sections(below, path, argument, f"{above}/{str(key).strip('/')}".strip("/"))
        else:
            name = f"{above}/{key}".strip("/")
            raise LaunchError(
                f"{argument}:={path}: {name} stands outside of any {PARAMETERS}: indent it below "
                f"`/**:` and `{PARAMETERS}:`"
            )


def _fits(pattern: list[str], name: list[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return any(_fits(pattern[1:], name[count:]) for count in range(len(name) + 1))
    return bool(name) and pattern[0] in ("*", name[0]) and _fits(pattern[1:], name[1:])


def _flat(parameters: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in parameters.items():
        full = f"{above}{name}"
        values.update(_flat(value, f"{full}.") if isinstance(value, dict) else {full: value})
    return values
