"""Parameters declared once: the node, its YAML file and the README table come from one list.

This module imports no ROS at load time, so the renderings can be checked on any machine.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
    from rclpy.node import Node

LIVE, CONFIGURE, START = "live", "configure", "start"
_WHEN = {
    LIVE: "any time",
    CONFIGURE: "while unconfigured",
    START: "at start only",
}
# Parameters that every node of ROS 2 has.
_OF_ROS = ("use_sim_time", "start_type_description_service")
_PREFIX_OF_ROS = "qos_overrides."
# Likeness (difflib's ratio) from which one name is a slip of the pen for another.
_RESEMBLES = 0.8
Value = bool | int | float | str | list[float]


class ParameterError(ValueError):
    """A value is out of range or of the wrong kind; the message names it and what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node.

    default: its type is the parameter's type; a list of floats is a double array.
    changes: when a new value is accepted: ``live`` (any time), ``configure`` (while the node
        is unconfigured; other values are read by the next configure), ``start`` (never later).
    minimum, maximum: inclusive bounds of a number, or of every entry of a list.
    choices: the allowed strings; empty = any.
    length: of a list.
    """

    name: str
    default: Value
    description: str
    changes: str = CONFIGURE
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    length: int | None = None

    @property
    def type_name(self) -> str:
        if isinstance(self.default, list):
            return "double array"
        kinds = {bool: "bool", int: "integer", float: "double", str: "string"}
        return kinds[type(self.default)]

    @property
    def range_text(self) -> str:
        """The allowed values in words, empty where there is no bound."""
        if self.choices:
            return " | ".join(self.choices)
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{low:g} … {high:g}"
        if low is not None:
            return f"≥ {low:g}"
        return f"≤ {high:g}" if high is not None else ""

    def check(self, value: Any) -> Value:
        """The value in the parameter's type, or ParameterError saying why it is refused."""
        if isinstance(self.default, list):
            return self._check_list(value)
        wanted = type(self.default)
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not wanted:
            raise ParameterError(
                f"{self.name} must be a {self.type_name}, got {value!r} ({type(value).__name__})"
            )
        if isinstance(value, str):
            if self.choices and value not in self.choices:
                raise ParameterError(f"{self.name} = {value!r}: must be one of {self.range_text}")
        elif not isinstance(value, bool):
            self._check_number(value)
        return value  # type: ignore[no-any-return]

    def _check_list(self, value: Any) -> list[float]:
        entries = [float(entry) for entry in value]
        if self.length is not None and len(entries) != self.length:
            raise ParameterError(
                f"{self.name} must have {self.length} numbers, got {len(entries)}: {entries}"
            )
        for entry in entries:
            self._check_number(entry)
        return entries

    def _check_number(self, value: float) -> None:
        low, high = self.minimum, self.maximum
        if (
            not math.isfinite(value)
            or (low is not None and value < low)
            or (high is not None and value > high)
        ):
            unit = f" {self.unit}" if self.unit else ""
            allowed = self.range_text or "finite"
            raise ParameterError(f"{self.name} = {value:g}{unit}: must be {allowed}{unit}")

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` and the sliders of rqt show.

        Typing is left to ``check``, so that a whole number in YAML can serve a double.
        """
        from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

        unit = f" [{self.unit}]" if self.unit else ""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=f"{self.description}{unit}",
            additional_constraints="; ".join(
                part for part in (self.range_text, f"changes {_WHEN[self.changes]}") if part
            ),
            dynamic_typing=True,
        )
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=self.minimum, to_value=self.maximum)
                ]
            elif isinstance(self.default, int):
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum))
                ]
        return descriptor


class ParameterServer:
    """Declares a list of parameters on a node and keeps their checked values.

    can_configure: tells whether ``configure`` parameters may change now.
    on_change: called with all values, changed ones included, before a ``live`` change is adopted;
        a ValueError refuses it.

    Raises ParameterError when an override given at the start is refused.
    """

    def __init__(
        self,
        node: Node,
        parameters: Sequence[Parameter],
        can_configure: Callable[[], bool],
        on_change: Callable[[Mapping[str, Value]], None],
    ) -> None:
        from rclpy.exceptions import InvalidParameterValueException

        self._table = {parameter.name: parameter for parameter in parameters}
        self._values: dict[str, Value] = {}
        # Of a private name, for want of another: what files and the command line say.
        given = getattr(node, "_parameter_overrides", {})
        for name, hint in unknown_names(given, self._table).items():
            if hint:
                raise ParameterError(f"{name}: there is no such parameter; did you mean {hint}?")
            node.get_logger().warning(f"{name}: this node has no such parameter; it is ignored")
        self._can_configure = can_configure
        self._on_change = on_change
        for parameter in parameters:
            descriptor = parameter.descriptor()
            try:
                if parameter.name in given:
                    # Before rclpy does, whose message does not say what is allowed.
                    parameter.check(given[parameter.name].value)
                declared: Any = node.declare_parameter(
                    parameter.name, parameter.default, descriptor
                )
                self._values[parameter.name] = parameter.check(declared.value)
            except (InvalidParameterValueException, TypeError, ValueError) as error:
                raise ParameterError(str(error)) from error
        node.add_on_set_parameters_callback(self._on_set)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def snapshot(self) -> dict[str, Any]:
        """All values as they are now."""
        return dict(self._values)

    def _on_set(self, changes: list[Any]) -> SetParametersResult:
        from rcl_interfaces.msg import SetParametersResult

        accepted: dict[str, Value] = {}
        live = False
        try:
            for change in changes:
                parameter = self._table.get(change.name)
                if parameter is None:
                    continue
                value = parameter.check(change.value)
                if value != self._values[change.name]:
                    self._check_moment(parameter)
                    live = live or parameter.changes == LIVE
                accepted[change.name] = value
            if live:
                self._on_change({**self._values, **accepted})
        except (ParameterError, TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values.update(accepted)
        return SetParametersResult(successful=True)

    def _check_moment(self, parameter: Parameter) -> None:
        if parameter.changes == START:
            raise ParameterError(f"{parameter.name} is read once at the start: restart the node")
        if parameter.changes == CONFIGURE and not self._can_configure():
            raise ParameterError(
                f"{parameter.name} is read by configure: deactivate and clean up the node first"
            )


def unknown_names(given: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Those of ``given`` that are no parameters, each with the one that may be meant, or "".

    One that resembles none may be for another node: a section ``/**`` of a file reaches them all.
    """
    known = list(known)
    unknown = {}
    for name in given:
        if name not in known and name not in _OF_ROS and not name.startswith(_PREFIX_OF_ROS):
            close = difflib.get_close_matches(name, known, n=1, cutoff=_RESEMBLES)
            unknown[name] = close[0] if close else ""
    return unknown


def render_yaml(parameters: Iterable[Parameter], title: str) -> str:
    """A commented parameter file with every default, for ``--params-file``."""
    lines = [f"# {title}: every parameter with its default.", "/**:", "  ros__parameters:"]
    for parameter in parameters:
        notes = [parameter.range_text, parameter.unit, f"changes {_WHEN[parameter.changes]}"]
        lines.append(f"    # {parameter.description}")
        lines.append(f"    # ({'; '.join(note for note in notes if note)})")
        lines.append(f"    {parameter.name}: {_yaml_value(parameter.default)}")
    return "\n".join(lines) + "\n"


def render_markdown(parameters: Iterable[Parameter]) -> str:
    """The table of the README."""
    lines = [
        "| parameter | type | default | range | unit | changes | description |",
        "|---|---|---|---|---|---|---|",
    ]
    for parameter in parameters:
        cells = (
            f"`{parameter.name}`",
            parameter.type_name,
            f"`{_yaml_value(parameter.default)}`",
            parameter.range_text.replace("|", "\\|"),
            parameter.unit,
            _WHEN[parameter.changes],
            parameter.description.replace("|", "\\|"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _yaml_value(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_yaml_value(entry) for entry in value) + "]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)
