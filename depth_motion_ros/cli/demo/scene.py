"""A scene of the simulator rendered ahead, so that a camera can play it at any rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.sequence.writer import SequenceWriter


def render_scene(
    spec: str,
    folder: Path,
    *,
    size: tuple[int, int],
    rate: float,
    frames: int,
    there_and_back: bool = False,
    tell: Callable[[int], object] = lambda count: None,
) -> Path:
    """Write a sequence folder and return it.

    spec: ``sim:NAME``. size: (width, height). there_and_back: the frames again, from the last to
    the first, without ground truth: played in a loop it has no cut, at which tracking would be
    lost. tell: called with the number of frames rendered so far.
    """
    way: list[Frame] = []
    with (
        open_source(spec, rate=rate, frames=frames, width=size[0], height=size[1]) as scene,
        SequenceWriter(folder, rate=rate) as writer,
    ):
        for count, frame in enumerate(scene, 1):
            if there_and_back:
                # The truth about the way there is not that of the way back.
                frame = replace(frame, truth=None)
                way.append(frame)
            writer.write(frame)
            tell(count)
        for index, frame in enumerate(way[-2:0:-1], len(way)):
            writer.write(replace(frame, stamp=round(index * 1e9 / rate)))
    return folder
