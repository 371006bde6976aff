"""What the end of a process means for the launch."""

from __future__ import annotations

from depth_motion_ros.launching.errors import LaunchError

# The exit status of our nodes that could not start: parameters, or a source, that are wrong.
CANNOT_START = 2


def refusal(process: str, status: int) -> LaunchError | None:
    """The error that ends a launch whose process could not start; None for any other end."""
    if status != CANNOT_START:
        return None
    return LaunchError(f"{process} cannot start with its parameters; its last line says why")
