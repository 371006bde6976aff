"""The one interface behind which every runtime stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.models.weights import Weights


class EngineError(RuntimeError):
    """A runtime is missing, cannot be built or has failed; the message names the fix."""


@dataclass(frozen=True, eq=False)
class RawMotion:
    """What MotionNet says of (image, previous image), in the network's unit of length.

    The pair is fed with the newest image as frame 1, so that the residual field lies on its
    pixels: a point X of the newest camera lies at R(rotation) X + translation + residual in the
    axes of the previous camera, R = Rx Ry Rz.

    rotation (3,) rad; translation (3,); residual (H, W, 3), zero where static;
    K (3, 3) learned intrinsics in pixels of the network's input.
    """

    rotation: NDArray[np.float32]
    translation: NDArray[np.float32]
    residual: NDArray[np.float32]
    K: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RawPrediction:
    """One step. depth: (H, W) float32 > 0, network units. motion: None without a previous frame."""

    depth: NDArray[np.float32]
    motion: RawMotion | None


@dataclass(frozen=True)
class EngineDescription:
    """For logs and diagnostics. runtime: ``torch``, ``openvino``, ``onnxruntime``,
    ``tensorrt``, ``tensorrt_rtx``. precision: ``fp32``, ``fp16``."""

    runtime: str
    runtime_version: str
    device: str
    precision: str
    architecture: str
    input_width: int
    input_height: int
    weights_version: str


class Engine(ABC):
    """Runs both networks for one frame. Not thread-safe: one caller at a time.

    reason: why ``create_engine`` took this runtime, for logs; empty where it was built directly.
    """

    reason: str = ""

    @property
    @abstractmethod
    def input_size(self) -> tuple[int, int]:
        """(width, height) in pixels of the images that ``step`` takes."""

    @abstractmethod
    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        """Depth of ``image`` and, given a previous frame, the motion between the two.

        previous_image, image: (H, W, 3) uint8 RGB at ``input_size``.
        previous_depth: (H, W) float32, what an earlier step returned for ``previous_image``.
        The result is the caller's own: later steps do not overwrite it.

        Raises ValueError for a wrong shape or type, EngineError when the runtime fails.
        """

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Replace the weights. On any error the engine keeps those it had.

        Raises WeightsError when they do not fit the architecture, EngineError otherwise.
        """

    @abstractmethod
    def describe(self) -> EngineDescription: ...

    def close(self) -> None:  # noqa: B027 - most runtimes have nothing to free
        """Free what the runtime holds. Closing twice does no harm."""
