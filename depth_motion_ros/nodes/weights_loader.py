"""New weights while the node runs: checked, built beside the engine in use, then exchanged."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np

from depth_motion_ros.models.weights import Weights, WeightsError
from depth_motion_ros.nodes.engine_slot import EngineSlot
from depth_motion_ros.nodes.networks import EngineBuilder, EngineOptions, check_against_torch
from depth_motion_ros.nodes.worker import LatestWorker

Request = tuple[Callable[[], Weights], Callable[[], None], "Future[str]"]


class WeightsLoader:
    """Builds on a thread of its own; of several requests that wait, the newest is served.

    between_frames: runs an action on the perception thread between two frames.
    """

    def __init__(
        self,
        slot: EngineSlot,
        options: EngineOptions,
        build: EngineBuilder,
        between_frames: Callable[[Callable[[], None]], Future[None]],
    ) -> None:
        self._slot = slot
        width, height = slot.input_size
        self._options = replace(options, input_width=width, input_height=height)
        self._build = build
        self._between_frames = between_frames
        self._waiting: Future[str] | None = None
        self._worker: LatestWorker[Request] = LatestWorker(
            self._serve, on_error=lambda error: None, name="weights_loader"
        )
        self._worker.start()

    def request(
        self, read: Callable[[], Weights], exchanged: Callable[[], None] = lambda: None
    ) -> Future[str]:
        """Use other weights. The future gives their version, or the error that kept the old ones.

        read: gives the weights; called on the loader's thread, and may raise WeightsError.
        exchanged: called between two frames, right after the exchange.
        """
        future: Future[str] = Future()
        superseded, self._waiting = self._waiting, future
        self._worker.offer((read, exchanged, future))
        if superseded is not None and superseded.cancel():
            superseded.set_running_or_notify_cancel()
        return future

    def close(self) -> None:
        self._worker.stop(timeout=10.0)
        if self._waiting is not None:
            self._waiting.cancel()

    def _serve(self, request: Request) -> None:
        read, exchanged, future = request
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._load(read, exchanged))
        except Exception as error:
            future.set_exception(error)

    def _load(self, read: Callable[[], Weights], exchanged: Callable[[], None]) -> str:
        weights = read()
        architecture = self._slot.describe().architecture
        if weights.config.architecture != architecture:
            raise WeightsError(
                f"the weights are for {weights.config.architecture!r}, the engine in use is "
                f"{architecture!r}: clean up and configure the node to change the architecture"
            )
        engine = self._build(self._options, weights)
        try:
            check_against_torch(engine, weights, self._slot.pair or self._any_pair())
        except Exception:
            engine.close()
            raise

        def exchange() -> None:
            self._slot.exchange(engine)
            exchanged()

        self._between_frames(exchange).result()
        return weights.version

    def _any_pair(self) -> tuple[Any, Any]:
        """Stands in for images before any have come: noise, moved by two pixels."""
        width, height = self._slot.input_size
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return noise, np.roll(noise, 2, axis=1)
