"""An engine's answers beside PyTorch's: with every set of weights, and on the first real frames."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.acceptance import check_acceptable
from depth_motion_ros.engines.interface import Engine, RawPrediction
from depth_motion_ros.engines.parity import Pair, textured_pair
from depth_motion_ros.models.weights import Weights

_LOG = logging.getLogger(__name__)
# Previous image, its depth, newest image.
Run = Callable[[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]], RawPrediction]


class Comparison:
    """figures: of the last comparison, as text."""

    def __init__(
        self,
        oracle: Callable[[Weights], Engine],
        runtime: str,
        precision: str,
        size: tuple[int, int],
        pair: Pair | None = None,
    ) -> None:
        """oracle: makes PyTorch's float32 engine. size: (width, height) of the images.

        pair: two real images, older first; None = a texture that moves, until ``confirm`` has seen
            the first real ones.
        """
        self.figures = ""
        self._oracle = oracle
        self._runtime = runtime
        self._precision = precision
        self._pair = pair or textured_pair(size)
        self._is_real = pair is not None
        self._unconfirmed: Weights | None = None

    def check(self, weights: Weights, run: Run) -> None:
        """Compare what ``run`` gives with these weights. Raises EngineError with the figures."""
        previous, image = self._pair
        oracle = self._oracle(weights)
        depth = oracle.step(None, None, previous).depth
        got = run(previous, depth, image)
        self._judge(oracle.step(previous, depth, image), got)
        self._unconfirmed = None if self._is_real else weights

    def confirm(
        self,
        got: RawPrediction,
        previous: NDArray[np.uint8],
        depth: NDArray[np.float32],
        image: NDArray[np.uint8],
    ) -> None:
        """Once, on real frames: the same for a step. An engine that is refused stays so."""
        if self._unconfirmed is None:
            return
        self._judge(self._oracle(self._unconfirmed).step(previous, depth, image), got)
        self._unconfirmed = None
        self._is_real = True
        self._pair = (previous.copy(), image.copy())

    def _judge(self, reference: RawPrediction, got: RawPrediction) -> None:
        self.figures = check_acceptable(reference, got, self._precision, self._runtime)
        _LOG.info("%s against PyTorch: %s", self._runtime, self.figures)
