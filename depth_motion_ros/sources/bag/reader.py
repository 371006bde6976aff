"""Recordings of a robot: rosbag2 (sqlite3, mcap) and ROS 1 bags, read without ROS."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.geometry.camera import RECTIFIED_WITHOUT_P, Camera, CameraError
from depth_motion_ros.sources.bag.messages import (
    IMAGE_TYPES,
    INFO_TYPE,
    ODOMETRY_TYPE,
    camera_of,
    lacks_projection,
    pixels_of,
    pose_of,
    speed_of,
    stamp_of,
)
from depth_motion_ros.sources.bag.odometry import OdometryTrack
from depth_motion_ros.sources.base import SECOND, Source
from depth_motion_ros.sources.encodings import BitDepth, EncodingError
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError
from depth_motion_ros.sources.rectify import is_rectified_topic

BAG_SUFFIXES = (".bag", ".db3", ".mcap")
STORAGE_SUFFIXES = (".db3", ".mcap")
# An image waits no longer than this for the odometry recorded behind it.
_MAX_WAIT = SECOND // 2
_MAX_WAITING = 32

_log = logging.getLogger(__name__)


class BagSource(Source):
    """Images of one topic with camera and odometry, in the order of recording, in one pass.

    path: a rosbag2 folder, one .db3 or .mcap file, or a ROS 1 .bag. A rosbag2 folder without
        metadata.yaml (the recorder was killed) is read file by file.
    topic: the image topic; may be left out where the bag has just one.
    odometry_topic: likewise; of several, none is chosen.
    pose: also give truth.pose, camera to the odometry's world.
    base_from_camera: (4, 4) where the optical frame sits on the base; its origin with the camera
        looking forward unless given.

    rectified: whether the images are rectified already, so that P of CameraInfo holds; None = if
        the topic's name says so (image_rect).

    The camera is the CameraInfo beside the image topic (None where there is none, or K[0] = 0);
    where it was made for another size of the same aspect ratio, it is scaled. Damaged images
    are skipped, logged and counted in ``failures``.

    Raises SourceError for what is no bag, for a topic that is missing or no image topic, for
    several image topics without a choice, and where no image can be decoded.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        topic: str | None = None,
        odometry_topic: str | None = None,
        pose: bool = False,
        base_from_camera: NDArray[np.float64] | None = None,
        rectified: bool | None = None,
    ) -> None:
        self.path = Path(path)
        self.failures = 0
        self._told_size = False
        self._told_camera: set[str] = set()
        self._bit_depth = BitDepth()
        self._pose = pose
        self._base_from_camera = BODY_FROM_OPTICAL if base_from_camera is None else base_from_camera
        with self._open() as reader:
            self.topic = self._choose_image_topic(reader, topic)
            self.info_topic = _info_topic(reader, self.topic)
            self.rectified = is_rectified_topic(self.topic) if rectified is None else rectified
            self.odometry_topic = self._choose_odometry_topic(reader, odometry_topic)
            count = sum(c.msgcount for c in reader.connections if c.topic == self.topic)
            duration = (reader.end_time - reader.start_time) / SECOND
            rate = round((count - 1) / duration, 3) if count > 1 and duration > 0 else None
        name = self.path.stem if self.path.suffix in BAG_SUFFIXES else self.path.name
        super().__init__(name, rate, count)

    def __iter__(self) -> Iterator[Frame]:
        with self._open() as reader:
            yield from self._frames(reader)

    def _frames(self, reader: Any) -> Iterator[Frame]:
        track = OdometryTrack()
        waiting: deque[tuple[int, int, Any, str, Camera | None]] = deque()
        camera = self._first_camera(reader)
        delivered, self.failures, reason = 0, 0, ""
        self._bit_depth = BitDepth(f"{self.path}: {self.topic}")
        for connection, recorded, message in self._messages(reader):
            if connection.topic == self.topic:
                stamp = stamp_of(message, recorded)
                waiting.append((stamp, recorded, message, connection.msgtype, camera))
            elif connection.topic == self.info_topic:
                camera = self._camera(message)
            else:
                self._add_odometry(track, message, recorded)
            while waiting and self._is_due(waiting[0], len(waiting), track, recorded):
                frame, reason = self._frame(waiting.popleft(), track, reason)
                if frame is not None:
                    delivered += 1
                    yield frame
        while waiting:
            frame, reason = self._frame(waiting.popleft(), track, reason)
            if frame is not None:
                delivered += 1
                yield frame
        if not delivered:
            raise SourceError(
                f"{self.path}: no image could be read from {self.topic}"
                + (f": {reason}" if reason else "")
            )

    def _is_due(
        self, image: tuple[int, int, Any, str, Any], waiting: int, track: OdometryTrack, now: int
    ) -> bool:
        if self.odometry_topic is None or track.reaches(image[0]):
            return True
        return waiting > _MAX_WAITING or now - image[1] > _MAX_WAIT

    def _frame(
        self, image: tuple[int, int, Any, str, Camera | None], track: OdometryTrack, reason: str
    ) -> tuple[Frame | None, str]:
        """(frame, reason): no frame, and the reason, where the image is damaged."""
        stamp, _, message, kind, camera = image
        try:
            pixels = pixels_of(message, kind, self._bit_depth)
        except EncodingError as error:
            if error.unknown_encoding:
                raise SourceError(f"{self.path}: {self.topic}: {error}") from error
            self.failures += 1
            _log.warning("%s: %s: skipped the image at %d ns: %s", *self._label, stamp, error)
            return None, str(error)
        odometry = track.at(stamp)
        truth = None
        if odometry is not None:
            pose = odometry[1] @ self._base_from_camera if self._pose else None
            truth = GroundTruth(speed=odometry[0], pose=pose)
        return Frame(stamp, pixels, self._fitted(camera, pixels), truth), reason

    @property
    def _label(self) -> tuple[Path, str]:
        return self.path, self.topic

    def _fitted(self, camera: Camera | None, pixels: NDArray[np.uint8]) -> Camera | None:
        height, width = pixels.shape[:2]
        if camera is None or camera.size == (width, height):
            return camera
        if abs(camera.width * height - camera.height * width) <= max(width, height):
            return camera.resized(width, height)
        if not self._told_size:
            self._told_size = True
            _log.warning(
                "%s: %s is for %dx%d, the images are %dx%d: the intrinsics are not used",
                *(self.path, self.info_topic, *camera.size, width, height),
            )
        return None

    def _camera(self, message: Any) -> Camera | None:
        if self.rectified and lacks_projection(message):
            self._tell_camera(RECTIFIED_WITHOUT_P)
        try:
            return camera_of(message, self.rectified)
        except CameraError as error:
            self._tell_camera(f"no camera: {error}")
            return None

    def _tell_camera(self, text: str) -> None:
        """Once, however many messages say the same."""
        if text not in self._told_camera:
            self._told_camera.add(text)
            _log.warning("%s: %s: %s", self.path, self.info_topic, text)

    def _first_camera(self, reader: Any) -> Camera | None:
        """The first CameraInfo serves the images recorded before it, too."""
        connections = [c for c in reader.connections if c.topic == self.info_topic]
        if not connections:
            return None
        for connection, _, raw in reader.messages(connections=connections):
            return self._camera(reader.deserialize(raw, connection.msgtype))
        return None

    def _add_odometry(self, track: OdometryTrack, message: Any, recorded: int) -> None:
        try:
            pose = pose_of(message)
        except ValueError:  # an orientation that was never filled in
            pose = np.full((4, 4), np.nan)
        track.add(stamp_of(message, recorded), speed_of(message), pose)

    def _messages(self, reader: Any) -> Iterator[tuple[Any, int, Any]]:
        topics = (self.topic, self.info_topic, self.odometry_topic)
        connections = [c for c in reader.connections if c.topic in topics]
        for connection, recorded, raw in reader.messages(connections=connections):
            yield connection, recorded, reader.deserialize(raw, connection.msgtype)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        any_reader, store = _import_rosbags()
        try:
            with any_reader(_storage_paths(self.path), default_typestore=store) as reader:
                yield reader
        except (SourceError, GeneratorExit):
            raise
        # On damaged files rosbags raises its own errors as well as those of sqlite, struct,
        # zstd and plain assertions: all mean that the bag cannot be read.
        except Exception as error:
            raise SourceError(
                f"{self.path}: cannot read this bag: {type(error).__name__}: {error}. "
                "A recording that was cut off can often be repaired (ros2 bag reindex, "
                "mcap recover, rosbag reindex)"
            ) from error

    def _choose_image_topic(self, reader: Any, topic: str | None) -> str:
        images = {c.topic: c.msgcount for c in reader.connections if c.msgtype in IMAGE_TYPES}
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(images.items()))
        if topic is None:
            filled = [name for name, count in images.items() if count]
            if not filled:
                raise SourceError(f"{self.path}: no images in this bag; topics: {_topics(reader)}")
            if len(filled) > 1:
                raise SourceError(
                    f"{self.path}: several image topics, choose one with topic: {listed}"
                )
            return filled[0]
        if topic in images:
            return topic
        kinds = {c.topic: c.msgtype for c in reader.connections}
        if topic in kinds:
            raise SourceError(
                f"{self.path}: {topic} is a {kinds[topic]}, not an image; image topics: "
                f"{listed or 'none'}"
            )
        raise SourceError(
            f"{self.path}: no topic {topic!r}; image topics: {listed or 'none'}; all: "
            f"{_topics(reader)}"
        )

    def _choose_odometry_topic(self, reader: Any, topic: str | None) -> str | None:
        known = sorted({c.topic for c in reader.connections if c.msgtype == ODOMETRY_TYPE})
        if topic is not None and topic not in known:
            raise SourceError(
                f"{self.path}: no odometry topic {topic!r}; there are: {', '.join(known) or 'none'}"
            )
        if topic is None and len(known) > 1:
            _log.warning(
                "%s: several odometry topics (%s): none is used; choose one with odometry_topic",
                self.path,
                ", ".join(known),
            )
        return topic or (known[0] if len(known) == 1 else None)


def is_bag_folder(path: Path) -> bool:
    """Whether a folder is a rosbag2 recording, finished or not."""
    return path.is_dir() and bool(_storage_files(path))


def _storage_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in STORAGE_SUFFIXES)


def _storage_paths(path: Path) -> list[Path]:
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        files = _storage_files(path)
        if not files:
            raise SourceError(f"{path}: no metadata.yaml, .db3 or .mcap file in this folder")
        return files
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    return [path]


def _topics(reader: Any) -> str:
    return ", ".join(sorted({f"{c.topic} [{c.msgtype}]" for c in reader.connections})) or "none"


def _info_topic(reader: Any, image_topic: str) -> str | None:
    """The CameraInfo beside an image topic, or the only one where there is but one camera."""
    known = {c.topic for c in reader.connections if c.msgtype == INFO_TYPE}
    parent = image_topic
    while "/" in parent:
        parent = parent.rpartition("/")[0]
        if f"{parent}/camera_info" in known:
            return f"{parent}/camera_info"
    images = {c.topic for c in reader.connections if c.msgtype in IMAGE_TYPES}
    return next(iter(known)) if len(known) == 1 and len(images) == 1 else None


def _import_rosbags() -> tuple[Any, Any]:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise SourceError("reading bags needs the rosbags library: pip install rosbags") from error
    # sqlite3 bags recorded before Iron hold no message definitions.
    return AnyReader, get_typestore(Stores.ROS2_HUMBLE)
