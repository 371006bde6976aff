"""``depth_motion demo``: the whole system, once, on a scene or on the user's own video.

camera_node and depth_motion_node run as processes of their own and talk over DDS, as they would
on a robot; a third process records. Pictures and figures are then made from the recording alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from depth_motion_ros.cli.demo.pictures import draw_overview
from depth_motion_ros.cli.demo.processes import (
    LOOK_S,
    ProcessGroup,
    RecorderProcess,
    add_node_arguments,
    node_parameters,
    require_rclpy,
)
from depth_motion_ros.cli.demo.recording import (
    DEPTH,
    DIAGNOSTICS,
    IMAGE,
    ODOMETRY,
    TOPICS,
    DemoRecording,
)
from depth_motion_ros.cli.demo.scene import render_scene
from depth_motion_ros.cli.demo.statistics import summarise
from depth_motion_ros.cli.demo.video import draw_video
from depth_motion_ros.sources.open import open_source

SCENE = "sim:yard"
SIMULATED = "sim:"
# Rendering takes longer than the frame lasts, so that a scene is rendered first and played then.
WIDTH, HEIGHT = 320, 240
SCENE_RATE = 10.0
RECORDER = "depth_motion_ros.nodes.tools.recorder"
# A source of just this length ends by itself; only a longer one is cut off.
SLACK_S = 1.0
# The last diagnostics, one a second, must still be heard after the last image.
LAST_WORDS = 2
SCENE_FOLDER = "scene"
MADE = ("overview.png", "demo.mp4", "summary.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        default=SCENE,
        metavar="SOURCE",
        help="video, folder, bag, sim:NAME, /dev/videoN",
    )
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder to fill")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the run")
    parser.add_argument("--rate", type=float, default=0.0, help="images a second; 0: the source's")
    add_node_arguments(parser)


def run(args: argparse.Namespace) -> int:
    # Before torch is loaded: beside other work, threads that spin while they wait made rendering
    # the scene ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    require_rclpy()
    parameters = node_parameters(args)
    output: Path = args.output
    bag, log = _prepare(output)
    source = args.source
    if source.startswith(SIMULATED):
        source = str(_render(source, output / SCENE_FOLDER, args.seconds, args.rate or SCENE_RATE))
    else:
        # What cannot be opened is better said now than by a process that was waited for.
        open_source(source).close()
    camera = {"source": source, "rate": args.rate}
    _record(camera, parameters, bag, log, args.seconds)
    _report(bag, output, args)
    return 0


def _prepare(output: Path) -> tuple[Path, Path]:
    """The folder without what an earlier demo left in it; nothing else is touched."""
    output.mkdir(parents=True, exist_ok=True)
    bag, log = output / "bag", output / "log"
    for folder in (bag, log, output / SCENE_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
    for name in MADE:
        (output / name).unlink(missing_ok=True)
    log.mkdir()
    return bag, log


def _render(spec: str, folder: Path, seconds: float, rate: float) -> Path:
    """A simulated scene as a sequence folder, with its truth."""
    say = ProgressLine()
    frames = max(2, round(seconds * rate))

    def tell(count: int) -> None:
        say.status(f"rendering {spec}: {count} of {frames} frames")

    render_scene(spec, folder, size=(WIDTH, HEIGHT), rate=rate, frames=frames, tell=tell)
    say.line(f"rendered {spec}: {frames} frames in {folder}")
    return folder


def _record(
    camera: dict[str, Any], node: dict[str, Any], bag: Path, log: Path, seconds: float
) -> None:
    """Run everything until the source ends or the time is up."""
    say = ProgressLine()
    with ProcessGroup(log) as processes:
        domain = processes.environment["ROS_DOMAIN_ID"]
        say.line(f"ROS_DOMAIN_ID={domain}; logs in {log}/")
        topics = [f"{topic}={kind}" for topic, kind in TOPICS.items()]
        recorder = processes.add(
            RecorderProcess(
                RECORDER, [str(bag), *topics], processes.environment, log / "recorder.txt"
            )
        )
        processes.start("depth_motion_node", node)
        processes.wait_until(
            lambda: recorder.counts().get(DIAGNOSTICS),
            "the node to say something on /diagnostics",
            lambda waited: say.status(f"starting the node, {waited:.0f} s"),
        )
        source = processes.start(
            "camera_node",
            {
                **camera,
                # The node and the recorder: neither is to miss the first image.
                "wait_for_subscribers": 2,
                "publish_truth": True,
                "reliable": True,
                "stamps": "now",
            },
        )
        first: float | None = None
        while source.running and (first is None or time.monotonic() - first < seconds + SLACK_S):
            processes.pause(LOOK_S)
            counts = recorder.counts()
            if first is None and counts.get(IMAGE):
                first = time.monotonic()
            say.status(_counts(counts))
        source.check()
        processes.stop(source)
        heard = recorder.counts().get(DIAGNOSTICS, 0)
        processes.wait_until(
            lambda: recorder.counts().get(DIAGNOSTICS, 0) >= heard + LAST_WORDS,
            "the last diagnostics",
        )
        say.line(_counts(recorder.counts()))


def _counts(counts: dict[str, int]) -> str:
    images, depth, odometry = (counts.get(topic, 0) for topic in (IMAGE, DEPTH, ODOMETRY))
    return f"{images} images, {depth} depth maps, {odometry} poses"


class ProgressLine:
    """A line that renews itself on a terminal, and one line every five seconds in a log."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._next = 0.0

    def status(self, text: str) -> None:
        if self._terminal:
            print(f"\r\033[K{text}", end="", flush=True)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + 5.0
            self.line(text)

    def line(self, text: str) -> None:
        print(f"\r\033[K{text}" if self._terminal else text, flush=True)


def _report(bag: Path, output: Path, args: argparse.Namespace) -> None:
    """Pictures, video and figures from the bag."""
    print("drawing", flush=True)
    recording = DemoRecording(bag)
    summary = {"source": args.source, "weights": args.weights or "package", **summarise(recording)}
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    metric = summary["node"].get("metric") == "true"
    draw_overview(recording, output / "overview.png", _title(summary), metric)
    draw_video(recording, output / "demo.mp4")
    frames, latency = summary["frames"], summary["latency_ms"][DEPTH]
    print(f"frames in {frames['in']}, served {frames['served']}, dropped {frames['dropped']}")
    if latency is not None:
        print(f"latency of {DEPTH}: median {latency['p50']} ms, p95 {latency['p95']} ms")
    for name in (*MADE, bag.name):
        print(f"  {output / name}")


def _title(summary: dict[str, Any]) -> str:
    said = summary["node"]
    engine = " ".join(said.get(key, "") for key in ("architecture", "engine", "precision"))
    parts = (
        str(summary["source"]),
        f"weights: {said.get('weights_version', 'unknown')}",
        engine,
        f"{summary['rates_hz'].get(DEPTH)} depth maps/s",
    )
    return "   |   ".join(parts)
