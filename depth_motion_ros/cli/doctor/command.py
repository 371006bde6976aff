"""``depth_motion doctor``: what is wrong here, in plain words, and the command that fixes it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from depth_motion_ros.cli.doctor import graph as doctor_graph
from depth_motion_ros.cli.doctor import python as doctor_python
from depth_motion_ros.cli.doctor import transport as doctor_transport
from depth_motion_ros.cli.doctor.finding import OK, PROBLEM, Finding, ok, problem, render
from depth_motion_ros.cli.doctor.processes import dds_processes, segments_in
from depth_motion_ros.share import transport_environment

REPORTER = "depth_motion_ros.nodes.tools.graph_report"
# Starting rclpy, discovery, and the answers of nodes that are busy.
REPORT_S = 60.0
Sections = dict[str, list[Finding]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default="", help="weights file; empty: that of the package")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to hear the topics")
    parser.add_argument("--no-ros", action="store_true", help="leave ROS and the topics out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--quiet", action="store_true", help="leave out what is ok")


def run(args: argparse.Namespace) -> int:
    """0 unless there is a problem; warnings alone are no failure."""
    sections: Sections = {"python": _python()}
    if not any(finding.level == PROBLEM for finding in sections["python"]):
        sections["engines"] = _engines(args.weights)
    if not args.no_ros:
        sections.update(_ros(args.seconds))
    if args.json:
        found = {title: [asdict(f) for f in findings] for title, findings in sections.items()}
        print(json.dumps(found, indent=2))
    else:
        _print(sections, args.quiet)
    every = [finding for findings in sections.values() for finding in findings]
    return int(any(finding.level == PROBLEM for finding in every))


def _python() -> list[Finding]:
    environment = os.environ
    libraries = doctor_python.LIBRARIES
    return [
        doctor_python.check_python(environment),
        doctor_python.check_leaks(environment),
        *(doctor_python.check_library(library) for library in libraries),
        doctor_python.check_cv_bridge(),
    ]


def _engines(path: str) -> list[Finding]:
    # Loads PyTorch: only after the checks above have said that it is there.
    from depth_motion_ros.cli.doctor import engines

    found, weights = engines.check_weights(path)
    tensorrt = engines.check_tensorrt()
    jetson = engines.check_jetson()
    return [
        *([jetson] if jetson is not None else []),
        engines.check_gpu(),
        tensorrt,
        found,
        engines.check_cache(),
        engines.check_engine(weights, "auto"),
    ]


def _ros(seconds: float) -> Sections:
    report, failure = graph_report(os.environ, seconds)
    processes = dds_processes(skip=frozenset({os.getpid()}))
    transport: list[Finding | None] = [
        doctor_transport.check_discovery(os.environ),
        doctor_transport.check_profile(os.environ),
        doctor_transport.check_allocator(os.environ),
        doctor_transport.check_shared_memory(),
        doctor_transport.check_abandoned(),
        *doctor_transport.check_kernel_buffers(),
        *(doctor_transport.check_running(process) for process in processes),
    ]
    if report is None:
        assert failure is not None
        return {"ros": [failure], "transport": _present(transport)}
    rmw = report["rmw"]
    transport.insert(0, doctor_transport.check_middleware(os.environ, rmw))
    segment = max(segments_in(report["shared_memory"]), default=0)
    transport.insert(3, doctor_transport.check_profile_in_force(segment, rmw))
    rclpy = ok(f"rclpy works; {len(report['nodes'])} nodes, {len(report['topics'])} topics")
    return {
        "ros": [rclpy],
        "transport": _present(transport),
        "graph": doctor_graph.check_graph(report),
    }


def _present(findings: Iterable[Finding | None]) -> list[Finding]:
    return [finding for finding in findings if finding is not None]


def graph_report(
    environment: Mapping[str, str], seconds: float, module: str = REPORTER
) -> tuple[dict[str, Any] | None, Finding | None]:
    """What a process with rclpy sees, under the transport settings of our launch files.

    A process of its own, so that an rclpy that crashes is a finding and no crash.
    """
    given = {**environment, **transport_environment(environment)}
    command = [sys.executable, "-m", module, "--seconds", f"{seconds:g}"]
    try:
        done = subprocess.run(
            command, env=given, capture_output=True, text=True,
            timeout=REPORT_S + seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        what = f"rclpy gives no answer in {REPORT_S + seconds:.0f} s"
        return None, problem(what, "ros2 daemon stop; and look for processes that hang")
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode == 0 and last.startswith("{"):
        return dict(json.loads(last)), None
    return None, _explain(done.stderr.strip().splitlines() or [f"status {done.returncode}"])


def _explain(lines: list[str]) -> Finding:
    text = lines[-1]
    if "ModuleNotFoundError" in text or "ImportError" in text:
        return problem(
            f"ROS 2 cannot be loaded: {text}",
            "source a ROS 2 (. /opt/ros/DISTRO/setup.bash), or: pip install "
            "'depth_motion_ros[ros]'",
        )
    return problem(
        f"rclpy does not start: {text}",
        f"run {sys.executable} -m {REPORTER} to see all that it says",
    )


def _print(sections: Sections, quiet: bool) -> None:
    counts = {"warning": 0, PROBLEM: 0}
    for title, findings in sections.items():
        for finding in findings:
            if finding.level != OK:
                counts[finding.level] += 1
        shown = [finding for finding in findings if not quiet or finding.level != OK]
        if shown:
            print(render(title, shown))
    print(f"{counts[PROBLEM]} problems, {counts['warning']} warnings")
