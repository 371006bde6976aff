"""The rehearsal set: pairs that must not be forgotten, for training and validation."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.adaptation.errors import AdaptationError, AdaptationStateError
from depth_motion_ros.adaptation.pairing.records import (
    PairRecord,
    record_of_tensors,
    tensors_of_record,
)
from depth_motion_ros.adaptation.progress import tell_progress
from depth_motion_ros.adaptation.storage import read_tensors, write_tensors
from depth_motion_ros.simulator.batches import PairSampler, PairSettings
from depth_motion_ros.sources.frame import Frame, FrameSource

COUNT = 48
# A recorded pair may skip frames until the image has changed this much, but no more than these.
_MOTION, _LONGEST_STEP = 0.02, 3
# Increase it with every change of what is rendered, so that no old file is used.
_CACHE_VERSION = 1
_PART = 8


def simulated_pairs(width: int, height: int, count: int = COUNT, seed: int = 0) -> list[PairRecord]:
    """Rendered pairs of all families, with true depth. The same arguments give the same pairs."""
    settings = PairSettings(pool=min(20, max(5, count // 2)))
    records: list[PairRecord] = []

    def between() -> None:
        tell_progress("rendering pairs that must not be forgotten", len(records), count)

    sampler = PairSampler(width, height, settings=settings, seed=seed, between=between)
    with torch.no_grad():
        for start in range(0, count, _PART):
            batch = sampler.batch(min(_PART, count - start), index=0 if start == 0 else None)
            depths = [
                depth.masked_fill(~valid, torch.nan)
                for depth, valid in (
                    (batch.depth_1, batch.valid_1),
                    (batch.depth_2, batch.valid_2),
                )
            ]
            records += [
                PairRecord(
                    (batch.image_1[i] * 255).round().to(torch.uint8),
                    (batch.image_2[i] * 255).round().to(torch.uint8),
                    batch.K[i].clone(),
                    depths[0][i].clone(),
                    depths[1][i].clone(),
                    float(batch.T_12[i, :3, 3].norm()),
                )
                for i in range(len(batch.K))
            ]
    return records


def cached_pairs(
    width: int, height: int, count: int = COUNT, seed: int = 0, folder: Path | None = None
) -> list[PairRecord]:
    """The same from a file of ``folder`` (default: the user's cache), rendered where it is not.

    A folder that cannot be written costs the rendering at every start, nothing else.
    """
    folder = _default_folder() if folder is None else folder
    path = folder / f"pairs_{_CACHE_VERSION}_{width}x{height}_{count}_{seed}.safetensors"
    try:
        tensors, about = read_tensors(path)
        return [record_of_tensors(tensors, about, str(i)) for i in range(count)]
    except (AdaptationStateError, KeyError):
        records = simulated_pairs(width, height, count, seed)
    tensors, about = {}, {}
    for i, record in enumerate(records):
        more, more_about = tensors_of_record(record, str(i))
        tensors |= more
        about |= more_about
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors, about)
    except OSError:
        return records
    return records


def recorded_pairs(
    source: FrameSource, width: int, height: int, count: int = COUNT
) -> list[PairRecord]:
    """Pairs of a recording, evenly spread: for weights that were trained on recordings.

    A pair spans up to three frames, until the images differ enough. True depth is kept where known.

    Raises AdaptationError for a recording without a pair that shows motion.
    """
    found = list(_moving_pairs(source, width, height))
    if not found:
        raise AdaptationError(
            f"{source.name}: no pair of its frames shows motion; give a recording that moves"
        )
    places = np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)
    return [found[place] for place in places]


def _moving_pairs(source: FrameSource, width: int, height: int) -> Iterator[PairRecord]:
    first: tuple[Frame, NDArray[np.uint8]] | None = None
    age = 0
    for index, frame in enumerate(source):
        tell_progress("reading pairs that must not be forgotten", index, source.length or index)
        resized = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
        image = np.asarray(resized, dtype=np.uint8)
        if first is not None:
            age += 1
            change = np.abs(image.astype(np.int16) - first[1]).mean() / 255
            if change >= _MOTION:
                yield _record(first[0], first[1], frame, image)
            elif age < _LONGEST_STEP:
                continue
        first, age = (frame, image), 0


def _record(
    first: Frame, first_image: NDArray[np.uint8], second: Frame, second_image: NDArray[np.uint8]
) -> PairRecord:
    height, width = first_image.shape[:2]
    K = None
    if second.camera is not None:
        K = torch.tensor(second.camera.resized(width, height).K, dtype=torch.float32)
    return PairRecord(
        torch.from_numpy(first_image).permute(2, 0, 1).contiguous(),
        torch.from_numpy(second_image).permute(2, 0, 1).contiguous(),
        K,
        _depth(first, width, height),
        _depth(second, width, height),
        stamp=second.stamp * 1e-9,
    )


def _depth(frame: Frame, width: int, height: int) -> Tensor | None:
    truth = frame.truth.depth if frame.truth is not None else None
    if truth is None:
        return None
    small = cv2.resize(truth, (width, height), interpolation=cv2.INTER_NEAREST)
    return torch.from_numpy(small)[None]


def _default_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "depth_motion_ros"


def split(records: list[PairRecord]) -> tuple[list[PairRecord], list[PairRecord]]:
    """Pairs for training and pairs for validation: every second one."""
    if len(records) < 2:
        raise AdaptationError(
            f"{len(records)} rehearsal pairs: 2 are needed, for training and for validation"
        )
    return list(itertools.islice(records, 0, None, 2)), list(itertools.islice(records, 1, None, 2))


def check_sizes(records: Sequence[PairRecord], width: int, height: int) -> None:
    """Raises AdaptationError for a pair of another size than the network takes."""
    for record in records:
        found = tuple(record.image_1.shape)
        if found != (3, height, width):
            raise AdaptationError(
                f"a rehearsal pair is {found[2]}x{found[1]}, the network takes {width}x{height}: "
                "make the pairs for these weights"
            )
