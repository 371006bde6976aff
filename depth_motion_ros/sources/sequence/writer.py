"""Writes the sequence folder of ``sequence.py`` so that no crash leaves a half-written one."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.files import write_atomically, write_lines
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError

_JOURNAL = ".frames.jsonl"
_CAMERA = ".camera.json"


class SequenceWriter:
    """Writes frames into a folder beside ``path`` that takes the name ``path`` when whole.

    Until ``close`` (the end of a ``with`` block without an error) everything lies in the hidden
    folder ``.NAME.partial``; its journal has one line per finished frame. After a crash or an
    error nothing is at ``path``; a new writer with ``resume`` goes on behind the last finished
    frame, and one without starts again.

    path: the sequence folder to be; it must not exist yet.
    truth: write depth, motion and instance maps (poses and speed are written where known).
    depth_scale: steps per metre of the 16-bit depth; 256 reaches 256 m at 4 mm, 1000 65 m at 1 mm.
    rate: frames per second, noted in intrinsics.json where known.
    image_format: "jpg" (quality ``jpeg_quality``) or "png" (lossless).

    size: (width, height), (0, 0) before the first frame. camera: that of all frames.
    records: one object a frame: stamp, pose, speed, note.

    All frames must have one size and one camera. Raises SourceError otherwise, and where
    ``path`` exists already or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        truth: bool = True,
        depth_scale: float = 256.0,
        rate: float | None = None,
        image_format: str = "jpg",
        jpeg_quality: int = 95,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        if self.path.exists():
            raise SourceError(f"{self.path}: exists already; remove it or choose another name")
        if image_format not in ("jpg", "png"):
            raise SourceError(f"image_format must be 'jpg' or 'png', got {image_format!r}")
        if not 0 < depth_scale < float("inf"):
            raise SourceError(f"depth_scale must be positive, got {depth_scale}")
        self.depth_scale, self.rate = depth_scale, rate
        self._truth = truth
        self._suffix = f".{image_format}"
        self._encoding = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if image_format == "jpg" else []
        self.size: tuple[int, int] = (0, 0)
        self.camera: Camera | None = None
        self.records: list[dict[str, Any]] = []
        try:
            if resume:
                self._resume()
            elif self.partial.exists():
                shutil.rmtree(self.partial)
            (self.partial / "image").mkdir(parents=True, exist_ok=True)
            self._journal = (self.partial / _JOURNAL).open("a")
        except OSError as error:
            raise SourceError(f"{self.path}: cannot write: {error}") from error

    def __len__(self) -> int:
        return len(self.records)

    def write(self, frame: Frame, note: Mapping[str, Any] | None = None) -> None:
        """Add a frame. note: anything JSON holds, kept in ``records`` until the end.

        Raises SourceError for another size or camera than the first frame's, or a full disk.
        """
        self._check_alike(frame)
        stem = f"{len(self.records):06d}"
        try:
            self._write_image(self.partial / "image" / f"{stem}{self._suffix}", frame.image)
            if self._truth and frame.truth is not None:
                self._write_maps(stem, frame.truth)
            record = _record(frame, note)
            self._journal.write(json.dumps(record) + "\n")
            self._journal.flush()
        except OSError as error:
            # Half a file would be one image more than there are stamps.
            for path in self.partial.glob(f"*/{stem}.*"):
                path.unlink()
            raise SourceError(f"{self.partial}: cannot write frame {stem}: {error}") from error
        self.records.append(record)

    def close(self, files: Mapping[str, bytes] | None = None) -> None:
        """Write the tables and give the folder its name: from now on it can be read.

        files: further files for the folder, by name.
        Raises SourceError where nothing was written.
        """
        self._journal.close()
        if not self.records:
            shutil.rmtree(self.partial, ignore_errors=True)
            raise SourceError(f"{self.path}: no frames were written")
        try:
            self._write_tables()
            for name, content in (files or {}).items():
                write_atomically(self.partial / name, content)
            os.replace(self.partial, self.path)
            # Only now: a crash before the renaming must find the journal, to resume from.
            for name in (_JOURNAL, _CAMERA):
                (self.path / name).unlink()
        except OSError as error:
            raise SourceError(f"{self.path}: cannot finish the sequence: {error}") from error

    def discard(self) -> None:
        """Stop and remove what is written."""
        self._journal.close()
        shutil.rmtree(self.partial, ignore_errors=True)

    def abandon(self) -> None:
        """Stop without finishing; what is written stays for a writer with ``resume``."""
        self._journal.close()

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _check_alike(self, frame: Frame) -> None:
        size = (frame.image.shape[1], frame.image.shape[0])
        if not self.records:
            self.size, self.camera = size, frame.camera
            intrinsics = _intrinsics(size, frame.camera)
            write_atomically(self.partial / _CAMERA, json.dumps(intrinsics).encode())
        if size != self.size:
            raise SourceError(
                f"{self.path}: frame {len(self)} is {size[0]}x{size[1]}, "
                f"the first was {self.size[0]}x{self.size[1]}"
            )
        if not same_camera(self.camera, frame.camera):
            raise SourceError(f"{self.path}: frame {len(self)} has another camera than the first")

    def _write_image(self, path: Path, image: NDArray[np.uint8]) -> None:
        encoded, buffer = cv2.imencode(
            self._suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), self._encoding
        )
        if not encoded:
            raise SourceError(f"{path}: the image cannot be encoded")
        path.write_bytes(buffer.tobytes())

    def _write_maps(self, stem: str, truth: GroundTruth) -> None:
        if truth.depth is not None:
            steps = np.nan_to_num(truth.depth * self.depth_scale, nan=0.0, posinf=0.0, neginf=0.0)
            # What lies beyond 16 bits is unknown, not a wall at the limit.
            steps = np.where((steps < 0) | (steps > 65535), 0, np.round(steps))
            self._write_png16("depth", stem, steps.astype(np.uint16))
        if truth.instance is not None:
            self._write_png16("instance", stem, truth.instance)
        if truth.motion is not None:
            archive = io.BytesIO()
            np.savez_compressed(archive, motion=truth.motion.astype(np.float16))
            folder = self.partial / "motion"
            folder.mkdir(exist_ok=True)
            (folder / f"{stem}.npz").write_bytes(archive.getvalue())

    def _write_png16(self, folder: str, stem: str, values: NDArray[np.uint16]) -> None:
        (self.partial / folder).mkdir(exist_ok=True)
        encoded, buffer = cv2.imencode(".png", values.astype(np.uint16))
        if not encoded:
            raise SourceError(f"{folder}/{stem}.png: the map cannot be encoded")
        (self.partial / folder / f"{stem}.png").write_bytes(buffer.tobytes())

    def _write_tables(self) -> None:
        stamps = (record["stamp"] for record in self.records)
        write_lines(
            self.partial / "timestamps.txt",
            (f"{Decimal(stamp).scaleb(-9):f}" for stamp in stamps),
        )
        poses = [record["pose"] for record in self.records]
        if any(pose is not None for pose in poses):
            unknown = ["nan"] * 12
            rows = (" ".join(map(str, unknown if pose is None else pose)) for pose in poses)
            write_lines(self.partial / "poses.txt", rows)
        speeds = [record["speed"] for record in self.records]
        if any(speed is not None for speed in speeds):
            write_lines(
                self.partial / "speed.txt",
                ("nan" if speed is None else str(speed) for speed in speeds),
            )
        intrinsics = json.loads((self.partial / _CAMERA).read_text())
        if (self.partial / "depth").is_dir():
            intrinsics["depth_scale"] = self.depth_scale
        if self.rate is not None:
            intrinsics["rate"] = self.rate
        write_atomically(
            self.partial / "intrinsics.json", json.dumps(intrinsics, indent=1).encode()
        )

    def _resume(self) -> None:
        """Take over the frames that an interrupted writer finished."""
        journal = self.partial / _JOURNAL
        if not journal.is_file() or not (self.partial / _CAMERA).is_file():
            if self.partial.exists():
                shutil.rmtree(self.partial)
            return
        for line in journal.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # the interrupted write
            self.records.append(json.loads(line))
        write_lines(journal, (json.dumps(record) for record in self.records))
        intrinsics = json.loads((self.partial / _CAMERA).read_text())
        self.size = (intrinsics["width"], intrinsics["height"])
        if intrinsics["K"] is not None:
            self.camera = Camera(
                np.asarray(intrinsics["K"]),
                *self.size,
                np.asarray(intrinsics.get("distortion", [])),
                intrinsics.get("distortion_model", "plumb_bob"),
            )


def same_camera(first: Camera | None, second: Camera | None) -> bool:
    """Whether two frames were taken with the same intrinsics, or both with unknown ones."""
    if first is None or second is None:
        return first is second
    return first.same_as(second)


def _intrinsics(size: tuple[int, int], camera: Camera | None) -> dict[str, Any]:
    intrinsics: dict[str, Any] = {"width": size[0], "height": size[1], "K": None}
    if camera is not None:
        intrinsics["K"] = camera.K.tolist()
        if camera.is_distorted:
            intrinsics["distortion"] = camera.distortion.tolist()
            intrinsics["distortion_model"] = camera.distortion_model
    return intrinsics


def _record(frame: Frame, note: Mapping[str, Any] | None) -> dict[str, Any]:
    truth = frame.truth or GroundTruth()
    pose = None if truth.pose is None else truth.pose[:3].reshape(-1).tolist()
    speed = None if truth.speed is None else float(truth.speed)
    return {"stamp": int(frame.stamp), "pose": pose, "speed": speed, "note": dict(note or {})}
