"""A prepared data set: a folder of sequence folders and an index of what they hold.

``depth_motion prepare`` writes it. index.json is an object:

    version      1
    settings     how the frames were made: width, height, fit, threshold, quality, ...
    sources      by name: spec, status ("running", "done", "broken"), error, frames read, kept,
                 duplicates (too alike to the one before), alone (no neighbour to pair with),
                 damaged; limit of frames read; identity: size, time and options when it was read
    sequences    list, each: name (the folder), source, frames, width, height, K or null,
                 stamps (ns), speed (m/s or null for each frame, or null), difference (mean
                 absolute difference to the frame before in the sequence, images in [0, 1])

Within a sequence frames follow one another without a gap: a jump of time or another camera
starts a new one. What stood still was left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from depth_motion_ros.geometry.camera import Camera, CameraError
from depth_motion_ros.sources.frame import Frame, SourceError
from depth_motion_ros.sources.sequence.reader import SequenceSource

INDEX = "index.json"
INDEX_VERSION = 1


def is_prepared(path: Path) -> bool:
    """Whether a folder is a prepared data set."""
    return (path / INDEX).is_file()


@dataclass(frozen=True, eq=False)
class PreparedSequence:
    """One continuous stretch of frames, by the index; images are read when asked for.

    path: a sequence folder. source: name of the source it comes from. size: (width, height).
    camera: without distortion, None where unknown. stamps: ns. speed: m/s, None where unknown.
    difference: mean absolute difference of each image to the one before, in [0, 1].
    """

    name: str
    path: Path
    source: str
    size: tuple[int, int]
    camera: Camera | None
    stamps: list[int]
    speed: list[float | None]
    difference: list[float]

    def __len__(self) -> int:
        return len(self.stamps)

    @cached_property
    def folder(self) -> SequenceSource:
        """The sequence folder itself. Raises SourceError where it does not fit the index."""
        folder = SequenceSource(self.path, truth=False)
        if len(folder) != len(self):
            raise SourceError(
                f"{self.path}: {len(folder)} images, but the index says {len(self)}: run "
                "depth_motion prepare again"
            )
        return folder

    def frame(self, index: int) -> Frame:
        """The frame at ``index``. Raises SourceError where its image is damaged."""
        return self.folder.frame(index)


class PreparedDataset:
    """The sequences of a prepared data set, by its index.

    Raises SourceError for a folder without an index, of another version, or with a sequence
    whose folder is gone.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        index = read_index(self.path)
        self.settings: dict[str, Any] = index["settings"]
        try:
            self.sequences = [_sequence(self.path, entry) for entry in index["sequences"]]
        except (KeyError, TypeError, ValueError, CameraError) as error:
            raise SourceError(f"{self.path / INDEX}: not a valid index: {error!r}") from error
        for sequence in self.sequences:
            if not sequence.path.is_dir():
                raise SourceError(
                    f"{sequence.path}: listed in the index but gone; run depth_motion prepare again"
                )

    def __len__(self) -> int:
        """Frames in all."""
        return sum(len(sequence) for sequence in self.sequences)

    def __iter__(self) -> Iterator[PreparedSequence]:
        return iter(self.sequences)

    def __getitem__(self, name: str) -> PreparedSequence:
        for sequence in self.sequences:
            if sequence.name == name:
                return sequence
        known = ", ".join(sequence.name for sequence in self.sequences)
        raise SourceError(f"{self.path}: no sequence {name!r}; there are: {known or 'none'}")


def read_index(path: Path) -> dict[str, Any]:
    """The content of index.json. Raises SourceError where it is missing or of another version."""
    file = path / INDEX
    if not file.is_file():
        raise SourceError(f"{path}: not a prepared data set: it has no {INDEX}")
    try:
        index = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: cannot read: {error}") from error
    version = index.get("version") if isinstance(index, dict) else None
    if version != INDEX_VERSION:
        raise SourceError(
            f"{file}: version {version!r}, this program reads {INDEX_VERSION}: prepare it anew"
        )
    return dict(index)


def _sequence(root: Path, entry: dict[str, Any]) -> PreparedSequence:
    name = str(entry["name"])
    if Path(name).name != name or name in ("", ".."):
        raise ValueError(f"sequence {name!r} does not lie in this folder")
    size = (int(entry["width"]), int(entry["height"]))
    stamps = [int(stamp) for stamp in entry["stamps"]]
    return PreparedSequence(
        name=name,
        path=root / name,
        source=str(entry["source"]),
        size=size,
        camera=None if entry["K"] is None else Camera(np.asarray(entry["K"], float), *size),
        stamps=stamps,
        speed=entry["speed"] or [None] * len(stamps),
        difference=[float(value) for value in entry["difference"]],
    )
