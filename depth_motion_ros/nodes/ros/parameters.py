"""ROS parameters from settings: declared, described and checked.

ROS is imported where it is used, so that the tables of parameters can be read on any machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from depth_motion_ros.settings import (
    CONFIGURE,
    LIVE,
    START,
    Setting,
    SettingsError,
    UnknownSettingError,
    Value,
)

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
    from rclpy.node import Node

# Declared by rclpy itself, by some of its versions after the node's own.
_OF_RCLPY = ("use_sim_time", "start_type_description_service")
# Likeness (difflib's ratio) from which one name is taken for a misspelling of another.
_RESEMBLES = 0.8


class ParameterError(SettingsError):
    """A node cannot start with its parameters, or refuses a change; the message says why."""


def descriptor_of(setting: Setting) -> ParameterDescriptor:
    """What ``ros2 param describe`` and the sliders of rqt show.

    Typing is left to ``Setting.check``, so that a whole number in YAML can serve a double.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    unit = f" [{setting.unit}]" if setting.unit else ""
    constraints = (setting.range_text, f"changes {setting.changes_text}")
    descriptor = ParameterDescriptor(
        name=setting.name,
        description=f"{setting.description}{unit}",
        additional_constraints="; ".join(part for part in constraints if part),
        dynamic_typing=True,
    )
    low, high = setting.minimum, setting.maximum
    if low is not None and high is not None:
        if isinstance(setting.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif isinstance(setting.default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor


class ParameterServer:
    """Declares a list of parameters on a node and keeps their checked values.

    can_configure: returns whether ``configure`` parameters may change now.
    on_change: called with all values, changed ones included, before a ``live`` change is adopted;
        a ValueError refuses it.

    Raises ParameterError when a value given at the start is refused, or a name is misspelled.
    """

    def __init__(
        self,
        node: Node,
        parameters: Sequence[Setting],
        can_configure: Callable[[], bool],
        on_change: Callable[[Mapping[str, Value]], None],
    ) -> None:
        from rclpy.exceptions import InvalidParameterValueException

        self._table = {parameter.name: parameter for parameter in parameters}
        self._values: dict[str, Value] = {}
        # rclpy has no public name for what files and the command line say.
        given: Mapping[str, Any] = node._parameter_overrides  # type: ignore[attr-defined]
        self._refuse_misspelled(node, given)
        self._can_configure = can_configure
        self._on_change = on_change
        for parameter in parameters:
            descriptor = descriptor_of(parameter)
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

    def _refuse_misspelled(self, node: Node, given: Mapping[str, Any]) -> None:
        """Without this, a misspelled name in a parameter file is silently ignored.

        A name that resembles none of ours may be for another node, since a section ``/**`` of a
        file reaches all of them: it is reported in the log.
        """
        for name in given:
            # Names with dots belong to rclpy (qos_overrides).
            if name in self._table or "." in name or name in _OF_RCLPY:
                continue
            error = UnknownSettingError(name, self._table, "parameter")
            if difflib.get_close_matches(name, self._table, n=1, cutoff=_RESEMBLES):
                raise ParameterError(str(error)) from error
            node.get_logger().warning(f"{error}; it is ignored")

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
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values.update(accepted)
        return SetParametersResult(successful=True)

    def _check_moment(self, parameter: Setting) -> None:
        if parameter.changes == START:
            raise ParameterError(f"{parameter.name} is read once at the start: restart the node")
        if parameter.changes == CONFIGURE and not self._can_configure():
            raise ParameterError(
                f"{parameter.name} is read by configure: deactivate and clean up the node first"
            )
