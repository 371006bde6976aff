"""Processes that talk over DDS: camera, perception node, and a recorder or a monitor."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from depth_motion_ros.share import transport_environment

STOP_S = 20.0
LAST_LINES = 15


class DemoError(RuntimeError):
    """A process of the demo failed; the message says which, and shows the end of its log."""


class NodeProcess:
    """One node in a process and a session of its own; its output goes to ``log``."""

    def __init__(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = log.stem
        self.log = log
        self._file = log.open("w", encoding="utf-8")
        # A session of its own keeps the terminal's Ctrl-C from reaching it before we are ready.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=dict(environment), stdout=self._file, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raises DemoError if the process has failed."""
        code = self._process.poll()
        if code not in (None, 0):
            raise DemoError(f"{self.name} ended with status {code}:\n{self.tail()}")

    def tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LAST_LINES:]) + f"\n  ({self.log})"

    def stop(self) -> None:
        """SIGINT to the whole session; SIGKILL to what does not listen."""
        for sent, patience in ((signal.SIGINT, STOP_S), (signal.SIGKILL, 5.0)):
            if self.running:
                os.killpg(self._process.pid, sent)
                try:
                    self._process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        self._file.close()

    def kill(self) -> None:
        """SIGKILL, as a crash or a lack of memory would end it."""
        if self.running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_S)
        self._file.close()


class RecorderProcess(NodeProcess):
    """The recorder: the last line of its log tells how many messages of each topic it has."""

    def counts(self) -> dict[str, int]:
        for line in reversed(self.log.read_text(encoding="utf-8", errors="replace").splitlines()):
            if line.startswith("{") and line.endswith("}"):
                return dict(json.loads(line))
        return {}


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """``--weights`` and ``--set``: see ``node_parameters``."""
    parser.add_argument("--weights", default="", help="weights file; empty: those of the package")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a parameter of depth_motion_node, as YAML; may be repeated",
    )  # fmt: skip


def node_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """What the arguments say of depth_motion_node. Raises DemoError for what is no setting."""
    given: dict[str, Any] = {"weights": args.weights} if args.weights else {}
    return {**given, **parse_settings(args.set, "--set")}


def parse_settings(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Values of ``NAME=VALUE`` pairs, read as YAML. Raises DemoError naming what is none."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found:
            raise DemoError(f"{option} {pair!r}: expected NAME=VALUE")
        values[name] = yaml.safe_load(value)
    return values


def environment() -> dict[str, str]:
    """What the nodes run under: large images arrive, and nothing leaves this machine.

    A domain of its own keeps two demos, or a demo and a robot, apart; the user's choice wins.
    """
    given = dict(os.environ)
    given.update(transport_environment(given))
    given.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 101)))
    given.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    # Threads that spin while they wait take the cores from the other processes.
    given.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given["PYTHONUNBUFFERED"] = "1"
    return given


def write_parameters(path: Path, values: Mapping[str, object]) -> list[str]:
    """Write a parameter file and return the arguments that name it.

    A file, because on the command line a path is parsed as YAML.
    """
    content = {"/**": {"ros__parameters": dict(values)}}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return ["--ros-args", "--params-file", str(path)]


@contextmanager
def stopped_at_exit(nodes: list[NodeProcess]) -> Iterator[list[NodeProcess]]:
    """Stops the nodes, the one started last first, however the block is left."""
    try:
        yield nodes
    finally:
        for node in reversed(nodes):
            node.stop()
