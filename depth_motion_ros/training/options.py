"""Dataclasses as YAML sections: declared once, checked once, with errors that name the fix."""

from __future__ import annotations

import difflib
import math
from dataclasses import field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

Section = TypeVar("Section")


class RecipeError(ValueError):
    """A training recipe that cannot be used; the message names the key, the value and the fix."""


def option(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its description (unit included) and its closed range."""
    return field(
        default=default, metadata={"help": help, "low": low, "high": high, "choices": choices}
    )


def check_ranges(section: Any, name: str) -> None:
    """Raise RecipeError where a field of ``section`` leaves its declared range or choices."""
    for entry in fields(section):
        value, limits = getattr(section, entry.name), entry.metadata
        where = f"{name}.{entry.name}"
        if limits.get("choices") and value not in limits["choices"]:
            raise RecipeError(f"{where} is {value!r}; it must be one of {limits['choices']}")
        if isinstance(value, float) and not math.isfinite(value):
            raise RecipeError(f"{where} is {value}; it must be a finite number")
        low, high = limits.get("low"), limits.get("high")
        if low is not None and value < low:
            raise RecipeError(f"{where} is {value}; it must be at least {low}")
        if high is not None and value > high:
            raise RecipeError(f"{where} is {value}; it must be at most {high}")


def from_mapping(kind: type[Section], mapping: Any, name: str = "recipe") -> Section:
    """Build a dataclass, and the dataclasses inside it, from nested mappings.

    Keys left out keep their defaults. Raises RecipeError for an unknown key (naming the nearest
    known one) and for a value of another type than the field's.
    """
    if not isinstance(mapping, dict):
        raise RecipeError(f"{name} must be a mapping of keys to values, got {mapping!r}")
    known = {entry.name for entry in fields(kind) if entry.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            raise RecipeError(f"unknown key {name}.{key}{_suggestion(str(key), known)}")
    hints = get_type_hints(kind)
    return kind(
        **{key: _convert(hints[key], value, f"{name}.{key}") for key, value in mapping.items()}
    )


def to_mapping(section: Any) -> dict[str, Any]:
    """The nested mapping from which ``from_mapping`` builds the same dataclass."""
    values = {entry.name: getattr(section, entry.name) for entry in fields(section) if entry.init}
    return {key: to_mapping(v) if is_dataclass(v) else v for key, v in values.items()}


def _suggestion(key: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1)
    if nearest:
        return f"; did you mean {nearest[0]!r}?"
    return f"; known keys: {', '.join(sorted(known))}"


def _convert(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint):
        return from_mapping(hint, value, name)  # type: ignore[arg-type]
    # YAML reads `1e-4` as text and `10` as an integer where a number with a point is meant.
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            raise RecipeError(f"{name} is {value!r}; it must be a number") from None
    if isinstance(hint, type) and (
        not isinstance(value, hint) or (hint is int and isinstance(value, bool))
    ):
        raise RecipeError(f"{name} is {value!r}; it must be of type {hint.__name__}")
    return value
