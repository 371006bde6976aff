"""Messages on the topic ``weights``: kept until they can be checked, then used or refused."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from depth_motion_ros.models.weights import Weights, WeightsError
from depth_motion_ros.nodes.perception.engine_slot import EngineSlot
from depth_motion_ros.nodes.perception.weights_loader import LoadRequest, WeightsLoader
from depth_motion_ros.nodes.ros.diagnostics import FrameCounters
from depth_motion_ros.nodes.ros.storage import HeldFiles, file_name_of, ros_home
from depth_motion_ros.nodes.weights_exchange.protocol import (
    ORDER,
    ReceivedWeights,
    WeightsAcceptance,
    WeightsExchangeError,
    cause_of,
    check_seal,
    check_size,
    origin_of,
)
from depth_motion_ros.nodes.weights_exchange.scene_check import check_same_scene

Report = Callable[[str, str], None]


class WeightsInbox:
    """``take``, ``follow`` and ``values`` belong on the executor's thread.

    log: logs every message. report: ``report(cause, message)``, logged once per cause.
    """

    def __init__(
        self,
        loader: WeightsLoader,
        slot: EngineSlot,
        counters: FrameCounters,
        log: Callable[[str], object],
        report: Report,
    ) -> None:
        self._loader = loader
        self._slot = slot
        self._counters = counters
        self._log = log
        self._report = report
        self._gate = WeightsAcceptance(loader.in_use)
        self._pending: bytes | None = None
        self._received = self._accepted = 0

    @property
    def in_use(self) -> Weights:
        return self._loader.in_use

    def take(self, data: array[int]) -> None:
        """A message. It waits for a pair of images to be compared on."""
        self._received += 1
        try:
            check_size(len(data))
        except WeightsExchangeError as error:
            self._refuse(error)
            return
        self._pending = data.tobytes()
        self.follow()

    def follow(self) -> None:
        """Check the waiting message, if there is a pair of images by now."""
        content = self._pending
        if content is None or self._slot.pair is None:
            return
        self._pending = None
        accepted: list[ReceivedWeights] = []

        def read() -> Weights | None:
            received = self._gate.check(content)
            if received is None:
                return None
            accepted.append(received)
            return received.weights

        def done(weights: Weights) -> None:
            self._gate.accept(accepted[0])
            self._accepted += 1
            self._log(
                f"weights {weights.version!r} (of {weights.metadata['parent']!r}) from the topic "
                "are in use"
            )

        self._loader.offer(LoadRequest(read, check_same_scene, done)).add_done_callback(
            self._report_failure
        )

    def reload(self, read: Callable[[], Weights]) -> Future[str]:
        """Use the weights that ``read`` gives, and accept messages again after a rollback."""
        return self._loader.demand(LoadRequest(read, done=self._gate.restart))

    def rollback(self) -> Future[str]:
        """Back to the earlier weights; messages are refused from now on, until ``reload``."""
        return self._loader.rollback(
            lambda withdrawn: self._gate.withdraw(withdrawn, self._loader.in_use)
        )

    def save(self, path: Path, held: HeldFiles) -> Future[str]:
        """Write the adapted weights in use; the future gives their version, or a WeightsError.

        held: the files of this node; one that another node holds is left alone. The file appears
        whole or not at all.
        """
        return self._loader.between_loads(lambda: _save(self.in_use, path, held))

    def values(self) -> dict[str, str]:
        """For the diagnostics."""
        in_use, earlier = self._loader.in_use, self._loader.earlier
        return {
            "weights_parent": in_use.metadata.get("parent", ""),
            "weights_adapted": str(ORDER in in_use.metadata).lower(),
            "weights_rollback_target": earlier.version if earlier is not None else "",
            "weights_received": str(self._received),
            "weights_accepted": str(self._accepted),
            "weights_pending": str(self._pending is not None).lower(),
        }

    def _report_failure(self, loaded: Future[str]) -> None:
        """On the loader's thread."""
        if loaded.cancelled():
            return
        error = loaded.exception()
        if error is not None:
            self._refuse(error)

    def _refuse(self, error: BaseException) -> None:
        cause = cause_of(error)
        self._counters.bad(f"weights {cause}")
        self._report(f"weights refused ({cause})", str(error))


def _save(weights: Weights, path: Path, held: HeldFiles) -> str:
    if ORDER not in weights.metadata:
        raise WeightsError(f"nothing to save: {weights.version!r} are not adapted weights")
    try:
        hold_adapted(path, held)
        weights.to_file(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror}") from error
    return weights.version


def default_adapted_path(node_name: str, architecture: str) -> Path:
    """Where a node keeps adapted weights if no parameter says so."""
    return ros_home() / f"adapted-{file_name_of(node_name)}-{architecture}.safetensors"


def hold_adapted(path: Path, held: HeldFiles) -> None:
    """Take a file of adapted weights for this node. Raises WeightsError where another has it."""
    if not held.hold(path):
        raise WeightsError(
            f"{path} is in use by another node: give each node a file of its own with the "
            "parameter adapted_weights, or leave it empty"
        )


def read_adapted(path: Path, base: Weights) -> Weights:
    """Adapted weights as ``WeightsInbox.save`` wrote them.

    base: what the node would run without. Raises WeightsError where the file is missing, damaged,
    or was learned from others than these.
    """
    weights = check_seal(Weights.from_file(path), str(path)).weights
    if weights.metadata["architecture"] != base.metadata["architecture"] or origin_of(
        weights
    ) != origin_of(base):
        raise WeightsError(
            f"{path}: {weights.version!r} were learned from other weights than {base.version!r}; "
            "remove the file, or name the weights that they were learned from"
        )
    return weights
