"""What engines and caches say appears in the node's log, and on the terminal of a command."""

from __future__ import annotations

import argparse
import logging
import os

import pytest

from depth_motion_ros.cli.main import run_command
from depth_motion_ros.nodes.ros.log_bridge import LogBridge

LOG = logging.getLogger("depth_motion_ros.engines.somewhere")


class NodeLogger:
    """Stands in for rclpy's: keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def info(self, message: str) -> None:
        self.said.append(("info", message))

    def warning(self, message: str) -> None:
        self.said.append(("warning", message))

    def error(self, message: str) -> None:
        self.said.append(("error", message))


def test_records_of_this_package_come_out_with_their_severity_and_others_do_not() -> None:
    logger = NodeLogger()
    bridge = LogBridge(logger)
    try:
        LOG.debug("details")
        LOG.info("building %d %%", 40)
        LOG.warning("built anew")
        LOG.error("broken")
        logging.getLogger("somebody.else").error("not ours")
    finally:
        bridge.close()
    LOG.info("after the end")
    assert logger.said == [
        ("info", "building 40 %"), ("warning", "built anew"), ("error", "broken"),
    ]  # fmt: skip


def test_a_name_that_is_no_utf8_is_logged_in_hexadecimal() -> None:
    """rclpy's own logger ends with UnicodeEncodeError."""
    logger = NodeLogger()
    bridge = LogBridge(logger)
    try:
        LOG.warning("%s: broken", os.fsdecode(b"stra\xdfe.png"))
    finally:
        bridge.close()
    assert logger.said == [("warning", r"stra\udcdfe.png: broken")]


def test_nothing_of_it_is_left_behind() -> None:
    package = logging.getLogger("depth_motion_ros")
    before = package.level, package.propagate, list(package.handlers)
    LogBridge(NodeLogger()).close()
    assert (package.level, package.propagate, list(package.handlers)) == before


def test_a_command_shows_what_takes_time(capsys: pytest.CaptureFixture[str]) -> None:
    def command(args: argparse.Namespace) -> int:
        LOG.info("tracing the graph")
        return 0

    for _ in range(2):  # called twice in one process it must not say everything twice
        assert run_command("depth_motion trace", None, lambda parser: None, command, []) == 0
        assert capsys.readouterr().err == "tracing the graph\n"
    LOG.info("nobody's command")
    assert capsys.readouterr().err == ""
