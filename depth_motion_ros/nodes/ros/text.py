"""Names of files that are no UTF-8 (old disks, zip files), for ROS 2, which takes nothing else.

Python holds a byte that it cannot decode as a lone surrogate, U+DC80 to U+DCFF. rcl refuses those;
between a command line and a parameter they travel as characters of the private use area.
"""

from __future__ import annotations

_SHIFT = 0xF700 - 0xDC00
_TO_ROS = {0xDC00 + byte: 0xDC00 + byte + _SHIFT for byte in range(0x80, 0x100)}
_FROM_ROS = {there: here for here, there in _TO_ROS.items()}


def to_ros(argument: str) -> str:
    """An argument of a command line as rcl takes it."""
    return argument.translate(_TO_ROS)


def path_from_ros(value: str) -> str:
    """The path that a parameter names."""
    return value.translate(_FROM_ROS)


def printable(text: object) -> str:
    """For the log: bytes that are no UTF-8 in hexadecimal."""
    return str(text).encode("utf-8", "backslashreplace").decode()
