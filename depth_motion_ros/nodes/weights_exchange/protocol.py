"""Weights on their way from the learner to a running node: sealed, numbered, checked on arrival.

The message is a weights file whose metadata also state its origin:

- ``version`` and ``parent``: names, for people;
- ``origin_sha256``: of the tensors that the learner began with. A node accepts only what was
  trained from the weights that it was started with;
- ``order``: a whole number that rises with every message, so that an old one has no effect;
- ``content_sha256``: of the tensors; ``seal_sha256``: of all metadata, that one included.

The checksums hold against damage and mistakes. They are no signature: SROS 2 decides who may
publish on the topic (docs/reference/security.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

import torch

from depth_motion_ros.models.weights import (
    MAX_BYTES,
    Weights,
    WeightsArchitectureError,
    WeightsError,
    WeightsFileError,
    WeightsTensorError,
    WeightsValueError,
)

TOPIC = "weights"
ORIGIN, ORDER, CONTENT, SEAL = "origin_sha256", "order", "content_sha256", "seal_sha256"
# A header of 300 MB would become some GB of JSON objects; that of the largest network has 60 kB.
_MOST_HEADER = 1_000_000
_LONGEST_NAME = 200
_CAUSES: tuple[tuple[type[WeightsError], str], ...] = (
    (WeightsFileError, "malformed"),
    (WeightsArchitectureError, "architecture"),
    (WeightsTensorError, "tensors"),
    (WeightsValueError, "not finite"),
)
ENGINE = "engine"


class WeightsExchangeError(WeightsError):
    """A message is refused; the weights in use stay. cause: a short name of the reason."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def cause_of(error: BaseException) -> str:
    """The short name under which a refusal is counted; ``engine`` where the runtime refused."""
    if isinstance(error, WeightsExchangeError):
        return error.cause
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), ENGINE)


@dataclass(frozen=True, eq=False)
class ReceivedWeights:
    """Weights whose seal holds. order, origin, content: as in the metadata."""

    weights: Weights
    order: int
    origin: str
    content: str


def fingerprint(weights: Weights) -> str:
    """SHA-256, in hexadecimal, of the tensors: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(weights.tensors):
        tensor = weights.tensors[name].detach().cpu().contiguous()
        head = json.dumps([name, str(tensor.dtype), list(tensor.shape)])
        digest.update(head.encode() + b"\n")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def origin_of(weights: Weights) -> str:
    """Fingerprint of the weights that these were learned from; their own where they were not."""
    return weights.metadata.get(ORIGIN) or fingerprint(weights)


def seal(weights: Weights, origin: str, order: int) -> Weights:
    """The same weights, ready to be published. Their metadata must name version and parent.

    Raises WeightsError where they do not.
    """
    missing = [key for key in ("version", "parent") if not weights.metadata.get(key)]
    if missing:
        raise WeightsError(f"weights to be published must name their {' and '.join(missing)}")
    metadata = {
        **weights.metadata,
        ORIGIN: origin,
        ORDER: str(order),
        CONTENT: fingerprint(weights),
    }
    metadata[SEAL] = _seal_of(metadata)
    return Weights(weights.tensors, metadata)


def open_message(data: bytes, name: str = "topic weights") -> ReceivedWeights:
    """Check all metadata of a message. name: its name in errors.

    Raises DeliveryError.
    """
    check_size(len(data), name)
    if int.from_bytes(data[:8], "little") > _MOST_HEADER:
        raise WeightsExchangeError("malformed", f"{name}: no header of a weights file is so long")
    try:
        weights = Weights.from_bytes(data, name)
    except WeightsError as error:
        raise WeightsExchangeError(cause_of(error), str(error)) from error
    return check_seal(weights, name)


def check_size(count: int, name: str = "topic weights") -> None:
    """Before a byte is copied. Raises DeliveryError."""
    if count > MAX_BYTES:
        raise WeightsExchangeError(
            "oversized", f"{name}: {count} bytes are more than any weights file has ({MAX_BYTES})"
        )


def check_seal(weights: Weights, name: str) -> ReceivedWeights:
    """Raises DeliveryError where names, number or a checksum are missing or wrong."""
    metadata = weights.metadata
    for key in ("version", "parent"):
        value = metadata.get(key, "")
        if not value or len(value) > _LONGEST_NAME or not value.isprintable():
            raise WeightsExchangeError("unsealed", f"{name}: the metadata name no usable {key}")
    order = metadata.get(ORDER, "")
    if not re.fullmatch(r"[0-9]{1,18}", order):
        raise WeightsExchangeError("unsealed", f"{name}: the metadata have no usable order number")
    if metadata.get(SEAL) != _seal_of(metadata):
        raise WeightsExchangeError("checksum", f"{name}: the metadata do not match their checksum")
    content = fingerprint(weights)
    if metadata.get(CONTENT) != content:
        raise WeightsExchangeError("checksum", f"{name}: the tensors do not match their checksum")
    return ReceivedWeights(weights, int(order), metadata.get(ORIGIN, ""), content)


def _seal_of(metadata: dict[str, str]) -> str:
    content = {key: value for key, value in metadata.items() if key != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class WeightsAcceptance:
    """Which messages a node accepts. All methods belong on one thread.

    in_use: the weights that the node runs.
    """

    def __init__(self, in_use: Weights) -> None:
        self._origin = origin_of(in_use)
        self._content = fingerprint(in_use)
        self._order = int(in_use.metadata.get(ORDER, "-1"))
        self._withdrawn = ""

    def check(self, data: bytes) -> ReceivedWeights | None:
        """The weights of a message; None if they are in use already.

        Raises WeightsExchangeError.
        """
        received = open_message(data)
        version = received.weights.version
        if received.content == self._content:
            return None
        if received.origin != self._origin:
            raise WeightsExchangeError(
                "origin",
                f"weights {version!r} were trained from others ({received.origin[:12]}) than this "
                f"node has ({self._origin[:12]}): give node and learner the same weights file",
            )
        if received.order <= self._order:
            raise WeightsExchangeError(
                "replayed",
                f"weights {version!r} have order {received.order}, but {self._order} was accepted "
                "before",
            )
        if self._withdrawn:
            raise WeightsExchangeError(
                "withheld",
                f"weights {version!r} are not accepted: {self._withdrawn!r} was rolled back. Call "
                "~/reload_weights to accept weights again",
            )
        return received

    def accept(self, received: ReceivedWeights) -> None:
        """It is in use now."""
        self._order, self._content = received.order, received.content

    def withdraw(self, version: str, in_use: Weights) -> None:
        """The user has rolled ``version`` back: nothing more is accepted until ``restart``."""
        self._withdrawn, self._content = version, fingerprint(in_use)

    def restart(self, in_use: Weights) -> None:
        """The user has put weights in use, and messages are accepted again.

        What was accepted before still counts as old.
        """
        self._origin, self._content = origin_of(in_use), fingerprint(in_use)
        self._order = max(self._order, int(in_use.metadata.get(ORDER, "-1")))
        self._withdrawn = ""
