"""Real nodes in processes of their own, and an observer that waits for messages, not for times.

A test takes the fixture ``ros`` (one per module, so that the seconds a process needs to start are
paid once), starts nodes in it and listens with its observer. Every module has a ROS domain of its
own, held by a lock file, so that tests may run side by side; whatever was started is killed with
its whole process group at the end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from depth_motion_ros.share import NODE_MODULES, transport_environment
from support.domains import free_domain

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile, ReliabilityPolicy

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds; starting a node takes a few, several times that on a busy machine


class NodeProcess:
    """A node in a process group of its own; everything it prints is in ``log``."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._path = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._path.read_text(errors="replace")

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit status."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {patience:g} s:\n{self.log}") from None

    def end(self, number: signal.Signals) -> int:
        """Send a signal to the process alone; the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(PATIENCE)


class Ros:
    """A domain, its processes, and the observer: a node of the test's own process."""

    def __init__(self, domain: int, folder: Path) -> None:
        self._folder = folder
        self._processes: list[NodeProcess] = []
        self.environment = dict(os.environ)
        self.environment.update(
            transport_environment(os.environ),
            ROS_DOMAIN_ID=str(domain),
            ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
            OMP_NUM_THREADS="1",
            PYTHONPATH=os.pathsep.join(
                [str(ROOT), str(ROOT / "test"), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            RCUTILS_LOGGING_BUFFERED_STREAM="0",
            ROS_HOME=str(folder / "home"),
        )
        # Fast DDS reads its profile from the environment of this process, too.
        os.environ.update(transport_environment(os.environ))
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self._clients: dict[str, Any] = {}
        self._parameter_clients: dict[str, AsyncParameterClient] = {}
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("observer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def start(
        self,
        name: str,
        parameters: dict[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
        code: str | None = None,
    ) -> NodeProcess:
        """Run a node by its executable's name, or ``code``, with parameters and other arguments."""
        command = [
            sys.executable,
            *(["-c", code] if code else ["-m", NODE_MODULES[name]]),
            "--ros-args",
        ]
        for parameter, value in (parameters or {}).items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if value == "":
                text = "''"
            command += ["-p", f"{parameter}:={text}"]
        log = self._folder / f"{len(self._processes)}_{name}.log"
        process = NodeProcess([*command, *arguments], self.environment, log)
        self._processes.append(process)
        return process

    def listen(
        self, kind: type, topic: str, reliable: bool = True, depth: int = 100, count: bool = False
    ) -> list[Any]:
        """Subscribe; the list grows with what arrives. count: keep only None per message."""
        into = self.received[topic]
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        self.node.create_subscription(
            kind, topic, (lambda _: into.append(None)) if count else into.append,
            QoSProfile(depth=depth, reliability=policy),
        )  # fmt: skip
        return into

    @staticmethod
    def wait(
        condition: Callable[[], Any], what: str | Callable[[], str], patience: float = PATIENCE
    ) -> Any:
        """The first true value of ``condition``; the test fails, saying ``what``, without one."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.01)
        missed = what() if callable(what) else what
        raise AssertionError(f"waited {patience:g} s in vain for {missed}")

    def destroy(self, entity: Any) -> None:
        """End a publisher or a subscription, on the thread that waits for it.

        Done under the hands of a waiting executor, it would end the executor now and then.
        """
        end = self.node.destroy_publisher
        if entity in list(self.node.subscriptions):
            end = self.node.destroy_subscription
        task = self._executor.create_task(end, entity)
        self.wait(task.done, "the end of a publisher or subscription")

    def service(self, kind: type, name: str, request: Any | None = None) -> Any:
        """Call a service once it is there; its answer."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(request or kind.Request())
        self.wait(future.done, f"an answer of {name}")
        return future.result()

    def _parameter_client(self, node: str) -> AsyncParameterClient:
        if node not in self._parameter_clients:
            self._parameter_clients[node] = AsyncParameterClient(self.node, node)
        client = self._parameter_clients[node]
        self.wait(client.services_are_ready, f"parameters of {node}")
        return client

    def parameter(self, node: str, name: str) -> Any:
        """The value of a parameter that is text."""
        return self.value(node, name).string_value

    def value(self, node: str, name: str) -> Any:
        """The value of a parameter, as rcl_interfaces/ParameterValue."""
        future = self._parameter_client(node).get_parameters([name])
        self.wait(future.done, f"an answer about {name}")
        return future.result().values[0]

    def set_parameter(self, node: str, name: str, value: Any) -> Any:
        """Result with ``successful`` and ``reason``."""
        future = self._parameter_client(node).set_parameters([Parameter(name, value=value)])
        self.wait(future.done, f"an answer about {name}")
        return future.result().results[0]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        self._executor.shutdown(timeout_sec=5.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
        self._thread.join(PATIENCE)


@pytest.fixture(scope="module")
def ros(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ros]:
    domain, lock = free_domain()
    instance = Ros(domain, tmp_path_factory.mktemp("ros"))
    try:
        yield instance
    finally:
        instance.close()
        lock.close()
