"""Whether the programs are there that a launch file starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from depth_motion_ros.launching.errors import LaunchError

# Package to prefix; raises LookupError for one that is not installed, as
# ament_index_python.packages.get_package_prefix does.
FindPrefix = Callable[[str], str]


def require_executable(find_prefix: FindPrefix, package: str, executable: str, why: str) -> None:
    """Raises LaunchError where ``package`` or its ``executable`` is missing.

    why: the argument or file that needs it, for the message.
    """
    prefix = require_package(find_prefix, package, why)
    if not (prefix / "lib" / package / executable).exists():
        raise LaunchError(
            f"{why} needs {executable} of the package {package}, and {prefix} has none: "
            "build or install the package anew"
        )


def require_package(find_prefix: FindPrefix, package: str, why: str) -> Path:
    """The prefix of a package. Raises LaunchError where it is not installed."""
    try:
        return Path(find_prefix(package))
    except LookupError as error:
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        raise LaunchError(
            f"{why} needs the package {package}, which is not installed here: "
            f"sudo apt install ros-{distribution}-{package.replace('_', '-')}"
        ) from error
