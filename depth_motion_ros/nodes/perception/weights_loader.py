"""New weights while the node runs: put into a second engine, compared, then exchanged."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from depth_motion_ros.engines.interface import Engine, EngineError, RawPrediction
from depth_motion_ros.estimation.settings import unit_of
from depth_motion_ros.models.weights import Weights, WeightsArchitectureError, WeightsError
from depth_motion_ros.nodes.perception.allocator import give_back
from depth_motion_ros.nodes.perception.engine_slot import EngineSlot
from depth_motion_ros.nodes.perception.networks import (
    EngineBuilder,
    EngineOptions,
    check_against_torch,
    reference_answers,
)
from depth_motion_ros.nodes.ros.worker import LatestWorker

Compare = Callable[[RawPrediction, RawPrediction], None]

# Of the loader's thread: new weights can wait, frames cannot.
NICENESS = 10


@dataclass(frozen=True)
class LoadRequest:
    """What to load. Everything here is called on the loader's thread.

    read: gives the weights, or None where those in use are to stay; may raise WeightsError.
    compare: given the answers of the weights in use and of the new ones to the newest pair of
        images, may raise WeightsError. None = they are not compared; not called before there was
        a pair.
    done: called with the weights once they are in use.
    """

    read: Callable[[], Weights | None]
    compare: Compare | None = None
    done: Callable[[Weights], None] = lambda weights: None


class WeightsLoader:
    """Works on a thread of its own. The engine that was replaced stays as the second instance:
    the next weights are loaded into it, and until then it is what a rollback returns to.

    weights: those of the engine in the slot.
    between_frames: runs an action on the perception thread between two frames; also given the
        weights that are in use after it.
    """

    def __init__(
        self,
        slot: EngineSlot,
        weights: Weights,
        options: EngineOptions,
        build: EngineBuilder,
        between_frames: Callable[[Callable[[], None], Weights], Future[None]],
    ) -> None:
        self._slot = slot
        width, height = slot.input_size
        self._options = replace(options, input_width=width, input_height=height)
        self._build = build
        self._between_frames = between_frames
        self._in_use = weights
        self._earlier: Weights | None = None
        self._second: Engine | None = None
        self._second_has: Weights | None = None
        self._waiting: Future[str] | None = None
        self._worker: LatestWorker[tuple[LoadRequest, Future[str]]] = LatestWorker(
            self._serve, lambda error: None, name="weights_loader", niceness=NICENESS
        )
        self._worker.start()

    @property
    def in_use(self) -> Weights:
        return self._in_use

    @property
    def earlier(self) -> Weights | None:
        """What a rollback returns to."""
        return self._earlier

    def offer(self, order: LoadRequest) -> Future[str]:
        """Of several offers that wait, the newest is served; the others are cancelled.

        The future gives the version in use, or the error that kept the old weights.
        """
        future: Future[str] = Future()
        superseded, self._waiting = self._waiting, future
        self._worker.offer((order, future))
        if superseded is not None and superseded.cancel():
            superseded.set_running_or_notify_cancel()
        return future

    def demand(self, order: LoadRequest) -> Future[str]:
        """As ``offer``, but no later one takes its place."""
        return self._worker.call(lambda: self._load(order))

    def rollback(self, done: Callable[[str], None]) -> Future[str]:
        """Back to the weights before those in use; the future gives their version.

        done: called on the loader's thread with the version that was withdrawn.
        """
        return self._worker.call(lambda: self._roll_back(done))

    def between_loads(self, action: Callable[[], str]) -> Future[str]:
        """Run an action on the loader's thread, while no weights are under way."""
        return self._worker.call(action)

    def close(self) -> None:
        ended = self._worker.stop(timeout=10.0)
        if self._waiting is not None:
            self._waiting.cancel()
        if ended and self._second is not None:
            self._second.close()

    def _serve(self, request: tuple[LoadRequest, Future[str]]) -> None:
        order, future = request
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(self._load(order))
        except Exception as error:
            future.set_exception(error)

    def _load(self, order: LoadRequest) -> str:
        weights = order.read()
        if weights is None:
            return self._in_use.version
        architecture = self._slot.describe().architecture
        if weights.config.architecture != architecture:
            raise WeightsArchitectureError(
                f"the weights are for {weights.config.architecture!r}, the engine in use is "
                f"{architecture!r}: clean up and configure the node to change the architecture"
            )
        unit, used = unit_of(weights.metadata), unit_of(self._in_use.metadata)
        if unit != used:
            raise WeightsArchitectureError(
                f"lengths of the weights are in units of {unit:g} m, of those in use {used:g} m: "
                "clean up and configure the node to change the unit"
            )
        try:
            self._exchange(self._prepared(weights, order.compare), weights)
        finally:
            give_back()
        order.done(weights)
        return weights.version

    def _prepared(self, weights: Weights, compare: Compare | None) -> Engine:
        """The second instance with these weights, once it has passed both comparisons."""
        engine = self._filled(weights)
        self._second, self._second_has = engine, None
        pair = self._slot.pair
        answer = check_against_torch(engine, weights, pair or self._any_pair())
        if pair is not None and compare is not None:
            compare(reference_answers(self._in_use, pair)[1], answer)
        return engine

    def _filled(self, weights: Weights) -> Engine:
        second, self._second = self._second, None
        if second is not None:
            try:
                second.load(weights)
                return second
            except EngineError:
                # A runtime that cannot take other weights can still be built with them.
                second.close()
        return self._build(self._options, weights)

    def _exchange(self, engine: Engine, weights: Weights) -> None:
        replaced: list[Engine] = []
        self._between_frames(lambda: replaced.append(self._slot.exchange(engine)), weights).result()
        self._second, self._second_has = replaced[0], self._in_use
        self._earlier, self._in_use = self._in_use, weights

    def _roll_back(self, done: Callable[[str], None]) -> str:
        earlier, withdrawn = self._earlier, self._in_use.version
        if earlier is None:
            raise WeightsError(
                f"no weights before {withdrawn!r} are kept: ~/reload_weights returns to the file"
            )
        if self._second is not None and self._second_has is earlier:
            engine = self._second
        else:
            engine = self._prepared(earlier, None)
        self._exchange(engine, earlier)
        self._earlier = None
        done(withdrawn)
        return earlier.version

    def _any_pair(self) -> tuple[Any, Any]:
        """Stands in for images before any have come: noise, moved by two pixels."""
        width, height = self._slot.input_size
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return noise, np.roll(noise, 2, axis=1)
