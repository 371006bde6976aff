"""KITTI as downloaded: drives of the raw data, and sequences of the odometry benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera, CameraError
from depth_motion_ros.sources.base import SECOND, Source, is_date, rate_of
from depth_motion_ros.sources.files import list_images, read_image, read_poses
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError
from depth_motion_ros.sources.timestamps import read_stamps

_DRIVE = re.compile(r"\d{4}_\d{2}_\d{2}_drive_\d{4}_(sync|extract)")
_RAW_CAMERAS = ("image_02", "image_03", "image_00", "image_01")
_ODOMETRY_CAMERAS = ("image_2", "image_3", "image_0", "image_1")
_FORWARD_VELOCITY = 8
"""Column of vf, m/s, in an oxts record (see the data set's dataformat.txt)."""


def find_drive(path: Path) -> tuple[Path, str] | None:
    """(drive folder, camera folder's name) of a path into a raw drive, None for another path.

    Accepts the drive itself, its image_0X and image_0X/data.
    """
    for folder in (path, *list(path.parents)[:2]):
        if _DRIVE.fullmatch(folder.name):
            below = path.relative_to(folder).parts[:1]
            return folder, below[0] if below else _first_camera(folder, _RAW_CAMERAS)
    return None


def find_odometry_sequence(path: Path) -> tuple[Path, str] | None:
    """(sequence folder, camera folder's name) of a path into sequences/XX, None for another.

    Accepts the sequence itself and its image_X.
    """
    for folder in (path, path.parent):
        has_images = any((folder / name).is_dir() for name in _ODOMETRY_CAMERAS)
        if has_images and (folder / "calib.txt").is_file():
            inside = path != folder
            return folder, path.name if inside else _first_camera(folder, _ODOMETRY_CAMERAS)
    return None


class KittiSource(Source):
    """Frames of one camera, with whatever the truth table of the layout holds.

    Raises SourceError where images, calibration or times are missing or do not fit.
    """

    def __init__(
        self,
        name: str,
        images: list[Path],
        stamps: list[int],
        camera: Camera,
        truth: list[GroundTruth | None],
    ) -> None:
        super().__init__(name, rate_of(stamps), len(images))
        self.has_clock = is_date(stamps[0])
        self.camera = camera
        self.images, self.stamps, self.truth = images, stamps, truth

    def __iter__(self) -> Iterator[Frame]:
        for stamp, path, truth in zip(self.stamps, self.images, self.truth, strict=True):
            image = read_image(path)
            if image.shape[1::-1] != self.camera.size:
                raise SourceError(
                    f"{path}: the image is {image.shape[1]}x{image.shape[0]}, the calibration "
                    f"is for {self.camera.width}x{self.camera.height}"
                )
            yield Frame(stamp, image, self.camera, truth)


def open_drive(drive: Path, camera_folder: str, *, rectified: bool | None = None) -> KittiSource:
    """A raw drive: K from calib_cam_to_cam.txt of the day, speed from oxts where it is there.

    rectified: None = drives ending in _sync are; of those in _extract the distortion is handed on.
    """
    folder = drive / camera_folder
    images = _images_of(folder / "data")
    stamps_path = folder / "timestamps.txt"
    stamps = [_parse_date(line, stamps_path) for line in _text(stamps_path).splitlines() if line]
    if len(stamps) != len(images):
        raise SourceError(f"{stamps_path}: {len(stamps)} stamps for {len(images)} images")
    number = camera_folder[-2:]
    path = next(
        (p for p in (drive.parent, drive) if (p / "calib_cam_to_cam.txt").is_file()), drive.parent
    )
    calibration = _read_calibration(path / "calib_cam_to_cam.txt")
    if drive.name.endswith("_sync") if rectified is None else rectified:
        camera = _camera(calibration, f"P_rect_{number}", f"S_rect_{number}", None, path)
    else:
        camera = _camera(calibration, f"K_{number}", f"S_{number}", f"D_{number}", path)
    truth = [_speed_of(drive / "oxts" / "data" / f"{image.stem}.txt") for image in images]
    return KittiSource(f"{drive.name}_{camera_folder}", images, stamps, camera, truth)


def open_odometry_sequence(sequence: Path, camera_folder: str) -> KittiSource:
    """An odometry sequence; poses of this very camera where poses/XX.txt is there.

    The published poses are camera 0's; the baseline in calib.txt moves them to this camera.
    """
    images = _images_of(sequence / camera_folder)
    stamps = read_stamps(sequence / "times.txt", len(images))
    number = camera_folder[-1]
    path = sequence / "calib.txt"
    calibration = _read_calibration(path)
    size = read_image(images[0]).shape[1::-1]
    calibration["size"] = np.array(size, np.float64)
    camera = _camera(calibration, f"P{number}", "size", None, path)
    truth: list[GroundTruth | None] = [None] * len(images)
    poses_path = sequence.parent.parent / "poses" / f"{sequence.name}.txt"
    if poses_path.is_file():
        camera_0_from_this = np.eye(4)
        projection = calibration[f"P{number}"].reshape(3, 4)
        camera_0_from_this[:3, 3] = -np.linalg.solve(projection[:, :3], projection[:, 3])
        truth = [
            None if pose is None else GroundTruth(pose=pose @ camera_0_from_this)
            for pose in read_poses(poses_path, len(images))
        ]
    return KittiSource(f"odometry_{sequence.name}_{camera_folder}", images, stamps, camera, truth)


def _first_camera(folder: Path, names: tuple[str, ...]) -> str:
    for name in names:
        if (folder / name).is_dir():
            return name
    raise SourceError(f"{folder}: none of the folders {', '.join(names)} is there")


def _images_of(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    images = list_images(folder)
    if not images:
        raise SourceError(f"{folder}: no images")
    return images


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot read: {error}") from error


def _read_calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    """Lines "key: numbers"; what is no number (dates) is left out."""
    entries = {}
    for line in _text(path).splitlines():
        key, _, values = line.partition(":")
        try:
            entries[key.strip()] = np.array([float(value) for value in values.split()])
        except ValueError:
            continue
    return entries


def _camera(
    calibration: dict[str, NDArray[np.float64]],
    matrix: str,
    size: str,
    distortion: str | None,
    path: Path,
) -> Camera:
    try:
        K = calibration[matrix].reshape(3, -1)[:, :3]
        width, height = (int(value) for value in calibration[size])
        coefficients = calibration[distortion] if distortion else np.zeros(0)
        return Camera.from_calibration(K, width, height, coefficients)
    except KeyError as error:
        raise SourceError(f"{path}: the calibration has no entry {error}") from error
    except (CameraError, ValueError) as error:
        raise SourceError(f"{path}: {matrix} gives no camera: {error}") from error


def _parse_date(line: str, path: Path) -> int:
    """ns since 1970 of "2011-09-26 13:02:25.964389445", taken as UTC."""
    whole, _, fraction = line.strip().partition(".")
    try:
        moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        return int(moment.timestamp()) * SECOND + int(fraction[:9].ljust(9, "0") or 0)
    except ValueError as error:
        raise SourceError(f"{path}: not a time: {line!r}") from error


def _speed_of(path: Path) -> GroundTruth | None:
    if not path.is_file():
        return None
    try:
        return GroundTruth(speed=float(_text(path).split()[_FORWARD_VELOCITY]))
    except (IndexError, ValueError) as error:
        raise SourceError(f"{path}: no forward velocity in this oxts record") from error
