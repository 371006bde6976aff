"""From recordings to a compact training set, in one pass and safe against interruption."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera, CameraError
from depth_motion_ros.sources.base import SECOND
from depth_motion_ros.sources.frame import Frame, FrameSource, GroundTruth, SourceError
from depth_motion_ros.sources.rectify import Rectifier
from depth_motion_ros.sources.sequence.writer import SequenceWriter, same_camera
from depth_motion_ros.training.data.fit import FrameFit
from depth_motion_ros.training.data.identity import change_between
from depth_motion_ros.training.data.index import NOTE, DatasetIndex, SourceState, locked

_log = logging.getLogger(__name__)

MIN_FRAMES = 2
"""A sequence with fewer frames has no pair and is left out."""


@dataclass(frozen=True)
class PrepareSettings:
    """How a training set is made.

    fit: size of the images. threshold: a frame is a duplicate where its mean absolute
    difference to the last frame kept is not above this (images in [0, 1]). max_gap: seconds
    between two frames of the source after which a new sequence begins. quality: of the JPEG
    files. max_frames: read no more of each source than this.
    """

    fit: FrameFit = field(default_factory=FrameFit)
    threshold: float = 0.01
    max_gap: float = 1.0
    quality: int = 95
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must lie in [0, 1), got {self.threshold}")
        if not self.max_gap > 0:
            raise ValueError(f"max_gap must be positive, got {self.max_gap} s")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must lie in 1..100, got {self.quality}")
        if self.max_frames is not None and self.max_frames < MIN_FRAMES:
            raise ValueError(f"max_frames must be at least {MIN_FRAMES}, got {self.max_frames}")

    def record(self) -> dict[str, Any]:
        """What all frames of a data set have in common, for the index."""
        return {
            "width": self.fit.width,
            "height": self.fit.height,
            "fit": self.fit.fit,
            "threshold": self.threshold,
            "max_gap": self.max_gap,
            "quality": self.quality,
        }


def prepare(
    sources: Mapping[str, Callable[[], FrameSource]],
    path: Path,
    settings: PrepareSettings,
    tell: Callable[[str, SourceState], None],
    identities: Mapping[str, dict[str, Any]] | None = None,
) -> list[SourceState]:
    """Add sources to the data set at ``path``; what a former run has done is not done again.

    sources: how to open each, by its spec, under which a later run knows it again.
    tell: hears the name and state of each source as it is finished. A source that breaks keeps
    the frames before the break, with status "broken"; a later run tries it again.
    identities: of the sources that have one, see ``identity_of``; a source that has changed since
    it was read is read anew, and its former frames are removed.

    Returns the states in the order of ``sources``. Raises SourceError only where the data set
    itself cannot be written.
    """
    with locked(path):
        index = DatasetIndex(path, settings.record())
        states = []
        for spec, open_frames in sources.items():
            identity = (identities or {}).get(spec)
            name, state = _prepare_source(spec, index, settings, open_frames, identity)
            states.append(state)
            tell(name, state)
        return states


def _prepare_source(
    spec: str,
    index: DatasetIndex,
    settings: PrepareSettings,
    open_frames: Callable[[], FrameSource],
    identity: dict[str, Any] | None,
) -> tuple[str, SourceState]:
    known = next((item for item in index.sources.items() if item[1].spec == spec), None)
    changed = None
    if known is not None:
        name, state = known
        if identity is not None:
            changed = change_between(state.identity, identity)
        if state.status == "done" and not changed and not _goes_further(state, settings):
            return known
    try:
        source = open_frames()
    except (SourceError, OSError) as error:
        name = index.name_of(spec, Path(spec).stem)
        former = known[1].identity if known is not None else None
        state = index.sources[name] = SourceState(spec, "broken", str(error), identity=former)
        state.kept = sum(note["frames"] for note in index.notes(name))
        index.write()
        return name, state
    with source:
        name = index.name_of(spec, source.name)
        if changed:
            _log.warning("%s: has changed since it was read (%s): it is read anew", name, changed)
            # Before the new identity is written: a run that is killed here begins again.
            index.forget(name)
        state = index.sources[name] = SourceState(
            spec, limit=settings.max_frames, identity=identity
        )
        run = _Run(name, state, index, settings, anew=bool(changed))
        index.write()
        try:
            run.take(islice(source, settings.max_frames))
            state.status = "done"
        except (SourceError, CameraError, OSError) as error:
            state.status, state.error = "broken", str(error)
        run.finish()
        state.damaged = int(getattr(source, "failures", 0))
    index.write()
    return name, state


def _goes_further(state: SourceState, settings: PrepareSettings) -> bool:
    """Whether the run before stopped at its own limit, and this one has a higher one or none."""
    if state.limit is None or state.read < state.limit:
        return False
    return settings.max_frames is None or settings.max_frames > state.limit


class _Run:
    """One pass over one source."""

    def __init__(
        self,
        name: str,
        state: SourceState,
        index: DatasetIndex,
        settings: PrepareSettings,
        anew: bool,
    ) -> None:
        self.name, self.state, self.index, self.settings = name, state, index, settings
        self._gap = round(settings.max_gap * SECOND)
        self._rectify = Rectifier()
        done = index.notes(name)
        self._number = len(done)
        state.kept = sum(note["frames"] for note in done)
        self._writer: SequenceWriter | None = None
        # The source's frames up to here were dealt with by a former run.
        self._last_done = done[-1]["last"] if done else -1
        self._count_on(done[-1] if done else {})
        partial = self._next_writer()
        if len(partial) and not anew:
            self._writer = partial
            note = partial.records[-1]["note"]
            self._last_done = note["number"]
            self._count_on(note)
            state.kept += len(partial)
        else:
            partial.discard()
        self._kept: NDArray[np.uint8] | None = None
        self._camera: Camera | None = None
        self._stamp: int | None = None

    def take(self, frames: Iterator[Frame]) -> None:
        """Keep what differs. Raises SourceError or CameraError where the source breaks."""
        for number, frame in enumerate(frames):
            self.state.read += 1
            if number < self._last_done:
                self._stamp = frame.stamp
                continue
            small = self._made_small(frame)
            if number == self._last_done:
                # Made again, since the JPEG on disk is not quite what was compared.
                self._remember(small, frame.stamp)
                continue
            if self._breaks(frame.stamp, small):
                self._close(number - 1)
            self._stamp = frame.stamp
            difference = self._difference(small.image)
            if difference is not None and difference <= self.settings.threshold:
                self.state.duplicates += 1
                continue
            if self._writer is None:
                self._writer, difference = self._next_writer(), 0.0
            try:
                self._writer.write(
                    small, {"number": number, "difference": difference, **self._counts()}
                )
            except SourceError:
                self.state.read -= 1  # a full disk: the next run must take it again
                raise
            self.state.kept += 1
            self._remember(small, frame.stamp)

    def finish(self) -> None:
        """Finish the sequence that is being written."""
        self._close(self.state.read - 1)

    def _counts(self) -> dict[str, int]:
        """Of what was left out so far, for a run that goes on here."""
        return {"duplicates": self.state.duplicates, "alone": self.state.alone}

    def _count_on(self, note: Mapping[str, Any]) -> None:
        self.state.duplicates = note.get("duplicates", self.state.duplicates)
        self.state.alone = note.get("alone", self.state.alone)

    def _made_small(self, frame: Frame) -> Frame:
        image, camera = frame.image, frame.camera
        if camera is not None:
            image, camera = self._rectify(image, camera)
        image, camera = self.settings.fit(image, camera)
        truth = frame.truth
        kept = None if truth is None else GroundTruth(pose=truth.pose, speed=truth.speed)
        return Frame(frame.stamp, image, camera, kept)

    def _remember(self, small: Frame, stamp: int) -> None:
        self._kept, self._camera, self._stamp = small.image, small.camera, stamp

    def _difference(self, image: NDArray[np.uint8]) -> float | None:
        """Mean absolute difference to the last frame kept, in [0, 1]; None for a first frame."""
        if self._kept is None:
            return None
        return cv2.norm(self._kept, image, cv2.NORM_L1) / (image.size * 255)

    def _breaks(self, stamp: int, small: Frame) -> bool:
        """Whether a new sequence must begin with this frame."""
        if self._kept is None or self._stamp is None:
            return False
        jumped = not 0 <= stamp - self._stamp <= self._gap
        changed = small.image.shape != self._kept.shape
        return jumped or changed or not same_camera(self._camera, small.camera)

    def _next_writer(self) -> SequenceWriter:
        suffix = f"-{self._number + 1}" if self._number else ""
        return SequenceWriter(
            self.index.path / f"{self.name}{suffix}",
            jpeg_quality=self.settings.quality,
            resume=True,
        )

    def _close(self, last: int) -> None:
        """Give the sequence its name; ``last``: number of the last frame dealt with."""
        writer, self._writer = self._writer, None
        self._kept = None
        if writer is None:
            return
        if len(writer) < MIN_FRAMES:
            self.state.kept -= len(writer)
            self.state.alone += len(writer)
            writer.discard()
            return
        note = {**self._entry(writer), "last": last, **self._counts()}
        writer.close({NOTE: json.dumps(note).encode()})
        self._number += 1
        self.index.add(note)

    def _entry(self, writer: SequenceWriter) -> dict[str, Any]:
        speeds = [record["speed"] for record in writer.records]
        width, height = writer.size
        return {
            "name": writer.path.name,
            "source": self.name,
            "frames": len(writer),
            "width": width,
            "height": height,
            "K": None if writer.camera is None else writer.camera.K.tolist(),
            "stamps": [record["stamp"] for record in writer.records],
            "speed": speeds if any(speed is not None for speed in speeds) else None,
            "difference": [round(r["note"]["difference"], 6) for r in writer.records],
        }
