"""``depth_motion prepare``: recordings become a compact training set."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.camera_file import read_camera_file
from depth_motion_ros.sources.frame import FrameSource, SourceError
from depth_motion_ros.sources.open import ACCEPTED, open_source
from depth_motion_ros.sources.sequence.prepared import PreparedDataset
from depth_motion_ros.training.data.fit import FITS, FrameFit
from depth_motion_ros.training.data.identity import identity_of
from depth_motion_ros.training.data.index import SourceState, locked
from depth_motion_ros.training.data.prepare import MIN_FRAMES, PrepareSettings, prepare
from depth_motion_ros.training.triangulation.depth import triangulate_sequence

# Seconds between two lines about work that takes long.
_TELL_EVERY = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=ACCEPTED)
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DATASET",
        help="folder of the training set; given again, it is resumed, or grows by new sources",
    )
    parser.add_argument("--width", type=int, default=416, help="width of the images in pixels")
    parser.add_argument(
        "--height", type=int, help="height in pixels; without it the proportions are kept"
    )
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="crop",
        help="with --height: cut off what is too much, or stretch to keep all of the view",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.01,
        help="drop a frame whose mean absolute difference to the last kept one is not above this "
        "(images in [0, 1])",
    )
    parser.add_argument(
        "--max-gap", type=float, default=1.0, help="a pause of more seconds begins a new sequence"
    )
    parser.add_argument("--quality", type=int, default=95, help="JPEG quality, 1 to 100")
    parser.add_argument("--max-frames", type=int, help="read no more of each source")
    parser.add_argument(
        "--triangulate",
        action="store_true",
        help="also find the depth that the frames tell about each other, where the intrinsics are "
        "known, for recipes with data.recorded: triangulated (about a second a frame)",
    )
    parser.add_argument("--topic", help="image topic of bags; needed where there are several")
    parser.add_argument("--odometry-topic", help="odometry topic of bags, likewise")
    parser.add_argument(
        "--rate", type=float, help="frames per second of videos and images without true stamps"
    )
    parser.add_argument(
        "--camera-file",
        type=Path,
        metavar="YAML",
        help="calibration of videos and plain image folders: a file of camera_calibration, OpenCV, "
        "Kalibr, ORB-SLAM or VINS",
    )
    parser.add_argument(
        "--rectified",
        action="store_true",
        help="the images are rectified already: P of their calibration holds (a topic image_rect "
        "is known to be)",
    )


def run(args: argparse.Namespace) -> int:
    try:
        settings = PrepareSettings(
            fit=FrameFit(args.width, args.height, args.fit),
            threshold=args.threshold,
            max_gap=args.max_gap,
            quality=args.quality,
            max_frames=args.max_frames,
        )
    except ValueError as error:
        raise SourceError(str(error)) from error
    camera = None
    if args.camera_file:
        camera = read_camera_file(args.camera_file, rectified=args.rectified)
    options = {
        "--odometry-topic": args.odometry_topic,
        "--rate": args.rate,
        "--rectified": args.rectified,
        "--camera-file": camera and _values(camera),
    }
    sources: dict[str, Callable[[], FrameSource]] = {}
    identities: dict[str, dict[str, Any]] = {}
    for spec in args.sources:
        known_as = _known_as(spec)
        if args.topic:
            known_as = f"{args.topic} of {known_as}"
        identities[known_as] = identity_of(
            Path(spec).expanduser(), {key: value for key, value in options.items() if value}
        )
        sources[known_as] = partial(
            open_source,
            spec,
            topic=args.topic,
            odometry_topic=args.odometry_topic,
            rate=args.rate,
            camera=camera,
            rectified=args.rectified or None,
        )
    states = prepare(sources, args.out, settings, partial(_tell, settings), identities)
    broken = [state for state in states if state.status != "done"]
    kept = sum(state.kept for state in states)
    print(f"{args.out}: {kept} frames from {len(states) - len(broken)} of {len(states)} sources")
    failed = _triangulate(args.out) if args.triangulate else 0
    if broken:
        print(f"{len(broken)} sources are not whole, see above", file=sys.stderr)
    return 1 if broken or failed or not kept else 0


def _values(camera: Camera) -> list[Any]:
    lens = [camera.distortion_model, *camera.distortion.tolist()]
    return [*camera.K.ravel().tolist(), *lens, camera.width, camera.height]


def _triangulate(path: Path) -> int:
    """Every sequence of the set that has a camera, also those of former runs; how many failed."""
    failed = 0
    with locked(path):
        for sequence in PreparedDataset(path):
            if sequence.camera is None:
                print(
                    f"{sequence.name}: not triangulated, its intrinsics are unknown; prepare it "
                    "into another folder with --camera-file",
                    flush=True,
                )
                continue
            try:
                share = triangulate_sequence(sequence.path, _Progress(sequence.name))
            except SourceError as error:
                failed += 1
                print(f"{sequence.name}: {error}", file=sys.stderr, flush=True)
            else:
                print(f"{sequence.name}: {share:.0%} of the pixels triangulated", flush=True)
    return failed


class _Progress:
    """A line every few seconds: what is quick, as what is there already, needs none."""

    def __init__(self, name: str) -> None:
        self._name, self._last = name, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last >= _TELL_EVERY:
            self._last = time.monotonic()
            print(f"{self._name}: {done} of {total} frames triangulated", flush=True)


def _known_as(spec: str) -> str:
    """A name for the source that does not depend on the working directory."""
    path = Path(spec).expanduser()
    return str(path.resolve()) if path.exists() else spec


def _tell(settings: PrepareSettings, name: str, state: SourceState) -> None:
    counts = f"{state.read} frames read, {state.kept} kept, {state.duplicates} too alike"
    if state.alone:
        counts += f", {state.alone} without a neighbour"
    if state.damaged:
        counts += f", {state.damaged} damaged and skipped"
    print(f"{name}: {counts}", flush=True)
    if state.status != "done":
        print(f"{name}: {state.error}", file=sys.stderr, flush=True)
    elif not state.kept:
        print(f"{name}: nothing kept: {_why_nothing(state, settings)}", file=sys.stderr, flush=True)


def _why_nothing(state: SourceState, settings: PrepareSettings) -> str:
    if state.read < MIN_FRAMES:
        return f"it has {state.read} frames, and motion takes {MIN_FRAMES}"
    causes = []
    if state.duplicates:
        causes.append(
            f"{state.duplicates} frames differ from the one before by no more than --threshold "
            f"{settings.threshold:g} (nothing can be learned from a camera that stands still)"
        )
    if state.alone > 1:
        causes.append(
            f"{state.alone} frames stand alone: the one before is more than --max-gap "
            f"{settings.max_gap:g} s away (--rate says how many there are a second), later, or of "
            "another size or camera"
        )
    return "; ".join(causes)
