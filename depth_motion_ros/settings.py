"""Settings: every value that a user can set is declared once, described, and checked.

A frozen dataclass that derives from ``Settings`` and makes its fields with ``setting`` checks
itself at construction. ``declared`` lists its fields as ``Setting`` objects, from which command
lines, YAML files, tables and ROS parameters are made.
"""

from __future__ import annotations

import difflib
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

LIVE, CONFIGURE, START = "live", "configure", "start"
_WHEN = {LIVE: "any time", CONFIGURE: "while unconfigured", START: "at start only"}
_TYPE_NAMES = {
    bool: "bool",
    int: "integer",
    float: "double",
    str: "string",
    list: "double array",
}
_METADATA_KEY = "setting"
Value = bool | int | float | str | list[float]
S = TypeVar("S")


class SettingsError(ValueError):
    """A setting cannot be used; the message gives its name, its value, and what is allowed."""


class UnknownSettingError(SettingsError):
    """There is no setting of that name; the message gives the nearest one."""

    def __init__(self, name: str, known: Iterable[str], kind: str = "setting") -> None:
        names = sorted(known)
        nearest = difflib.get_close_matches(name.rpartition(".")[2], names, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


@dataclass(frozen=True)
class Setting:
    """One value that can be set.

    name: as users write it, with its section where it has one.
    default: its type is the type of the setting; a list of floats is a double array.
    changes: when a running node accepts a new value: ``live`` (any time), ``configure`` (while it
        is unconfigured; the next configure reads the value), ``start`` (never).
    minimum, maximum: inclusive bounds of a number, or of every entry of a list.
    choices: the allowed strings; empty = any.
    length: number of entries of a list.
    multiple: a whole number must be a multiple of this.
    """

    name: str
    default: Any
    description: str
    changes: str = CONFIGURE
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    length: int | None = None
    multiple: int = 1

    @property
    def type_name(self) -> str:
        return _TYPE_NAMES[type(self.default)]

    @property
    def changes_text(self) -> str:
        """When the value may change, in words."""
        return _WHEN[self.changes]

    @property
    def range_text(self) -> str:
        """The allowed values as a table shows them, empty where there is no bound."""
        if self.choices:
            return " | ".join(self.choices)
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{low:g} … {high:g}"
        if low is not None:
            return f"≥ {low:g}"
        return f"≤ {high:g}" if high is not None else ""

    def check(self, value: Any) -> Any:
        """The value in the setting's type. Raises SettingsError where it is not allowed."""
        kind = type(self.default)
        if kind is list:
            return self._check_list(value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if kind in (int, float):
            fits = fits and self._is_in_range(value)
        elif self.choices:
            fits = fits and value in self.choices
        if not fits:
            raise self._refusal(value)
        return value

    def read(self, value: Any) -> Any:
        """Like ``check``, for a value of YAML or a command line, where a number may be text.

        YAML 1.1 reads ``1e-4`` as text.
        """
        kind = type(self.default)
        if isinstance(value, str) and kind in (int, float):
            try:
                return self.check(kind(value))
            except ValueError as error:
                raise self._refusal(value) from error
        if isinstance(value, str) and kind is bool and value in ("true", "false"):
            return value == "true"
        return self.check(value)

    def _check_list(self, value: Any) -> list[float]:
        try:
            if any(isinstance(entry, (bool, str)) for entry in value):
                raise self._refusal(value)
            entries = [float(entry) for entry in value]
        except (TypeError, ValueError) as error:
            raise self._refusal(value) from error
        right_length = self.length is None or len(entries) == self.length
        if not right_length or not all(self._is_in_range(entry) for entry in entries):
            raise self._refusal(value)
        return entries

    def _is_in_range(self, value: float) -> bool:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        fits = math.isfinite(value) and low <= value <= high
        return fits and (self.multiple == 1 or not value % self.multiple)

    def _refusal(self, value: Any) -> SettingsError:
        hint = ""
        if self.multiple > 1 and isinstance(value, int) and value % self.multiple:
            hint = f"; the nearest is {max(1, round(value / self.multiple)) * self.multiple}"
        # ROS has no type for an empty list, and arrays of its own for others.
        is_list = isinstance(value, (list, tuple, array))
        shown = "empty" if value is None or (is_list and not value) else repr(value)
        if is_list and value:
            shown = repr(list(value))
        return SettingsError(f"{self.name} is {shown}; it must be {self._allowed}{hint}")

    @property
    def _allowed(self) -> str:
        """The allowed values in words, with the unit."""
        kind = type(self.default)
        if kind is bool:
            return "true or false"
        if kind is str:
            return f"one of {', '.join(self.choices)}" if self.choices else "text"
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            limits = f" from {low:g} to {high:g}"
        elif low is not None:
            limits = f" of at least {low:g}"
        else:
            limits = f" of at most {high:g}" if high is not None else ""
        limits += f" {self.unit}" if self.unit else ""
        if kind is list:
            return f"{self.length or 'any number of'} finite numbers{limits}"
        if self.multiple > 1:
            return f"a multiple of {self.multiple}{limits}"
        return f"{'a whole' if kind is int else 'a finite'} number{limits}"


def setting(
    default: Any,
    description: str,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    *,
    choices: tuple[str, ...] = (),
    changes: str = "",
    multiple: int = 1,
) -> Any:
    """A dataclass field that is a ``Setting``; the field's name becomes its name.

    changes: see ``Setting``; empty = as the class says.
    """
    described = Setting(
        "", default, description, changes, unit, minimum, maximum, choices, multiple=multiple
    )
    return field(default=default, metadata={_METADATA_KEY: described})


class Settings:
    """Base of frozen dataclasses with fields made by ``setting``.

    ``class Data(Settings, section="data")`` calls its fields ``data.NAME`` in messages;
    ``changes=START`` holds for its fields that do not say it themselves.

    Raises SettingsError at construction for a value that is not allowed.
    """

    def __init_subclass__(cls, section: str = "", changes: str = CONFIGURE) -> None:
        super().__init_subclass__()
        cls._prefix = f"{section}." if section else ""  # type: ignore[attr-defined]
        cls._changes = changes  # type: ignore[attr-defined]

    def __post_init__(self) -> None:
        for name, described in declared(type(self)).items():
            object.__setattr__(self, name, described.check(getattr(self, name)))


def declared(kind: type[Any]) -> dict[str, Setting]:
    """The settings of a subclass of ``Settings`` by the names of its fields, in their order."""
    found = {}
    for entry in fields(kind):
        described = entry.metadata.get(_METADATA_KEY)
        if described is not None:
            found[entry.name] = replace(
                described,
                name=kind._prefix + entry.name,  # type: ignore[attr-defined]
                changes=described.changes or kind._changes,  # type: ignore[attr-defined]
            )
    return found


def from_mapping(kind: type[S], mapping: Any, name: str = "") -> S:
    """Build a dataclass of settings, and those inside it, from nested mappings of plain values.

    Names left out keep their defaults. Raises SettingsError for an unknown name or a bad value.
    """
    if not isinstance(mapping, dict):
        raise SettingsError(
            f"{name or 'the file'} must be a mapping of names to values, got {mapping!r}"
        )
    inner = {entry.name: entry for entry in fields(kind) if entry.init}  # type: ignore[arg-type]
    described = declared(kind)
    values = {}
    for key, value in mapping.items():
        if key not in inner:
            raise UnknownSettingError(f"{name}.{key}" if name else str(key), inner)
        if key in described:
            values[key] = described[key].read(value)
        else:
            values[key] = from_mapping(inner[key].default_factory, value, key)  # type: ignore[arg-type]
    return kind(**values)


def to_mapping(settings: Any) -> dict[str, Any]:
    """The nested mapping from which ``from_mapping`` builds the same dataclass."""
    values = {entry.name: getattr(settings, entry.name) for entry in fields(settings) if entry.init}
    return {key: to_mapping(v) if isinstance(v, Settings) else v for key, v in values.items()}
