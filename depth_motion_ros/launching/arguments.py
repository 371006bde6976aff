"""Launch arguments as a table, and their values read strictly: launch itself takes any text."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_motion_ros.launching.errors import LaunchError

TEXT, BOOLEAN, AUTO_BOOLEAN, NUMBER = "text", "boolean", "auto or boolean", "number"
CHOICE, NAMESPACE, TOPIC, PREFIX = "choice", "namespace", "topic", "prefix"
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_NAMES = r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*"
# Of the kinds that are names: what they match, and how a message describes that.
_PATTERNS = {
    NAMESPACE: (
        re.compile(rf"/?({_NAMES})?", re.ASCII),
        "words of letters, digits and _, joined by /, such as robot1 or fleet/robot1",
    ),
    TOPIC: (re.compile(rf"/?{_NAMES}", re.ASCII), "the name of a topic, such as /cam/image_raw"),
    PREFIX: (
        re.compile(r"([A-Za-z_][\w/]*)?", re.ASCII),
        "letters, digits, _ and /, not beginning with /, such as robot1/",
    ),
}


@dataclass(frozen=True)
class Argument:
    """One argument of a launch file.

    default: None = it must be given.
    kind: how its text is read. BOOLEAN: true or false. AUTO_BOOLEAN: also empty, which is None.
        NUMBER: a float above 0, or empty, which is None. NAMESPACE, TOPIC and PREFIX (of frames):
        text of that form; a TOPIC may be empty where its default is.
    choices: of kind CHOICE; in lower case. The empty text is a choice where the default is empty.
    """

    name: str
    default: str | None
    description: str
    kind: str = TEXT
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> Any:
        """The value of ``text``; LaunchError where there is none."""
        word = text.strip().lower()
        if self.kind in (BOOLEAN, AUTO_BOOLEAN):
            if self.kind == AUTO_BOOLEAN and not word:
                return None
            if word not in _TRUE + _FALSE:
                raise LaunchError(f"{self.name}:={text}: must be true or false")
            return word in _TRUE
        if self.kind == NUMBER:
            return self._number(text)
        if self.kind == CHOICE:
            if word not in self.choices and not (word == self.default == ""):
                raise LaunchError(
                    f"{self.name}:={text}: must be one of {', '.join(self.choices)}"
                    + _suggestion(word, self.choices)
                )
            return word
        if self.kind in _PATTERNS and not (text == self.default == ""):
            pattern, form = _PATTERNS[self.kind]
            if not pattern.fullmatch(text):
                raise LaunchError(f"{self.name}:={text}: must be {form}")
        return text

    def _number(self, text: str) -> float | None:
        if not text.strip():
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise LaunchError(f"{self.name}:={text}: must be a number above 0")
        return number


def read_arguments(arguments: Iterable[Argument], given: Mapping[str, str]) -> dict[str, Any]:
    """The value of every argument, from what is given or its default.

    Raises LaunchError for the first one that is missing or has no valid value.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        text = given.get(argument.name, argument.default)
        if text is None:
            raise LaunchError(f"{argument.name}:= is missing: {argument.description}")
        values[argument.name] = argument.read(text)
    return values


def refuse_unknown_arguments(
    file: str, arguments: Iterable[Argument], words: Iterable[str] | None = None
) -> None:
    """Raises LaunchError where the command line gives ``file`` an argument that it does not have.

    Only where ``file`` is what the user starts: another launch file that includes it has arguments
    of its own. words: the command line, without it that of this process.
    """
    words = sys.argv if words is None else list(words)
    if Path(file).name not in (Path(word).name for word in words):
        return
    names = [argument.name for argument in arguments]
    for word in words:
        name, given, _ = word.partition(":=")
        if given and name not in names:
            raise LaunchError(
                f"{Path(file).name} has no argument {name!r}"
                + (_suggestion(name, names) or "; `--show-args` lists them")
            )


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
