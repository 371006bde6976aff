"""demo.mp4: image, depth, object motion and the path so far, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.cli.demo.paths import TrajectoryPair, read_paths
from depth_motion_ros.cli.demo.recording import DEPTH, FLOW_COLOUR, IMAGE, DemoRecording, pixels
from depth_motion_ros.cli.video_writer import VideoWriter

Pixels = NDArray[np.uint8]

PANEL_WIDTH = 480
WHITE, GRAY, BLUE, GREEN = (255, 255, 255), (160, 160, 160), (31, 119, 180), (44, 160, 44)


def draw_video(recording: DemoRecording, path: Path) -> int:
    """Write the video of all frames that have image and depth. Returns their number."""
    near, far = _depth_range(recording)
    paths = read_paths(recording)
    start: int | None = None
    with VideoWriter(path) as video:
        for stamp, shown in _moments(recording):
            image = pixels(shown[IMAGE])
            size = (PANEL_WIDTH, _even(PANEL_WIDTH * image.shape[0] / image.shape[1]))
            depth = _colour_depth(pixels(shown[DEPTH]), near, far)
            flow = pixels(shown[FLOW_COLOUR]) if FLOW_COLOUR in shown else None
            canvas = np.vstack(
                [
                    np.hstack([_panel(image, size, "image"), _panel(depth, size, "depth")]),
                    np.hstack([_panel(flow, size, "object motion"), _map(paths, stamp, size)]),
                ]
            )
            start = stamp if start is None else start
            video.add(canvas, (stamp - start) * 1e-9)
    return video.frames


def _moments(recording: DemoRecording) -> Iterator[tuple[int, dict[str, Any]]]:
    """(stamp, messages by topic) once a later frame shows that nothing more will come for it."""
    waiting: dict[int, dict[str, Any]] = {}
    for topic, stamp, message in recording.messages(IMAGE, DEPTH, FLOW_COLOUR):
        if topic == DEPTH:
            yield from _take_before(stamp, waiting)
        waiting.setdefault(stamp, {})[topic] = message
    yield from _take_before(None, waiting)


def _take_before(
    stamp: int | None, waiting: dict[int, dict[str, Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for earlier in sorted(waiting):
        if stamp is None or earlier < stamp:
            shown = waiting.pop(earlier)
            if IMAGE in shown and DEPTH in shown:
                yield earlier, shown


def _even(value: float) -> int:
    """yuv420p halves the colour planes."""
    return max(2, round(value / 2) * 2)


def _depth_range(recording: DemoRecording) -> tuple[float, float]:
    """Nearest and farthest depth worth a colour, one range for the whole video."""
    limits = []
    for _, _, message in recording.messages(DEPTH):
        depth = pixels(message)
        valid = depth[np.isfinite(depth)]
        if valid.size:
            limits.append(np.percentile(valid, (2, 95)))
    if not limits:
        return 0.0, 1.0
    near, far = np.median(limits, axis=0)
    return float(near), float(max(far, near + 1e-3))


def _colour_depth(depth: NDArray[np.float32], near: float, far: float) -> Pixels:
    """Near is red, far is blue, invalid is gray."""
    valid = np.isfinite(depth)
    share = np.clip((np.where(valid, depth, far) - near) / (far - near), 0.0, 1.0)
    blue_green_red = cv2.applyColorMap(((1.0 - share) * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    colours = np.asarray(cv2.cvtColor(blue_green_red, cv2.COLOR_BGR2RGB), np.uint8)
    colours[~valid] = GRAY
    return colours


def _panel(image: Pixels | None, size: tuple[int, int], text: str) -> Pixels:
    if image is None:
        shown: Any = np.full((size[1], size[0], 3), GRAY, np.uint8)
    else:
        shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _write(shown, text)


def _write(image: Any, text: str) -> Pixels:
    """White letters with a dark edge read on any picture."""
    for colour, width in (((0, 0, 0), 3), (WHITE, 1)):
        cv2.putText(image, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


def _map(paths: TrajectoryPair, stamp: int, size: tuple[int, int]) -> Pixels:
    """The path until ``stamp`` from above, start pointing up, whole path in view from the start."""
    width, height = size
    canvas = np.full((height, width, 3), 30, np.uint8)
    every = paths.estimated if paths.true is None else np.vstack([paths.estimated, paths.true])
    if not len(every):
        return _write(canvas, "no trajectory")
    low, high = every[:, :2, 3].min(axis=0), every[:, :2, 3].max(axis=0)
    scale = 0.8 * min(height / max(high[0] - low[0], 0.1), width / max(high[1] - low[1], 0.1))
    middle = (low + high) / 2

    def draw(path: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
        ahead, left = ((path[:, :2, 3] - middle) * scale).T
        line = np.stack([width / 2 - left, height / 2 - ahead], axis=1).round().astype(np.int32)
        cv2.polylines(canvas, [line], False, colour, 2, cv2.LINE_AA)

    if paths.true is not None:
        draw(paths.true, GREEN)
    past = paths.estimated[: int(np.searchsorted(paths.stamps, stamp, side="right"))]
    if len(past):
        draw(past, BLUE)
    legend = "odom (blue)" if paths.true is None else "odom (blue), truth (green)"
    return _write(canvas, legend)
