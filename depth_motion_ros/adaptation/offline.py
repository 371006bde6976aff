"""The same learner over recorded video, as fast as the machine allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.adaptation.adapter import Adapter
from depth_motion_ros.adaptation.release import Release
from depth_motion_ros.adaptation.status import AdmissionResult
from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.geometry import se3
from depth_motion_ros.sources.frame import Frame


class VideoClock:
    """The time of the newest frame, s: for a budget that counts in the time of the video."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, eq=False)
class AdaptationProgress:
    """What a frame led to. release: weights that it made releasable; None mostly."""

    frame: Frame
    observation: AdmissionResult
    release: Release | None


def adapt_over(
    adapter: Adapter,
    frames: Iterable[Frame],
    clock: VideoClock | None = None,
    with_odometry: bool = False,
) -> Iterator[AdaptationProgress]:
    """Show frames to an adapter and let it learn all that its budget allows after each.

    clock: of the adapter's budget. with_odometry: the poses that the frames carry serve as
    odometry.
    """
    previous: Frame | None = None
    for frame in frames:
        if clock is not None:
            clock.now = frame.stamp * 1e-9
        displacement = _between(previous, frame) if with_odometry else None
        K = None if frame.camera is None else frame.camera.K
        observation = adapter.observe(frame.image, frame.stamp * 1e-9, K, displacement)
        while adapter.learn() is not None:
            pass
        yield AdaptationProgress(frame, observation, adapter.consider())
        previous = frame


def _between(previous: Frame | None, frame: Frame) -> Motion | None:
    before, now = _pose(previous), _pose(frame)
    if previous is None or before is None or now is None:
        return None
    step = se3.inverse(before) @ now
    unknown = np.full((6, 6), np.nan)
    return Motion(step[:3, :3], step[:3, 3], unknown, (frame.stamp - previous.stamp) * 1e-9)


def _pose(frame: Frame | None) -> NDArray[np.float64] | None:
    return None if frame is None or frame.truth is None else frame.truth.pose
