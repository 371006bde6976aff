"""The engine in use: exchanged between two frames, and timed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import Engine, EngineDescription, EngineError, RawPrediction
from depth_motion_ros.estimation.stopwatch import NOTHING, Stopwatch
from depth_motion_ros.models.weights import Weights


class EngineSlot(Engine):
    """An Engine that passes everything on to the one it holds.

    cost: of the steps since it was last set to ``NOTHING``.
    pair: the last two images given to ``step``, older first; None before the second.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.cost = NOTHING
        self.pair: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        return self._engine.input_size

    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        watch = Stopwatch()
        try:
            with watch:
                prediction = self._engine.step(previous_image, previous_depth, image)
        finally:
            self.cost += watch.cost
        if previous_image is not None:
            self.pair = (previous_image, image)
        return prediction

    def load(self, weights: Weights) -> None:
        self._engine.load(weights)

    def describe(self) -> EngineDescription:
        return self._engine.describe()

    @property
    def why(self) -> str:
        """Why this runtime was chosen, if known."""
        return str(getattr(self._engine, "reason", ""))

    def exchange(self, engine: Engine) -> Engine:
        """Use another engine of the same input size from the next step on; the old one is given.

        Call it on the thread that steps. Raises EngineError for another input size.
        """
        if engine.input_size != self.input_size:
            raise EngineError(
                f"the new engine takes {engine.input_size} px, the one in use {self.input_size}"
            )
        old, self._engine = self._engine, engine
        return old

    def close(self) -> None:
        self._engine.close()
