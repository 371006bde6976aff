"""Python's logging of the parts without ROS, in the log of the node."""

from __future__ import annotations

import logging
from typing import Any

from depth_motion_ros.nodes.ros.text import printable

PACKAGE = "depth_motion_ros"


class LogBridge(logging.Handler):
    """Gives every record of this package to the logger of a node, until it is closed.

    Without it what takes time (tracing a graph, building an engine) would log nothing, and what
    goes wrong there would appear without the node's name.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.INFO)
        self._logger = logger
        package = logging.getLogger(PACKAGE)
        self._level = package.level
        package.setLevel(logging.INFO)
        package.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        # rclpy distinguishes its callers by their line, and a line must keep its severity.
        text = printable(record.getMessage())
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def close(self) -> None:
        package = logging.getLogger(PACKAGE)
        if self in package.handlers:
            package.removeHandler(self)
            package.setLevel(self._level)
        super().close()
