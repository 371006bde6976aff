"""One door to all sources: looks at what a path holds and opens the reader for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.bag.files import BAG_SUFFIXES, is_bag_folder
from depth_motion_ros.sources.bag.reader import BagSource
from depth_motion_ros.sources.files import IMAGE_SUFFIXES, list_images
from depth_motion_ros.sources.folder import FolderSource
from depth_motion_ros.sources.frame import FrameSource, SourceError
from depth_motion_ros.sources.kitti import (
    find_drive,
    find_odometry_sequence,
    open_drive,
    open_odometry_sequence,
)
from depth_motion_ros.sources.sequence.prepared import PreparedDataset, is_prepared
from depth_motion_ros.sources.sequence.reader import SequenceSource, is_sequence
from depth_motion_ros.sources.video import VIDEO_SUFFIXES, VideoSource

ACCEPTED = (
    "a video file, a folder of JPEG or PNG images, a sequence folder (image/ and "
    "intrinsics.json), a KITTI raw drive or odometry sequence, a rosbag2 folder, a .db3, .mcap "
    "or .bag file, sim:NAME, /dev/videoN"
)


def open_source(
    spec: str | Path,
    *,
    topic: str | None = None,
    odometry_topic: str | None = None,
    pose: bool = False,
    rate: float | None = None,
    camera: Camera | None = None,
    rectified: bool | None = None,
    **simulator_options: Any,
) -> FrameSource:
    """A source for ``spec``, recognised by what is there (see ``ACCEPTED``).

    topic, odometry_topic, pose: for bags (see BagSource); others take no notice of them.
    rate: frames per second of what carries no stamps; for videos and sequences it replaces theirs.
    camera: intrinsics for videos, plain image folders and devices, which have none of their own.
    rectified: the images are rectified already, so that P of their calibration holds (else K,
        without distortion); None = where the source says so (a topic image_rect, a KITTI _sync).
    simulator_options: go to the simulator; for anything else they are an error.

    Raises SourceError saying what was found and what is accepted.
    """
    text = str(spec)
    if text.startswith("sim:"):
        from depth_motion_ros.sources.simulated import open_simulator

        if rate is not None:
            simulator_options["rate"] = rate
        return open_simulator(text, **simulator_options)
    if simulator_options:
        names = ", ".join(sorted(simulator_options))
        raise SourceError(f"{text}: the options {names} are for sim:NAME only")
    if camera is not None and rectified:
        camera = camera.undistorted()
    if text.startswith("/dev/video"):
        from depth_motion_ros.sources.capture import CaptureSource

        return CaptureSource(text, camera=camera)
    path = Path(text).expanduser()
    if path.is_dir():
        found = _open_folder(path, topic, odometry_topic, pose, rate, camera, rectified)
        if found is not None:
            return found
        raise SourceError(f"{path}: {_describe(path)}. Accepted: {ACCEPTED}")
    if not path.exists():
        raise SourceError(f"{text}: no such file or folder. Accepted: {ACCEPTED}")
    suffix = path.suffix.lower()
    if suffix in BAG_SUFFIXES:
        return BagSource(
            path, topic=topic, odometry_topic=odometry_topic, pose=pose, rectified=rectified
        )
    if suffix in VIDEO_SUFFIXES:
        return VideoSource(path, rate=rate, camera=camera)
    if suffix in IMAGE_SUFFIXES:
        raise SourceError(f"{path}: a single image; give the folder it lies in")
    raise SourceError(f"{path}: a file of unknown kind {suffix!r}. Accepted: {ACCEPTED}")


def _open_folder(
    path: Path,
    topic: str | None,
    odometry_topic: str | None,
    pose: bool,
    rate: float | None,
    camera: Camera | None,
    rectified: bool | None,
) -> FrameSource | None:
    if is_sequence(path):
        return SequenceSource(path, rate=rate, rectified=bool(rectified))
    if is_prepared(path):
        names = [sequence.name for sequence in PreparedDataset(path)]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise SourceError(
            f"{path}: a prepared data set, not one sequence; give one of its folders: {shown}"
        )
    if is_bag_folder(path) or (path / "metadata.yaml").is_file():
        return BagSource(
            path, topic=topic, odometry_topic=odometry_topic, pose=pose, rectified=rectified
        )
    absolute = path.absolute()
    drive = find_drive(absolute)
    if drive is not None:
        return open_drive(*drive, rectified=rectified)
    sequence = find_odometry_sequence(absolute)
    if sequence is not None:
        return open_odometry_sequence(*sequence)
    if list_images(path):
        return FolderSource(path, rate=rate, camera=camera)
    return None


def _describe(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "the folder is empty"
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"no frames in this folder, which holds {shown}"
