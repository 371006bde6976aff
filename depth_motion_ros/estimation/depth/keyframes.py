"""A few earlier frames, and the flow to the one from which the camera has gone far enough."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.depth.epipolar_field import (
    EpipolarField,
    Floats,
    median_parallax,
)
from depth_motion_ros.estimation.depth.pose_correction import RelativePose
from depth_motion_ros.estimation.scene_flow.optical_flow import Bytes, search_flow
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.texture import has_texture

_MOST = 6
# Pixels of median parallax: wanted, least that is worth a flow, most that flow follows, and from
# the newest keyframe to the next.
_WANTED, _LEAST, _FARTHEST, _NEXT = 12.0, 1.5, 30.0, 3.0
# Standard deviation, in pixels of 416, of the blur of the field by which the keyframe is warped:
# warped by detailed depth, flow is biased towards that depth.
_BLUR = 12.0
# Grey levels by which a match may differ, after the mean.
_SAME = 12.0
_SEARCH = {"FinestScale": 1, "PatchStride": 4, "GradientDescentIterations": 8}


@dataclass(frozen=True, eq=False)
class Keyframe:
    """grey: (H, W) uint8. pose: points of the current frame into this one's axes."""

    grey: Bytes
    pose: RelativePose


class Keyframes:
    """At most six; the oldest goes."""

    def __init__(self) -> None:
        self._kept: list[Keyframe] = []

    def clear(self) -> None:
        self._kept.clear()

    def in_unit(self, factor: float) -> None:
        """In a unit of length that is ``factor`` times smaller."""
        if factor != 1:
            self._kept = [replace(each, pose=each.pose.in_unit(factor)) for each in self._kept]

    def advance(self, pose: RelativePose) -> None:
        """A frame follows. pose: of its points into the axes of the one before."""
        self._kept = [replace(each, pose=each.pose.after(pose)) for each in self._kept]

    def nearest(self, inverse_depth: Floats, camera: Camera) -> int | None:
        """Index of the one whose median parallax is nearest to what is wanted, by ratio."""
        best, found = np.inf, None
        for index, each in enumerate(self._kept):
            parallax = median_parallax(each.pose.motion, camera, inverse_depth)
            if not _LEAST < parallax < _FARTHEST:
                continue
            off = abs(np.log(parallax / _WANTED))
            if off < best:
                best, found = off, index
        return found

    def __getitem__(self, index: int) -> Keyframe:
        return self._kept[index]

    def correct(self, index: int, pose: RelativePose) -> None:
        self._kept[index] = replace(self._kept[index], pose=pose)

    def add(self, grey: Bytes, inverse_depth: Floats, camera: Camera) -> None:
        """The current frame, where the camera has gone far enough from the newest one."""
        if self._kept:
            motion = self._kept[-1].pose.motion
            if median_parallax(motion, camera, inverse_depth) < _NEXT:
                return
        here = RelativePose(np.eye(4), np.zeros((6, 6)))
        self._kept = [*self._kept, Keyframe(grey, here)][-_MOST:]


def flow_to(
    keyframe: Keyframe, grey: Bytes, inverse_depth: Floats, camera: Camera
) -> tuple[tuple[Floats, Floats], NDArray[np.bool_]]:
    """(H, W) each: where the pixels lie in the keyframe, and where that is to be believed."""
    height, width = grey.shape
    x = np.arange(width, dtype=np.float32)[None] + np.zeros((height, 1), np.float32)
    y = np.arange(height, dtype=np.float32)[:, None] + np.zeros((1, width), np.float32)
    u, v, _ = EpipolarField.of(keyframe.pose.motion, camera).projected(inverse_depth)
    shift_x, shift_y = _blurred(u - x, v - y)
    warped = _sampled(keyframe.grey, x + shift_x, y + shift_y)
    left = search_flow(_SEARCH, grey, warped)
    at_x, at_y = x + left[..., 0], y + left[..., 1]
    target_x = at_x + _sampled(shift_x, at_x, at_y)
    target_y = at_y + _sampled(shift_y, at_x, at_y)
    difference = cv2.absdiff(_sampled(keyframe.grey, target_x, target_y), grey)
    good = (cv2.blur(difference, (3, 3)) < _SAME) & has_texture(grey)
    good &= (target_x >= 0) & (target_x <= width - 1) & (target_y >= 0) & (target_y <= height - 1)
    return (target_x, target_y), good


def _blurred(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """A quarter of the size shows all that the blur leaves."""
    height, width = x.shape
    size = max(2, width // 4), max(2, height // 4)
    small = cv2.resize(cv2.merge((x, y)), size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), _BLUR * width / 416 / 4)
    whole = cv2.split(cv2.resize(small, (width, height)))
    return np.asarray(whole[0], np.float32), np.asarray(whole[1], np.float32)


def _sampled(image: NDArray, x: Floats, y: Floats) -> NDArray:
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
