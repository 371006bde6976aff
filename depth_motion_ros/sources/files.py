"""Small file helpers: images, tables, and writing a file whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.sources.encodings import BitDepth, EncodingError, decode_compressed
from depth_motion_ros.sources.frame import SourceError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key under which frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", name)
    # Not isdigit: ² and ① are digits, but no part of a number.
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def list_images(folder: Path) -> list[Path]:
    """JPEG and PNG files of a folder in natural order; hidden files are left out."""
    images = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    return sorted(images, key=lambda path: natural_key(path.name))


def read_image(
    path: Path, *, bit_depth: BitDepth | None = None, upright: bool = False
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a JPEG or PNG file (see decode_compressed).

    SourceError names the file and the reason.
    """
    try:
        return decode_compressed(
            path.read_bytes(), path.suffix.lower(), bit_depth=bit_depth, upright=upright
        )
    except (OSError, EncodingError) as error:
        raise SourceError(f"{path}: cannot read the image: {error}") from error


def read_png16(path: Path) -> NDArray[np.uint16]:
    """(H, W) uint16 of a one-channel PNG. SourceError names the file and the reason."""
    try:
        values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as error:
        raise SourceError(f"{path}: cannot read the map: {error}") from error
    if values is None:
        raise SourceError(f"{path}: not a readable PNG")
    if values.ndim != 2 or values.dtype not in (np.uint8, np.uint16):
        raise SourceError(
            f"{path}: expected one channel of 8 or 16 bits, got {values.shape} {values.dtype}"
        )
    return values.astype(np.uint16)


def read_table(path: Path, columns: int, expected: int) -> NDArray[np.float64]:
    """(expected, columns) numbers of a text file; SourceError where the shape is another."""
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = [float(value) for value in line.split()]
        except ValueError as error:
            raise SourceError(f"{path}: line {number} is not a row of numbers: {line!r}") from error
        if len(row) != columns:
            raise SourceError(f"{path}: line {number} has {len(row)} numbers, not {columns}")
        rows.append(row)
    if len(rows) != expected:
        raise SourceError(f"{path}: {len(rows)} rows for {expected} images")
    return np.array(rows, dtype=np.float64).reshape(expected, columns)


def read_poses(path: Path, expected: int) -> list[NDArray[np.float64] | None]:
    """(4, 4) matrices from KITTI rows (12 numbers, the upper 3x4); None for a row of NaN."""
    poses: list[NDArray[np.float64] | None] = []
    for row in read_table(path, 12, expected):
        pose = np.eye(4)
        pose[:3] = row.reshape(3, 4)
        poses.append(pose if np.isfinite(row).all() else None)
    return poses


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a reader, even after a crash, sees the old or the new content."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        # On a full disk what is left behind would keep it full.
        partial.unlink(missing_ok=True)
        raise


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, one item a line, whole or not at all."""
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot read: {error}") from error
    return [line for line in text.splitlines() if line.strip()]
