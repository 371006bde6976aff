"""The sequence folder: the layout in which this project keeps frames and what is known of them.

image/*.jpg|png     the frames; the stems name the frames in all other folders
intrinsics.json     width, height, K (3x3) or null; where known distortion and distortion_model,
                    P (of the rectified image), depth_scale, rate
timestamps.txt      seconds, one line a frame (optional)
poses.txt           KITTI rows, camera-to-world, metres; a row of nan = unknown (optional)
speed.txt           forward speed in m/s, one line a frame; nan = unknown (optional)
depth/*.png         16 bits, depth_scale steps per metre, 0 = none (optional)
motion/*.npz        key "motion", float16 (H, W, 3), see GroundTruth.motion (optional)
instance/*.png      16 bits, 0 = static (optional)
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera, CameraError
from depth_motion_ros.sources.base import Source, check_rate, is_date, rate_of, stamp_of_index
from depth_motion_ros.sources.files import (
    list_images,
    read_image,
    read_png16,
    read_poses,
    read_table,
)
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError
from depth_motion_ros.sources.timestamps import read_stamps

# Three float32 for each pixel of the largest image that cameras of robots give.
_MOST_MOTION_BYTES = 12 * 8192 * 8192
_BAD_ARCHIVE = (
    OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile,
    # A bare array under the name of an archive: Python 3.10 and later ones say it differently.
    AttributeError, TypeError,
)  # fmt: skip


def is_sequence(path: Path) -> bool:
    """Whether a folder is a whole sequence. The writer writes intrinsics.json last."""
    return (path / "intrinsics.json").is_file() and (path / "image").is_dir()


class SequenceSource(Source):
    """Reads a sequence folder; frames can be had in order or one by one.

    stamps: ns, one per frame; from timestamps.txt, else from the index and ``rate``.
    camera: None where K is null.
    depth_scale: steps per metre of depth/*.png; 0 where there are none.
    rectified: the images are without the distortion of intrinsics.json: P of that file holds where
        it is there, else K.
    truth: False leaves depth, motion and instance maps unread (poses and speed are cheap).

    Raises SourceError for a folder that is not a whole sequence, or whose tables do not fit the
    number of images; while iterating, for a damaged file.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rate: float | None = None,
        truth: bool = True,
        rectified: bool = False,
    ) -> None:
        self.path = Path(path)
        if not is_sequence(self.path):
            raise SourceError(
                f"{self.path}: not a sequence folder: it needs image/ and intrinsics.json"
            )
        self.images = list_images(self.path / "image")
        if not self.images:
            raise SourceError(f"{self.path / 'image'}: no JPEG or PNG files")
        intrinsics = _read_json(self.path / "intrinsics.json")
        manifest = _manifest_entry(self.path)
        known_rate = intrinsics.get("rate", manifest.get("fps"))
        super().__init__(self.path.name, check_rate(rate or known_rate), len(self.images))
        self.camera = _camera(intrinsics, self.path / "intrinsics.json", rectified)
        self.depth_scale = float(
            intrinsics.get("depth_scale") or manifest.get("depth_scale") or 0.0
        )
        self._truth = truth
        self.stamps = self._read_stamps()
        if rate is None and (self.path / "timestamps.txt").is_file():
            self.rate = rate_of(self.stamps) or self.rate
        self.has_clock = is_date(self.stamps[0])
        count = len(self.images)
        poses, speed = self.path / "poses.txt", self.path / "speed.txt"
        self.poses = read_poses(poses, count) if poses.is_file() else [None] * count
        speeds = read_table(speed, 1, count)[:, 0] if speed.is_file() else [np.nan] * count
        self.speeds = [float(value) if np.isfinite(value) else None for value in speeds]
        if truth and (self.path / "depth").is_dir() and not self.depth_scale:
            raise SourceError(
                f"{self.path}: depth/ without a depth_scale: write depth_scale (steps per metre) "
                "into intrinsics.json"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(index) for index in range(len(self)))

    def frame(self, index: int) -> Frame:
        """The frame at ``index``; SourceError where one of its files is damaged."""
        path = self.images[index]
        image = read_image(path)
        size = image.shape[1::-1]
        if self.camera is not None and size != self.camera.size:
            raise SourceError(
                f"{path}: the image is {size[0]}x{size[1]}, intrinsics.json says "
                f"{self.camera.width}x{self.camera.height}"
            )
        return Frame(self.stamps[index], image, self.camera, self._truth_of(index, size))

    def _truth_of(self, index: int, size: tuple[int, int]) -> GroundTruth | None:
        stem = self.images[index].stem
        depth = motion = instance = None
        if self._truth:
            depth_path = self.path / "depth" / f"{stem}.png"
            motion_path = self.path / "motion" / f"{stem}.npz"
            instance_path = self.path / "instance" / f"{stem}.png"
            if depth_path.is_file():
                depth = _read_depth(depth_path, self.depth_scale)
                _check_size(depth_path, depth, size)
            if motion_path.is_file():
                motion = _read_motion(motion_path)
                _check_size(motion_path, motion, size)
            if instance_path.is_file():
                instance = read_png16(instance_path)
                _check_size(instance_path, instance, size)
        truth = GroundTruth(depth, self.poses[index], motion, instance, self.speeds[index])
        known = (truth.depth, truth.pose, truth.motion, truth.instance, truth.speed)
        return None if all(value is None for value in known) else truth

    def _read_stamps(self) -> list[int]:
        path = self.path / "timestamps.txt"
        if path.is_file():
            return read_stamps(path, len(self.images), self.rate)
        return [stamp_of_index(index, self.rate) for index in range(len(self.images))]


def _read_depth(path: Path, scale: float) -> NDArray[np.float32]:
    steps = read_png16(path)
    return np.where(steps > 0, steps / scale, np.nan).astype(np.float32)


def _read_motion(path: Path) -> NDArray[np.float32]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            # A few bytes can unpack to more than the memory.
            size = archive.zip.getinfo("motion.npy").file_size
            if size > _MOST_MOTION_BYTES:
                raise ValueError(f"it unpacks to {size} bytes, more than {_MOST_MOTION_BYTES}")
            motion = archive["motion"].astype(np.float32)
    except _BAD_ARCHIVE as error:
        raise SourceError(f"{path}: cannot read the array 'motion': {error}") from error
    if motion.ndim != 3 or motion.shape[2] != 3:
        raise SourceError(f"{path}: motion must be (H, W, 3), got {motion.shape}")
    return motion


def _check_size(path: Path, values: NDArray[Any], size: tuple[int, int]) -> None:
    if values.shape[1::-1] != size:
        raise SourceError(
            f"{path}: {values.shape[1]}x{values.shape[0]}, but the image is {size[0]}x{size[1]}"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot read: {error}") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: expected an object, got {type(content).__name__}")
    return content


def _camera(intrinsics: dict[str, Any], path: Path, rectified: bool) -> Camera | None:
    if intrinsics.get("K") is None:
        return None
    try:
        return Camera.from_calibration(
            intrinsics["K"],
            int(intrinsics["width"]),
            int(intrinsics["height"]),
            intrinsics.get("distortion") or [],
            str(intrinsics.get("distortion_model") or ""),
            P=intrinsics.get("P"),
            rectified=rectified,
            is_window=True,
        )
    except CameraError as error:
        raise SourceError(f"{path}: no valid camera: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{path}: no valid camera: {error!r}") from error


def _manifest_entry(path: Path) -> dict[str, Any]:
    """What a manifest.json up to two levels above says of this folder; {} where none does."""
    resolved = path.resolve()
    for parent in list(resolved.parents)[:2]:
        manifest = parent / "manifest.json"
        if not manifest.is_file():
            continue
        name = resolved.relative_to(parent).as_posix()
        for item in _read_json(manifest).get("items", []):
            if isinstance(item, dict) and item.get("path") == name:
                return item
    return {}
