"""The weights and the engine that the parameters ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from depth_motion_ros.engines.acceptance import check_acceptable
from depth_motion_ros.engines.interface import Engine, EngineError, RawPrediction
from depth_motion_ros.engines.select import create_engine
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights, WeightsError


@dataclass(frozen=True)
class EngineOptions:
    """How to build an engine: the parameters of the same names; 0 = default."""

    engine: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0
    input_width: int = 0
    input_height: int = 0

    def build(self, weights: Weights) -> Engine:
        """Raises EngineError."""
        config = weights.config
        size = (self.input_width or config.input_width, self.input_height or config.input_height)
        return create_engine(
            weights,
            engine=self.engine,
            precision=self.precision,
            device=self.device,
            threads=self.threads or None,
            input_size=size,
        )


EngineBuilder = Callable[[EngineOptions, Weights], Engine]


def reference_answers(
    weights: Weights, images: tuple[Any, Any]
) -> tuple[RawPrediction, RawPrediction]:
    """PyTorch's predictions for the older image alone, and for the pair.

    images: two (H, W, 3) uint8 RGB images of a size that the networks take, the older one first.
    """
    height, width = images[0].shape[:2]
    # One thread, although slower: frames need the other cores meanwhile.
    reference = TorchEngine(weights, device="cpu", input_size=(width, height), threads=1)
    try:
        first = reference.step(None, None, images[0])
        return first, reference.step(images[0], first.depth, images[1])
    finally:
        reference.close()


def check_against_torch(engine: Engine, weights: Weights, images: tuple[Any, Any]) -> RawPrediction:
    """Refuse an engine whose answer is not that of the PyTorch model; gives its answer.

    images: two (H, W, 3) uint8 RGB images at the engine's input size, the older one first.
    Raises WeightsError naming the difference and what was allowed.
    """
    first, expected = reference_answers(weights, images)
    got = engine.step(images[0], first.depth, images[1])
    about = engine.describe()
    try:
        check_acceptable(expected, got, about.precision, about.runtime)
    except EngineError as error:
        raise WeightsError(f"{error}: the weights in use are kept") from error
    return got
