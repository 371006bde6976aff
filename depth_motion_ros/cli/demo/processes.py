"""Processes that talk over DDS: nodes of the package, and who listens to them."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from depth_motion_ros.share import NODE_MODULES, transport_environment

if TYPE_CHECKING:
    from typing_extensions import Self

START_S = 300.0
LOOK_S = 0.2
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


P = TypeVar("P", bound=NodeProcess)


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


def require_rclpy() -> None:
    """Raises DemoError where ROS is missing."""
    if importlib.util.find_spec("rclpy") is None:
        raise DemoError(
            "this runs nodes and needs ROS 2's rclpy, which is not installed here: "
            "pip install 'depth_motion_ros[ros]', or source a ROS 2 first"
        )


class ProcessGroup:
    """Nodes as processes; leaving the block stops them, the one started last first.

    folder: for parameter files and logs. given: the environment of the processes; None = that of
    ``environment``. outer: see ``inner``.

    Raises DemoError where ROS is missing.
    """

    def __init__(
        self,
        folder: Path,
        given: Mapping[str, str] | None = None,
        outer: ProcessGroup | None = None,
    ) -> None:
        require_rclpy()
        self.folder = folder
        self.environment = dict(environment() if given is None else given)
        self._outer = outer
        self._running: list[NodeProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._running):
            process.stop()

    def inner(self) -> Self:
        """For a part of the work: its processes end with its own block, and while it waits it
        watches over those of this group, too."""
        return type(self)(self.folder, self.environment, self)

    def start(self, name: str, parameters: Mapping[str, Any]) -> NodeProcess:
        """A node of the package, by the name of its executable."""
        arguments = write_parameters(self.folder / f"{name}.yaml", parameters)
        log = self.folder / f"{name}.txt"
        return self.add(NodeProcess(NODE_MODULES[name], arguments, self.environment, log))

    def add(self, process: P) -> P:
        """A process started elsewhere, to be watched and stopped."""
        self._running.append(process)
        return process

    def stop(self, process: NodeProcess) -> None:
        """End a process before the others."""
        process.stop()
        self._running.remove(process)

    def kill(self, process: NodeProcess) -> None:
        """End a process as a crash would."""
        process.kill()
        self._running.remove(process)

    def check(self) -> None:
        """Raises DemoError where a process has failed."""
        if self._outer is not None:
            self._outer.check()
        for process in self._running:
            process.check()

    def wait_until(
        self,
        condition: Callable[[], object],
        what: str,
        tell: Callable[[float], object] = lambda waited: None,
    ) -> None:
        """Raises DemoError where a process fails, or nothing comes of it within five minutes.

        tell: called again and again with the seconds waited.
        """
        start = time.monotonic()
        while not condition():
            self.check()
            waited = time.monotonic() - start
            tell(waited)
            if waited > START_S:
                raise DemoError(f"waited {START_S:.0f} s in vain for {what}:\n{self._tails()}")
            time.sleep(LOOK_S)

    def pause(
        self, seconds: float, look: Callable[[], object] = lambda: None, every: float = 0.5
    ) -> None:
        """Let the time go by. look: called every so many seconds. Raises DemoError where a process
        ends meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check()
            look()
            time.sleep(min(every, max(0.0, end - time.monotonic())))

    def _tails(self) -> str:
        tails = "\n".join(process.tail() for process in self._running)
        return tails if self._outer is None else f"{self._outer._tails()}\n{tails}"
