"""overview.png: one moment of a recorded demo in five panels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from depth_motion_ros.cli.demo.paths import TrajectoryPair, length, read_paths
from depth_motion_ros.cli.demo.recording import (
    CLOUD,
    DEPTH,
    FLOW_CLOUD,
    FLOW_COLOUR,
    IMAGE,
    ODOMETRY,
    DemoRecording,
    pixels,
    points,
)
from depth_motion_ros.sources.frame import SourceError

NEEDED = (IMAGE, DEPTH, CLOUD, ODOMETRY)
Extent = tuple[float, float, float, float]
MOST_ARROWS = 150
# Panels end where nearly all points have been seen: one outlier must not shrink the rest.
SEEN = 97


def draw_overview(recording: DemoRecording, path: Path, title: str, metric: bool) -> None:
    """Write the picture.

    metric: lengths are metres; otherwise they are called units.
    Raises SourceError when no frame was served completely.
    """
    unit = "m" if metric else "units of the network"
    stamp = choose_stamp(recording)
    shown = recording.at(stamp, *NEEDED, FLOW_COLOUR, FLOW_CLOUD)
    figure = Figure(figsize=(15, 8.4), layout="constrained")
    figure.suptitle(title, fontsize=12)
    # matplotlib's types say "a SubFigure or an array of them".
    rows: Any = figure.subfigures(2, 1, height_ratios=(1, 1.45))
    top, bottom = rows
    left, middle, right = top.subplots(1, 3)
    image = pixels(shown[IMAGE])
    # The network squeezes the image into its own shape: all three are drawn in the image's.
    extent = (0.0, float(image.shape[1]), float(image.shape[0]), 0.0)
    _picture(left, image, extent, "image")
    _depth(middle, pixels(shown[DEPTH]), extent, unit)
    if FLOW_COLOUR in shown:
        _picture(right, pixels(shown[FLOW_COLOUR]), extent, "object motion (hue: direction)")
    else:
        _picture(right, np.full_like(image, 200), extent, "object motion: none yet")
    above, way = bottom.subplots(1, 2)
    _cloud_from_above(above, points(shown[CLOUD]), shown.get(FLOW_CLOUD), unit)
    _trajectory(way, read_paths(recording), stamp, unit)
    figure.savefig(path, dpi=90)


def choose_stamp(recording: DemoRecording) -> int:
    """The completely served frame, past the first third, in which most is seen to move."""
    received = recording.received
    complete = set(received[IMAGE]).intersection(*(received[topic] for topic in NEEDED))
    if not complete:
        counts = ", ".join(f"{topic} {len(received[topic])}" for topic in NEEDED)
        raise SourceError(f"no frame was served completely: received {counts}. See log/")
    later = sorted(complete)[len(complete) // 3 :]
    moving = {
        stamp: message.width
        for _, stamp, message in recording.messages(FLOW_CLOUD)
        if stamp in complete
    }
    return max(later, key=lambda stamp: (moving.get(stamp, 0), stamp))


def _picture(axes: Axes, image: NDArray[np.uint8], extent: Extent, title: str) -> None:
    axes.imshow(image, extent=extent)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def _depth(axes: Axes, depth: NDArray[np.float32], extent: Extent, unit: str) -> None:
    valid = depth[np.isfinite(depth)]
    near, far = np.percentile(valid, (1, SEEN)) if valid.size else (0.0, 1.0)
    drawn = axes.imshow(depth, cmap="turbo_r", vmin=near, vmax=far, extent=extent)
    axes.set_title(f"depth ({unit})", fontsize=10)
    axes.set_axis_off()
    axes.figure.colorbar(drawn, ax=axes, fraction=0.03, pad=0.02)


def _cloud_from_above(axes: Axes, cloud: NDArray[Any], moving: Any | None, unit: str) -> None:
    """Optical axes seen from above: x to the right, z ahead."""
    cloud = cloud[np.isfinite(cloud["z"])]
    colours = cloud["rgb"].copy().view(np.uint32)
    red_green_blue = np.stack([(colours >> shift) & 255 for shift in (16, 8, 0)], axis=1) / 255.0
    axes.scatter(cloud["x"], cloud["z"], s=1.5, c=red_green_blue, linewidths=0)
    if moving is not None and moving.width:
        arrows = points(moving)[:: max(1, moving.width // MOST_ARROWS)]
        axes.quiver(
            arrows["x"], arrows["z"], arrows["vx"], arrows["vz"], label="object velocity × 1 s",
            angles="xy", scale_units="xy", scale=1.0, width=0.003, color="tab:red",
        )  # fmt: skip
        axes.legend(loc="upper right", fontsize=8)
    axes.plot(0, 0, marker="^", markersize=9, color="black")
    if len(cloud):
        ahead = float(np.percentile(cloud["z"], SEEN)) * 1.05
        aside = float(np.percentile(np.abs(cloud["x"]), SEEN)) * 1.05
        axes.set(xlim=(-aside, aside), ylim=(-0.03 * ahead, ahead))
    axes.set(
        title="cloud from above", xlabel=f"right ({unit})", ylabel=f"ahead ({unit})", aspect="equal"
    )
    axes.grid(alpha=0.3)


def _trajectory(axes: Axes, paths: TrajectoryPair, stamp: int, unit: str) -> None:
    """odom seen from above with the start pointing up: left is left."""
    way = paths.estimated[:, :3, 3]
    axes.plot(
        -way[:, 1], way[:, 0], color="tab:blue", label=f"odom, {length(paths.estimated):.2f} {unit}"
    )
    if paths.true is not None:
        true = paths.true[:, :3, 3]
        axes.plot(
            -true[:, 1], true[:, 0], color="tab:green", linestyle="--",
            label=f"truth, {length(paths.true):.2f} m",
        )  # fmt: skip
    now = way[int(np.searchsorted(paths.stamps, stamp))]
    axes.plot(-now[1], now[0], marker="o", color="tab:blue", label="the moment shown")
    axes.set(title="trajectory", xlabel="right", ylabel="ahead")
    # Equal axes by widening the data's box: a straight path is no thin stripe.
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(loc="best", fontsize=8)
    axes.grid(alpha=0.3)
