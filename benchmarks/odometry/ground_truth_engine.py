"""An engine that knows the truth, to a stated accuracy: what surrounds the networks, measured."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from depth_motion_ros.engines.interface import (
    Engine,
    EngineDescription,
    EngineError,
    RawMotion,
    RawPrediction,
)
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.geometry import se3
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.sources.frame import Frame

# Metres at which a network sees the sky.
_SKY = 1000.0
# Control points of the smooth error of depth, over the image.
_WAVES = 4, 8


@dataclass(frozen=True)
class Disturbance:
    """How wrong the answers are.

    depth: relative standard deviation of a smooth factor on the depth, new for every frame, whose
        mean over the image is 1. turn: degrees about a random axis. share: of the step, in a
        random direction. unit: metres per unit of length.
    """

    depth: float = 0.1
    turn: float = 0.3
    share: float = 0.2
    unit: float = 1.0


class GroundTruthEngine(Engine):
    """Answers for the frames it is shown, in order, at ``size``; unknown depth stays NaN where the
    sequence's depth has gaps, and is the sky where a simulator says so."""

    def __init__(
        self, size: tuple[int, int], disturbance: Disturbance, sky: bool, seed: int = 0
    ) -> None:
        """sky: unknown depth is infinitely far."""
        self._size = size
        self._disturbance = disturbance
        self._sky = sky
        self._rng = np.random.default_rng(seed)
        self._frame: Frame | None = None
        self._before: Frame | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def show(self, frame: Frame) -> None:
        """The frame that the next step is about."""
        self._before, self._frame = self._frame, frame

    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        frame = self._frame
        if frame is None or frame.truth is None or frame.truth.depth is None:
            raise EvaluationError("the truth about the depth of this frame is not known")
        depth = self._resized(frame.truth.depth)
        if self._sky:
            depth = np.nan_to_num(depth, nan=_SKY)
        depth = depth * self._smooth_factor() / np.float32(self._disturbance.unit)
        motion = None if previous_image is None else self._motion(frame, self._before)
        return RawPrediction(depth.astype(np.float32), motion)

    def _motion(self, frame: Frame, before: Frame | None) -> RawMotion:
        if before is None or before.truth is None or frame.truth is None:
            raise EvaluationError("the truth about the motion of this frame is not known")
        if before.truth.pose is None or frame.truth.pose is None or frame.camera is None:
            raise EvaluationError("the pose or the camera of this frame is not known")
        motion = se3.inverse(before.truth.pose) @ frame.truth.pose
        axis, way = (vector / np.linalg.norm(vector) for vector in self._rng.normal(size=(2, 3)))
        length = self._disturbance.share * float(np.linalg.norm(motion[:3, 3]))
        turn = np.radians(self._disturbance.turn)
        motion = motion @ se3.exp(np.concatenate((length * way, turn * axis)))
        residual = np.zeros((*self._size[::-1], 3), np.float32)
        if frame.truth.motion is not None:
            # Told forward in time: where something moves, and about how fast.
            residual = -np.nan_to_num(self._resized(frame.truth.motion))
        unit = self._disturbance.unit
        return RawMotion(
            Rotation.from_matrix(motion[:3, :3]).as_euler("XYZ").astype(np.float32),
            (motion[:3, 3] / unit).astype(np.float32),
            residual / np.float32(unit),
            frame.camera.resized(*self._size).K.astype(np.float32),
        )

    def _resized(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        resized = cv2.resize(values, self._size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(resized, np.float32)

    def _smooth_factor(self) -> NDArray[np.float32]:
        coarse = self._rng.normal(size=_WAVES).astype(np.float32)
        wave = np.asarray(cv2.resize(coarse, self._size, interpolation=cv2.INTER_CUBIC))
        wave = (wave - wave.mean()) / wave.std()
        return np.asarray(np.exp(self._disturbance.depth * wave), np.float32)

    def load(self, weights: Weights) -> None:
        raise EngineError("the truth takes no weights")

    def describe(self) -> EngineDescription:
        return EngineDescription("truth", "", "cpu", "fp32", "none", *self._size, "")
