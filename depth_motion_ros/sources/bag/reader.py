"""Recordings of a robot: rosbag2 (sqlite3, mcap) and ROS 1 bags, read without ROS."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.axes import BODY_FROM_OPTICAL
from depth_motion_ros.geometry.camera import RECTIFIED_WITHOUT_P, Camera, CameraError
from depth_motion_ros.sources.bag.files import BAG_SUFFIXES, BagFiles, Channel, MessageError
from depth_motion_ros.sources.bag.messages import (
    IMAGE_TYPES,
    INFO_TYPE,
    ODOMETRY_TYPE,
    camera_of,
    lacks_projection,
    pixels_of,
    pose_of,
    speed_of,
)
from depth_motion_ros.sources.bag.odometry import OdometryTrack
from depth_motion_ros.sources.bag.order import LONGEST_WAIT, HeaderStamps, InOrder, Stamped
from depth_motion_ros.sources.base import SECOND, Source, rate_of
from depth_motion_ros.sources.encodings import BitDepth, EncodingError
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError
from depth_motion_ros.sources.rectify import is_rectified_topic

# Images whose stamps are looked at before the first is decoded.
_FIRST = 32
# Fewer different stamps than this share of different images: the stamps do not tell them apart.
_DISTINCT = 0.4

_log = logging.getLogger(__name__)

_Image = tuple[Channel, bytes, "Camera | None"]


class BagSource(Source):
    """Images of one topic with camera and odometry, in order of time, in one pass.

    path: a rosbag2 folder, one .db3 or .mcap file, or a ROS 1 .bag. A rosbag2 folder without
        metadata.yaml (the recorder was killed) is read file by file.
    topic: the image topic; may be left out where the bag has just one.
    odometry_topic: likewise; of several, none is chosen.
    pose: also give truth.pose, camera to the odometry's world.
    base_from_camera: (4, 4) where the optical frame sits on the base; its origin with the camera
        looking forward unless given.
    rectified: whether the images are rectified already, so that P of CameraInfo holds; None = if
        the topic's name says so (image_rect).

    The time of an image is that of its header; that of the recording where headers have none.
    Images recorded out of order are put in order, and one that was recorded twice comes once.
    rate is that of the first images. The camera is the CameraInfo beside the image topic (None
    where there is none, or K[0] = 0); where it was made for another size of the same aspect ratio,
    it is scaled. Damaged images are skipped, logged and counted in ``failures``; camera and
    odometry messages that are damaged or make no sense cost what they would have said.

    Raises SourceError for what is no bag, for a topic that is missing or no image topic, for
    several image topics without a choice, and where no image can be decoded.
    """

    has_clock = True

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
        self._told: set[str] = set()
        self._bit_depth = BitDepth()
        self._pose = pose
        self._base_from_camera = BODY_FROM_OPTICAL if base_from_camera is None else base_from_camera
        with BagFiles(self.path, _log.warning) as files:
            self.topic = self._choose_image_topic(files, topic)
            self.info_topic = _info_topic(files, self.topic)
            self.rectified = is_rectified_topic(self.topic) if rectified is None else rectified
            self.odometry_topic = self._choose_odometry_topic(files, odometry_topic)
            count = sum(channel.count for channel in self._image_channels(files))
            stamps = self._first_stamps(files)
        name = self.path.stem if self.path.suffix in BAG_SUFFIXES else self.path.name
        super().__init__(name, rate_of(stamps), count)

    def __iter__(self) -> Iterator[Frame]:
        with BagFiles(self.path) as files:
            yield from self._frames(files)

    def _image_channels(self, files: BagFiles) -> list[Channel]:
        return [c for c in files.channels if c.topic == self.topic and c.kind in IMAGE_TYPES]

    def _first_stamps(self, files: BagFiles) -> list[int]:
        """The times of the first images; decides whether their headers tell the time at all."""
        known: list[Stamped[None]] = []
        headers, recorded, images = HeaderStamps[None](), [], set()
        for _, at, raw in islice(files.messages(self._image_channels(files)), _FIRST):
            recorded.append(at)
            images.add(zlib.crc32(raw[12:]))
            known += headers.add(files.header_stamp(raw) or 0, at, None)
        stamps = [image.stamp for image in (*known, *headers.flush())]
        self._has_stamps = len(images) < 3 or len(set(stamps)) > _DISTINCT * len(images)
        if not self._has_stamps:
            _log.warning(
                "%s: %s: %d images have but %d different times in their headers, the first %.3f s: "
                "the time of recording serves",
                *(*self._label, len(images), len(set(stamps)), stamps[0] / SECOND),
            )
        return stamps if self._has_stamps else recorded

    def _frames(self, files: BagFiles) -> Iterator[Frame]:
        self.failures, self._reason = 0, ""
        self._bit_depth = BitDepth(f"{self.path}: {self.topic}")
        doubled, has_truth = 0, False
        last: int | None = None
        for image, truth in self._images(files):
            if image.stamp == last:
                doubled += 1
                continue
            frame = self._frame(files, image, truth)
            if frame is not None:
                last, has_truth = image.stamp, has_truth or truth is not None
                yield frame
        if last is None:
            raise SourceError(
                f"{self.path}: no image could be read from {self.topic}"
                + (f": {self._reason}" if self._reason else "")
            )
        if doubled:
            _log.warning(
                "%s: %s: %d images were recorded twice (the same time in their headers) and "
                "are left out once",
                *(*self._label, doubled),
            )
        if self.odometry_topic is not None and not has_truth:
            _log.warning(
                "%s: %s: no image has a speed: the odometry makes no sense, or is of other times",
                *(self.path, self.odometry_topic),
            )

    def _images(self, files: BagFiles) -> Iterator[tuple[Stamped[_Image], GroundTruth | None]]:
        """Images in order of time, with the odometry that was heard until they were due."""
        images, odometry = InOrder[_Image](self._has_stamps), HeaderStamps[Any]()
        track = OdometryTrack(LONGEST_WAIT)
        camera = self._first_camera(files)
        due: Iterator[Stamped[_Image]]
        for channel, recorded, raw in files.messages(self._channels(files)):
            stamp, due = files.header_stamp(raw) or 0, iter(())
            if channel.kind in IMAGE_TYPES:
                due = images.add(stamp, recorded, (channel, raw, camera), len(raw))
            elif (message := self._side_message(files, channel, raw)) is None:
                continue
            elif channel.kind == INFO_TYPE:
                camera = self._camera(message)
            else:
                samples = odometry.add(stamp, recorded, message)
                if any(track.goes_back(sample.stamp) for sample in samples):
                    # What waits needs the track as it was.
                    yield from (
                        (image, self._truth(track, image.stamp)) for image in images.flush()
                    )
                self._add_odometry(track, samples)
            yield from ((image, self._truth(track, image.stamp)) for image in due)
        self._add_odometry(track, odometry.flush())
        yield from ((image, self._truth(track, image.stamp)) for image in images.flush())

    def _truth(self, track: OdometryTrack, stamp: int) -> GroundTruth | None:
        speed, base = track.speed_at(stamp), track.pose_at(stamp) if self._pose else None
        if speed is None and base is None:
            return None
        return GroundTruth(
            speed=speed, pose=None if base is None else base @ self._base_from_camera
        )

    def _channels(self, files: BagFiles) -> list[Channel]:
        """By name and type: a topic may have two types, of which one says nothing to us."""
        side = {(self.info_topic, INFO_TYPE), (self.odometry_topic, ODOMETRY_TYPE)}
        chosen = [c for c in files.channels if (c.topic, c.kind) in side]
        return self._image_channels(files) + chosen

    def _frame(
        self, files: BagFiles, image: Stamped[_Image], truth: GroundTruth | None
    ) -> Frame | None:
        """None, and ``_reason`` says why, where the image is damaged."""
        channel, raw, camera = image.message
        try:
            pixels = pixels_of(files.decode(channel, raw), channel.kind, self._bit_depth)
        except (EncodingError, MessageError) as error:
            if isinstance(error, EncodingError) and error.unknown_encoding:
                raise SourceError(f"{self.path}: {self.topic}: {error}") from error
            self.failures += 1
            _log.warning("%s: %s: skipped the image at %d ns: %s", *self._label, image.stamp, error)
            self._reason = str(error)
            return None
        return Frame(image.stamp, pixels, self._fitted(camera, pixels), truth)

    @property
    def _label(self) -> tuple[Path, str]:
        return self.path, self.topic

    def _fitted(self, camera: Camera | None, pixels: NDArray[np.uint8]) -> Camera | None:
        height, width = pixels.shape[:2]
        if camera is None or camera.size == (width, height):
            return camera
        if abs(camera.width * height - camera.height * width) <= max(width, height):
            return camera.resized(width, height)
        self._tell(
            "camera size",
            f"{self.path}: {self.info_topic} is for {camera.width}x{camera.height}, the images are "
            f"{width}x{height}: the intrinsics are not used",
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
        self._tell(text, f"{self.path}: {self.info_topic}: {text}")

    def _first_camera(self, files: BagFiles) -> Camera | None:
        """The first CameraInfo serves the images recorded before it, too."""
        channels = [c for c in files.channels if c.topic == self.info_topic and c.kind == INFO_TYPE]
        for channel, _, raw in files.messages(channels):
            message = self._side_message(files, channel, raw)
            if message is not None:
                return self._camera(message)
        return None

    def _add_odometry(self, track: OdometryTrack, samples: list[Stamped[Any]]) -> None:
        for sample in samples:
            pose = pose_of(sample.message)
            if pose is None:
                self._tell(
                    "odometry pose",
                    f"{self.path}: {self.odometry_topic}: the pose at {sample.stamp} ns is not "
                    "used: its orientation is no rotation, or a number is not finite (said once)",
                )
            track.add(sample.stamp, pose, speed_of(sample.message))

    def _side_message(self, files: BagFiles, channel: Channel, raw: bytes) -> Any | None:
        """A message beside the images; None where it is damaged."""
        try:
            return files.decode(channel, raw)
        except MessageError as error:
            self._tell(
                f"damaged {channel.topic}",
                f"{self.path}: {channel.topic}: a damaged message is left out: {error} (said once)",
            )
            return None

    def _tell(self, cause: str, message: str) -> None:
        """Once, however many messages are of this cause."""
        if cause not in self._told:
            self._told.add(cause)
            _log.warning("%s", message)

    def _choose_image_topic(self, files: BagFiles, topic: str | None) -> str:
        images: dict[str, int] = {}
        for channel in files.channels:
            if channel.kind in IMAGE_TYPES:
                images[channel.topic] = images.get(channel.topic, 0) + channel.count
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(images.items()))
        if topic is None:
            filled = [name for name, count in images.items() if count]
            if not filled:
                raise SourceError(f"{self.path}: no images in this bag; topics: {_topics(files)}")
            if len(filled) > 1:
                raise SourceError(
                    f"{self.path}: several image topics, choose one with topic: {listed}"
                )
            return filled[0]
        if topic in images:
            return topic
        kinds = {c.topic: c.kind for c in files.channels}
        if topic in kinds:
            raise SourceError(
                f"{self.path}: {topic} is a {kinds[topic]}, not an image; image topics: "
                f"{listed or 'none'}"
            )
        raise SourceError(
            f"{self.path}: no topic {topic!r}; image topics: {listed or 'none'}; all: "
            f"{_topics(files)}"
        )

    def _choose_odometry_topic(self, files: BagFiles, topic: str | None) -> str | None:
        known = sorted({c.topic for c in files.channels if c.kind == ODOMETRY_TYPE})
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


def _topics(files: BagFiles) -> str:
    return ", ".join(sorted({f"{c.topic} [{c.kind}]" for c in files.channels})) or "none"


def _info_topic(files: BagFiles, image_topic: str) -> str | None:
    """The CameraInfo beside an image topic, or the only one where there is but one camera."""
    known = {c.topic for c in files.channels if c.kind == INFO_TYPE}
    parent = image_topic
    while "/" in parent:
        parent = parent.rpartition("/")[0]
        if f"{parent}/camera_info" in known:
            return f"{parent}/camera_info"
    images = {c.topic for c in files.channels if c.kind in IMAGE_TYPES}
    return next(iter(known)) if len(known) == 1 and len(images) == 1 else None
