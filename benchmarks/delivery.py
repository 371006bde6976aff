"""Whether images arrive whole and in time between two processes: rgb8 and JPEG at 30 Hz.

The sender is camera_node, the receiver subscribes as depth_motion_node does; both run under what
the launch files and the demo set.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness import Rig, rate_of
from benchmarks.report import Verdict, number, table, verdict_table, write
from depth_motion_ros.cli.demo.processes import DemoError, environment
from depth_motion_ros.cli.demo.statistics import percentiles
from depth_motion_ros.cli.image_size import image_size
from depth_motion_ros.cli.main import run_command
from depth_motion_ros.share import transport_environment

SIZES = ("640x480", "1280x720")
PICTURES = 8  # that differ; a longer clip shows them again and again
TARGET_MS = 10.0
# What is under way when the camera has ended is told in the next reports.
LAST_REPORTS = 2
RAW, COMPRESSED = "image", "image/compressed"
TYPES = {RAW: "sensor_msgs/msg/Image", COMPRESSED: "sensor_msgs/msg/CompressedImage"}


@dataclass(frozen=True)
class DeliveryCase:
    """size: (width, height) in pixels."""

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
class DeliveryResult:
    """sent: images published. stamps (ns) and latency_ms: of those that came."""

    case: DeliveryCase
    sent: int
    stamps: list[int] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    bytes: int = 0

    @property
    def is_complete(self) -> bool:
        return len(set(self.stamps)) == self.sent

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "case": self.case.name,
            "quality": self.case.quality,
            "sent": self.sent,
            "arrived": len(set(self.stamps)),
            "complete": self.is_complete,
            "rate_hz": round(rate_of(self.stamps), 2),
            "latency_ms": percentiles(self.latency_ms),
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
    if args.frames < 2 or args.rate <= 0:
        raise DemoError(f"--frames {args.frames} --rate {args.rate:g}: at least 2, and above 0")
    sizes = args.size or [image_size(size) for size in SIZES]
    cases = [
        DeliveryCase(size, compressed, reliable)
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
    answers = verdicts(results)
    print(results_table(results))
    print(verdict_table(answers))
    content = {
        "rate_hz": args.rate,
        "transport": "defaults" if args.defaults else "as shipped",
        "cases": [result.summary() for result in results],
    }
    write(args.json, content)
    return int(not all(result.is_complete for result in results))


def bench(
    cases: Sequence[DeliveryCase],
    frames: int,
    rate: float,
    env: Mapping[str, str],
    folder: Path,
    say: Callable[[str], object],
) -> list[DeliveryResult]:
    """Run it. folder: for pictures and logs. Raises DemoError where a process ends."""
    clips = {size: _clip(size, frames, folder) for size in {case.size for case in cases}}
    results = []
    for case in cases:
        say(f"sending {case.name}, {case.quality}")
        with Rig(folder, env) as rig:
            results.append(_deliver(case, clips[case.size], frames, rate, rig))
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


def _deliver(case: DeliveryCase, clip: Path, frames: int, rate: float, rig: Rig) -> DeliveryResult:
    topic = COMPRESSED if case.compressed else RAW
    listener = rig.listener({topic: TYPES[topic]}, as_input=True)
    rig.wait_until(listener.reports, "the listener")
    camera = rig.camera(clip, rate, loop=False, reliable=case.reliable, compressed=case.compressed)
    rig.wait_until(lambda: not camera.running, "the end of the clip")
    camera.check()
    rig.wait_for_reports(listener, LAST_REPORTS)
    result = DeliveryResult(case, frames)
    for report in listener.reports():
        result.stamps += report["stamps"][topic]
        result.latency_ms += report["latency_ms"][topic]
        result.bytes = report["bytes"][topic]
    return result


def results_table(results: Sequence[DeliveryResult]) -> str:
    """A row for each case."""
    rows = []
    for result in results:
        said = result.summary()
        late = said["latency_ms"]
        rows.append(
            (
                said["case"], said["quality"], said["sent"], said["arrived"],
                number(said["rate_hz"]), *(number(late.get(p)) for p in ("p50", "p95", "max")),
                number(said["kilobytes"], ".0f"),
            )
        )  # fmt: skip
    headings = (
        "images", "quality", "sent", "arrived", "Hz", "median ms", "p95 ms", "max ms", "kB each"
    )  # fmt: skip
    return table(headings, rows)


def verdicts(results: Sequence[DeliveryResult]) -> list[Verdict]:
    """What is missing, and what is late."""
    missing = [f"{r.case.name} {r.case.quality}" for r in results if not r.is_complete]
    late = [
        f"{r.case.name} {r.case.quality}"
        for r in results
        if not r.case.compressed
        and not percentiles(r.latency_ms).get("p95", float("inf")) <= TARGET_MS
    ]
    return [
        Verdict("every image arrived", not missing, ", ".join(missing)),
        # The latency of a JPEG includes its coding.
        Verdict(f"rgb8 with p95 below {TARGET_MS:g} ms", not late, ", ".join(late)),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status."""
    return run_command("python -m benchmarks.delivery", __doc__, add_arguments, run, argv)


if __name__ == "__main__":
    sys.exit(main())
