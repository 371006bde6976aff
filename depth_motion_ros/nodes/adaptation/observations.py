"""What the learner sees: an image message as pixels of a pinhole camera, and how far it moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.estimation.time_line import LeftOut, TimeLine
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import CameraError
from depth_motion_ros.nodes.ros.camera_info import CameraPairing
from depth_motion_ros.nodes.ros.messages import stamp_from_message
from depth_motion_ros.sources.bag.odometry import OdometryTrack
from depth_motion_ros.sources.rectify import Rectifier

# s. Odometry of an image's time may come after the image; who has been silent for longer than a
# second is not waited for.
_PATIENCE, _ALIVE = 0.2, 1.0
_LONGEST_GAP = 1.0  # s; time that goes back by more is another time
_SECOND = 1e-9


class RateLimiter:
    """Which images to look at, so that they are ``rate`` a second (Hz) in the mean.

    A camera does not tick exactly: an image may come half a period early without being left out.
    """

    def __init__(
        self, rate: float, left_out: Callable[[LeftOut], None] = lambda left_out: None
    ) -> None:
        """left_out: called for each image that is not newer than the last."""
        self._period = round(1e9 / rate)
        self._left_out = left_out
        self._time_line = TimeLine()
        self._due: int | None = None

    def takes(self, stamp: int) -> bool:
        """stamp: ns. An image that is not newer than the last is left out; after time has gone back
        for good, pacing starts again."""
        place = self._time_line.place(stamp, _LONGEST_GAP)
        if isinstance(place, LeftOut):
            self._left_out(place)
            return False
        self._time_line.advance(stamp, is_repeated=False)
        early = self._period // 2
        if place is not None:
            self._due = None
        if self._due is not None and stamp < self._due - early:
            return False
        # After a gap nothing is caught up.
        is_late = self._due is None or stamp > self._due + early
        self._due = (stamp if is_late or self._due is None else self._due) + self._period
        return True


class CameraOdometry:
    """Motion of the camera between two times. ``add`` may be called from another thread.

    base_from_camera: (4, 4), pose of the camera in the child frame of the odometry.
    """

    def __init__(self, base_from_camera: NDArray[np.float64]) -> None:
        self._base_from_camera = base_from_camera
        self._camera_from_base = se3.inverse(base_from_camera)
        self._track = OdometryTrack()
        self._news = threading.Condition()
        self._received_at = -float("inf")

    def add(self, stamp: int, pose: NDArray[np.float64]) -> None:
        """stamp: ns, by the clock of the images. pose: (4, 4), m."""
        with self._news:
            self._track.add(stamp, pose)
            self._received_at = time.monotonic()
            self._news.notify()

    def between(self, first: int, last: int) -> Motion | None:
        """From the camera at ``first`` to that at ``last`` (ns); None where it is not known."""
        if last <= first:
            return None
        with self._news:
            if time.monotonic() - self._received_at < _ALIVE:
                self._news.wait_for(lambda: self._track.reaches(last), _PATIENCE)
            before, after = self._track.pose_at(first), self._track.pose_at(last)
        if before is None or after is None:
            return None
        base = se3.inverse(before) @ after
        camera = self._camera_from_base @ base @ self._base_from_camera
        unknown = np.full((6, 6), np.nan)
        return Motion(camera[:3, :3], camera[:3, 3], unknown, (last - first) * _SECOND)


@dataclass(frozen=True, eq=False)
class LearnerObservation:
    """A frame for ``Adapter.observe``, which documents the fields. stamp: s."""

    image: NDArray[np.uint8]
    stamp: float
    K: NDArray[np.float64] | None
    displacement: Motion | None


class ObservationBuilder:
    """Belongs on the learner's thread.

    decode: message → (H, W, 3) uint8 RGB; raises BadImageError.
    report: ``report(cause, message)``, logged once per cause.
    """

    def __init__(
        self,
        decode: Callable[[Any], NDArray[np.uint8]],
        pairing: CameraPairing,
        odometry: CameraOdometry,
        report: Callable[[str, str], None],
    ) -> None:
        self._decode = decode
        self._pairing = pairing
        self._odometry = odometry
        self._report = report
        self._rectifier = Rectifier()
        self._previous: int | None = None

    def see(self, message: Any) -> LearnerObservation:
        """Raises BadImageError; then the next image is paired with the one before."""
        image = self._decode(message)
        stamp = stamp_from_message(message.header.stamp)
        height, width = image.shape[:2]
        camera = self._pairing.camera_for(stamp, width, height)
        if camera is not None:
            try:
                image, camera = self._rectifier(image, camera)
            except CameraError as error:
                self._report("camera_info bad", f"{error}; the learned intrinsics are used")
                camera = None
        previous, self._previous = self._previous, stamp
        moved = None if previous is None else self._odometry.between(previous, stamp)
        return LearnerObservation(
            image, stamp * _SECOND, None if camera is None else camera.K, moved
        )
