"""What a node was started with, where ROS refuses it: one sentence in place of a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

_VALUES = ("-p", "--param")
_FILES = ("--params-file",)
# Where in rcl's own sources a message comes from; and what it repeats.
_SOURCE = re.compile(r",? at [^ ]+\.c:\d+")


def explain_refusal(error: Exception, arguments: Sequence[str]) -> str:
    """Why rcl does not take the arguments of a node.

    rcl refuses lists of several types, and of a parameter file it names the line alone.
    """
    mixed = [
        f"{name}{where} is {value}; all entries of a list must be of one type{_hint(value)}"
        for name, value, where in _given(arguments)
        if isinstance(value, list) and len({_type_of(entry) for entry in value}) > 1
    ]
    if mixed:
        return "; ".join(mixed)
    text = _SOURCE.sub("", str(error)).strip()
    return text.removeprefix("failed to initialize rcl: ") or type(error).__name__


def _type_of(entry: Any) -> type:
    """PyYAML reads 1e-3 as text, rcl as a number."""
    try:
        return float if isinstance(entry, str) and float(entry) is not None else type(entry)
    except ValueError:
        return str


def _hint(value: list[Any]) -> str:
    if all(isinstance(entry, (int, float)) and not isinstance(entry, bool) for entry in value):
        return f": write {[float(entry) for entry in value]}"
    return ""


def _given(arguments: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """(name, value, where it stands) of the parameters on the command line and in files."""
    for option, word in pairwise(arguments):
        if option in _VALUES and ":=" in word:
            name, _, text = word.partition(":=")
            yield name.rpartition(":")[2], _read(text), ""
        elif option in _FILES:
            try:
                text = Path(word).expanduser().read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # rcl's own message says it
            yield from _leaves(_read(text), "", f" in {word}")


def _leaves(node: Any, name: str, where: str) -> Iterator[tuple[str, Any, str]]:
    if not isinstance(node, dict):
        yield name, node, where
        return
    for key, value in node.items():
        inner = "" if key == "ros__parameters" else f"{name}.{key}".lstrip(".")
        yield from _leaves(value, inner, where)


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
