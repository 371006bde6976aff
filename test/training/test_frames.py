"""Frames in any order, from folders, prepared sets and small sources."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training_helpers import Room, write_sequence

from depth_motion_ros.sources.frame import Frame, SourceError
from depth_motion_ros.sources.sequence.reader import SequenceSource
from depth_motion_ros.training.data.frames import MemoryFrames, SequenceFrames


def test_a_sequence_folder_gives_its_images_in_any_order(tmp_path: Path) -> None:
    room = Room(3, 64, 32)
    frames = SequenceFrames(write_sequence(room, tmp_path / "room"))
    assert len(frames) == 3
    assert frames.size == (64, 32)
    for index in (2, 0, 1):
        np.testing.assert_array_equal(frames.image(index), room.images[index])
    assert frames.camera is not None
    np.testing.assert_allclose(frames.camera.K, room.true_camera.K)
    assert not frames.has_masks
    assert frames.mask(0) is None


def test_masks_are_read_where_there_are_any(tmp_path: Path) -> None:
    path = write_sequence(Room(2, 64, 32), tmp_path / "room")
    labels = np.zeros((32, 64), np.uint8)
    labels[4:8, 10:20] = 3
    (path / "mask").mkdir()
    stem = sorted((path / "image").iterdir())[0].stem
    cv2.imwrite(str(path / "mask" / f"{stem}.png"), labels)
    frames = SequenceFrames(path)
    assert frames.has_masks
    mask = frames.mask(0)
    assert mask is not None
    np.testing.assert_array_equal(mask, labels > 0)
    assert frames.mask(1) is None


def test_distorted_images_are_refused_with_the_fix(tmp_path: Path) -> None:
    path = write_sequence(Room(2, 64, 32), tmp_path / "room")
    intrinsics = json.loads((path / "intrinsics.json").read_text())
    intrinsics |= {"distortion": [-0.3, 0.1, 0.0, 0.0], "distortion_model": "plumb_bob"}
    (path / "intrinsics.json").write_text(json.dumps(intrinsics))
    with pytest.raises(SourceError, match="depth_motion prepare"):
        SequenceFrames(path)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    path = write_sequence(Room(2, 64, 32), tmp_path / "room")
    last = sorted((path / "image").iterdir())[1]
    cv2.imwrite(str(last), np.zeros((16, 64, 3), np.uint8))
    with pytest.raises(SourceError, match=rf"{last.name}.*64x16.*64x32"):
        SequenceFrames(path).image(1)


def test_small_sources_are_kept_in_memory_and_large_ones_refused(tmp_path: Path) -> None:
    path = write_sequence(Room(3, 64, 32), tmp_path / "room")
    assert len(MemoryFrames(SequenceSource(path))) == 3
    # Two images of 64 x 32 x 3 bytes fit, three do not.
    with pytest.raises(SourceError, match="depth_motion prepare"):
        MemoryFrames(SequenceSource(path), limit=2 * 64 * 32 * 3)


def test_one_frame_makes_no_pair() -> None:
    class One(SequenceSource):
        name = "one"

        def __init__(self) -> None:
            pass

        def __iter__(self):  # type: ignore[no-untyped-def]
            yield Frame(0, np.zeros((32, 64, 3), np.uint8))

    with pytest.raises(SourceError, match="1 frames make no pair"):
        MemoryFrames(One())
