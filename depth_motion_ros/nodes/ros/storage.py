"""Where nodes keep files: named after the node, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


def ros_home() -> Path:
    """Folder of what this package keeps for the user: under ``$ROS_HOME``, or ~/.ros."""
    home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
    return home / "depth_motion"


def file_name_of(node_name: str) -> str:
    """A node's full name as a part of a file name; another for every other node.

    Names in ROS hold letters, digits, _ and /, so that a dot stands for nothing else.
    """
    return node_name.strip("/").replace("/", ".")


class HeldFiles:
    """Files that no other process holds meanwhile. A hold ends with the process at the latest."""

    def __init__(self) -> None:
        self._locks: dict[Path, IO[str]] = {}

    def hold(self, path: Path) -> bool:
        """Whether ``path`` is held now, from before or from here on. Raises OSError."""
        path = path.absolute()
        if path in self._locks:
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._locks[path] = lock
        return True

    def close(self) -> None:
        """Let go of all of them."""
        for lock in self._locks.values():
            lock.close()
        self._locks.clear()
