"""``depth_motion bench delivery``: whether images arrive whole and in time between two processes.

The sender is camera_node, the receiver subscribes as depth_motion_node does; both run under what
the launch files and the demo set.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth_motion_ros.cli.demo.processes import (
    DemoError,
    NodeProcess,
    ProcessMonitor,
    environment,
    stopped_at_exit,
    wait_until,
    write_parameters,
)
from depth_motion_ros.cli.demo.statistics import machine
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.share import transport_environment

HELP = "rgb8 and JPEG at 30 Hz between two processes: what arrives, and how late"

NODES = "depth_motion_ros.nodes"
SIZES = ("640x480", "1280x720")
PICTURES = 8  # that differ; a longer clip shows them again and again
TARGET_MS = 10.0
# What is under way when the camera has ended is told in the next reports.
LAST_WORDS = 2  # reports


@dataclass(frozen=True)
class Case:
    size: tuple[int, int]
    compressed: bool
    reliable: bool

    @property
    def name(self) -> str:
        kind = "JPEG" if self.compressed else "rgb8"
        return f"{self.size[0]}x{self.size[1]} {kind}"

    @property
    def quality(self) -> str:
        return "reliable" if self.reliable else "best effort"


@dataclass
class CaseResult:
    """sent: images published. stamps (ns) and latency_ms: of those that came."""

    case: Case
    sent: int
    stamps: list[int] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    bytes: int = 0

    @property
    def is_complete(self) -> bool:
        return len(set(self.stamps)) == self.sent

    def percentile(self, percent: float) -> float:
        """ms; NaN where nothing came."""
        return float(np.percentile(self.latency_ms, percent)) if self.latency_ms else float("nan")

    @property
    def rate(self) -> float:
        """Hz, by the stamps."""
        if len(self.stamps) < 2:
            return 0.0
        return (len(self.stamps) - 1) * 1e9 / (max(self.stamps) - min(self.stamps))

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "case": self.case.name,
            "quality": self.case.quality,
            "sent": self.sent,
            "arrived": len(set(self.stamps)),
            "complete": self.is_complete,
            "rate_hz": round(self.rate, 2),
            "median_ms": round(self.percentile(50), 2),
            "p95_ms": round(self.percentile(95), 2),
            "max_ms": round(self.percentile(100), 2),
            "kilobytes": round(self.bytes / max(1, len(self.stamps)) / 1e3, 1),
            "samples_ms": self.latency_ms,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=image_size, action="append",
        help=f"of the images; may be repeated; {' and '.join(SIZES)} without it",
    )  # fmt: skip
    parser.add_argument("--rate", type=float, default=30.0, help="images a second")
    parser.add_argument("--frames", type=int, default=300, help="images in each case")
    parser.add_argument(
        "--defaults", action="store_true",
        help="the middleware's own settings instead of those that the package ships, to compare",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all samples to this file")


def run(args: argparse.Namespace) -> int:
    """0 where every image of every case arrived."""
    if importlib.util.find_spec("rclpy") is None:
        raise DemoError("bench delivery needs ROS 2's rclpy: pip install 'depth_motion_ros[ros]'")
    if args.frames < 2 or args.rate <= 0:
        raise DemoError(f"--frames {args.frames} --rate {args.rate:g}: at least 2, and above 0")
    sizes = args.size or [image_size(size) for size in SIZES]
    cases = [
        Case(size, compressed, reliable)
        for compressed in (False, True)
        for size in sizes
        for reliable in (False, True)
    ]
    env = environment()
    if args.defaults:
        for name in transport_environment({}):
            env.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="depth_motion_delivery_") as name:
        results = bench(cases, args.frames, args.rate, env, Path(name), print)
    print(verdict(results))
    if args.json is not None:
        content = {
            "machine": machine(),
            "load_average": os.getloadavg()[0],
            "rate_hz": args.rate,
            "transport": "defaults" if args.defaults else "as shipped",
            "cases": [result.summary() for result in results],
        }
        args.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(not all(result.is_complete for result in results))


def bench(
    cases: list[Case],
    frames: int,
    rate: float,
    env: Mapping[str, str],
    folder: Path,
    say: Callable[[str], object],
) -> list[CaseResult]:
    """Run it. folder: for pictures and logs. Raises DemoError where a process ends."""
    clips = {size: _clip(size, frames, folder) for size in {case.size for case in cases}}
    say(HEADING)
    results = []
    for case in cases:
        result = _deliver(case, clips[case.size], frames, rate, env, folder)
        results.append(result)
        say(row(result))
    return results


def _clip(size: tuple[int, int], frames: int, folder: Path) -> Path:
    """An image folder of so many frames: a few pictures under many names."""
    path = folder / f"{size[0]}x{size[1]}"
    path.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    for index in range(frames):
        target = path / f"{index:06d}.jpg"
        if index < PICTURES:
            cv2.imwrite(str(target), np.roll(picture, 5 * index, axis=1))
        else:
            os.link(path / f"{index % PICTURES:06d}.jpg", target)
    return path


def _deliver(
    case: Case, clip: Path, frames: int, rate: float, env: Mapping[str, str], folder: Path
) -> CaseResult:
    values = {
        "source": str(clip), "rate": rate, "stamps": "now", "reliable": case.reliable,
        "compressed": case.compressed, "wait_for_subscribers": 1,
    }  # fmt: skip
    given = write_parameters(folder / "camera.yaml", values)
    hears = ["--compressed"] if case.compressed else []
    with stopped_at_exit([]) as running:
        receiver = ProcessMonitor(
            f"{NODES}.tools.delivery_receiver", hears, env, folder / "receiver.txt"
        )
        running.append(receiver)
        wait_until(receiver.reports, running, "the receiver")
        camera = NodeProcess(f"{NODES}.camera.node", given, env, folder / "camera.txt")
        running.append(camera)
        wait_until(lambda: not camera.running, running, "the end of the clip")
        camera.check()
        heard = len(receiver.reports())
        wait_until(
            lambda: len(receiver.reports()) >= heard + LAST_WORDS, (receiver,), "the last words"
        )
        reports = receiver.reports()
    result = CaseResult(case, frames)
    for report in reports:
        result.stamps += report["stamps"]
        result.latency_ms += report["latency_ms"]
        result.bytes += report["bytes"]
    return result


HEADING = (
    f"{'images':<16}{'quality':<12}{'sent':>6}{'arrived':>8}{'Hz':>6}"
    f"{'p50':>8}{'p95':>8}{'max ms':>9}{'kB each':>9}"
)


def row(result: CaseResult) -> str:
    """One line under ``HEADING``."""
    said = result.summary()
    return (
        f"{said['case']:<16}{said['quality']:<12}{said['sent']:>6}{said['arrived']:>8}"
        f"{said['rate_hz']:>6.1f}{said['median_ms']:>8.2f}{said['p95_ms']:>8.2f}"
        f"{said['max_ms']:>9.2f}{said['kilobytes']:>9.0f}"
    )


def verdict(results: list[CaseResult]) -> str:
    """Two lines: what is missing, and what is late."""
    missing = [f"{r.case.name} {r.case.quality}" for r in results if not r.is_complete]
    late = [
        f"{r.case.name} {r.case.quality}"
        for r in results
        if not r.case.compressed and not r.percentile(95) <= TARGET_MS
    ]
    return (
        f"every image arrived: {'NO: ' + ', '.join(missing) if missing else 'yes'}\n"
        f"rgb8 with p95 below {TARGET_MS:g} ms: {'NO: ' + ', '.join(late) if late else 'yes'}"
        f" (load average {os.getloadavg()[0]:.1f}; JPEG includes its coding)"
    )
