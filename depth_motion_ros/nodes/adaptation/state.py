"""Where a learner keeps its state: a folder of its own, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from depth_motion_ros.models.weights import Weights
from depth_motion_ros.nodes.ros.parameters import ParameterError
from depth_motion_ros.nodes.ros.storage import file_name_of, ros_home
from depth_motion_ros.nodes.weights_exchange.protocol import origin_of

_ORDER, _LOCK = "order", "lock"


def default_folder(node_name: str, weights: Weights) -> Path:
    """One for each node, architecture and weights begun with: under ``$ROS_HOME`` or ~/.ros."""
    node = file_name_of(node_name)
    return ros_home() / f"{node}-{weights.config.architecture}-{origin_of(weights)[:12]}"


class StateFolder:
    """The adapter's state, and the order number of the last published weights.

    The lock ends with the process, however that ends. Raises ParameterError where the folder
    cannot be made, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / _LOCK).open("w")
        except OSError as error:
            raise ParameterError(
                f"state_folder {str(path)!r}: {error.strerror}; name another, or set persist to "
                "false"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ParameterError(
                f"state_folder {str(path)!r} is in use by another learner: name another"
            ) from error

    @property
    def adapter(self) -> Path:
        """Folder for ``Adapter.save`` and ``restore``."""
        return self.path / "adapter"

    def last_order(self) -> int:
        """Of the last published weights; -1 if there were none, or it is unknown."""
        try:
            return int((self.path / _ORDER).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return -1

    def keep_order(self, order: int) -> None:
        """Raises OSError."""
        new = self.path / f".{_ORDER}.new"
        with new.open("w", encoding="ascii") as file:
            file.write(str(order))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path / _ORDER)

    def close(self) -> None:
        self._lock.close()


class OrderNumbers:
    """Order numbers of published weights: milliseconds since the epoch, and always rising.

    With the time, a learner whose state was lost is still accepted; with the last number, a clock
    that was set back does no harm.
    """

    def __init__(self, folder: StateFolder | None) -> None:
        self._folder = folder
        self._last = folder.last_order() if folder is not None else -1

    def next(self) -> int:
        self._last = max(self._last + 1, time.time_ns() // 1_000_000)
        if self._folder is not None:
            # A full disk: the clock alone will do, unless it is set back before the next start.
            with suppress(OSError):
                self._folder.keep_order(self._last)
        return self._last
