"""From frames to pairs: which earlier frame the newest is paired with, and the camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.adaptation.pairing.admission import WORTH_WAITING, AdmissionView, view_of
from depth_motion_ros.adaptation.pairing.records import PairRecord
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera, CameraError

# Share of the newest prediction in the learned intrinsics.
_NEW_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class ViewPair:
    """A pair of views.

    first: the reference.
    second: the newest frame.
    K: (3, 3) in their pixels, given or learned; None while unknown.
    is_given: K came with the image.
    """

    first: AdmissionView
    second: AdmissionView
    K: NDArray[np.float64] | None
    is_given: bool

    def record(self) -> PairRecord:
        """The pair for the replay buffer; K only if it was given."""
        K = None
        if self.is_given and self.K is not None:
            K = torch.tensor(self.K, dtype=torch.float32)
        displacement = float("nan")
        if self.second.has_odometry:
            moved = se3.inverse(self.first.place) @ self.second.place
            displacement = float(np.linalg.norm(moved[:3, 3]))
        images = [
            torch.from_numpy(view.image).permute(2, 0, 1).contiguous()
            for view in (self.first, self.second)
        ]
        return PairRecord(images[0], images[1], K, None, None, displacement, self.second.stamp)


class FramePairing:
    """Pairs the newest frame with an earlier one, the reference.

    width, height: of the network's images. A slow robot shows nothing new from frame to frame: the
    reference stays until a frame shows it from another place, or it is too old.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._reference: AdmissionView | None = None
        self._newest: AdmissionView | None = None
        self._place = np.eye(4)
        self._is_followed = False
        self._learned: NDArray[np.float64] | None = None

    def see(
        self,
        image: NDArray[np.uint8],
        stamp: float,
        K: NDArray[np.float64] | None,
        displacement: Motion | None,
    ) -> ViewPair | str:
        """The newest frame and its reference, or why there is no pair. See ``Adapter.observe``."""
        if not _is_image(image) or not np.isfinite(stamp):
            return "bad_image"
        try:
            camera = None if K is None else Camera(K, image.shape[1], image.shape[0])
        except CameraError:
            return "bad_image"
        self._newest = self._view(image, stamp, displacement)
        if self._reference is None:
            self._start_from(self._newest)
            return "first"
        matrix = self._learned if camera is None else camera.resized(*self._size).K
        return ViewPair(self._reference, self._newest, matrix, camera is not None)

    def refuse(self, reason: str, settings: AdaptationSettings) -> None:
        """The newest pair was refused: wait with the same reference, or begin with the newest."""
        reference, newest = self._reference, self._newest
        if reference is None or newest is None:
            return
        age = newest.stamp - reference.stamp
        is_young = 0 <= age < settings.min_time_step
        # The next frame comes about as long after this one as this one after the reference.
        may_wait = reason in WORTH_WAITING and 0 <= 2 * age <= settings.max_time_step
        if not is_young and not may_wait:
            self._start_from(newest)

    def advance(self) -> None:
        """The newest pair was admitted: its second frame is the next one's reference."""
        self._start_from(self._newest)

    def close(self) -> None:
        """Drop the reference: the next frame becomes it."""
        self._start_from(None)

    def add_intrinsics(self, K: Tensor) -> None:
        """Update the learned intrinsics with the network's newest ones, (3, 3)."""
        newest = K.double().numpy()
        if not np.isfinite(newest).all():
            return
        before = newest if self._learned is None else self._learned
        self._learned = (1 - _NEW_SHARE) * before + _NEW_SHARE * newest

    def _view(
        self, image: NDArray[np.uint8], stamp: float, displacement: Motion | None
    ) -> AdmissionView:
        resized = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        small = np.asarray(resized, dtype=np.uint8)
        if displacement is None:
            self._is_followed = False
        else:
            step = se3.transform(displacement.rotation, displacement.translation)
            self._place = self._place @ step
        return view_of(small, stamp, self._place, self._is_followed)

    def _start_from(self, view: AdmissionView | None) -> None:
        """Take a new reference. It is followed by odometry until a frame comes without."""
        self._reference = view
        self._is_followed = view is not None


def _is_image(image: object) -> bool:
    return (
        isinstance(image, np.ndarray)
        and image.ndim == 3
        and image.shape[2] == 3
        and min(image.shape[:2]) > 0
        and image.dtype == np.uint8
    )
