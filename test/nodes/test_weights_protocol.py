"""What a node believes of weights that are delivered to it: seals, order, and hostile bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import MAX_BYTES, Weights, WeightsError, weights_of
from depth_motion_ros.nodes.weights_exchange.protocol import (
    CONTENT,
    ORDER,
    ORIGIN,
    SEAL,
    WeightsAcceptance,
    WeightsExchangeError,
    check_size,
    fingerprint,
    open_message,
    origin_of,
    seal,
)


def make(version: str, parent: str = "", seed: int = 0) -> Weights:
    torch.manual_seed(seed)
    network = DepthMotionNet(NetworkConfig("lite", 64, 32))
    return weights_of(network, version=version, parent=parent)


BASE = make("base")
ORIGIN_OF_BASE = fingerprint(BASE)


def received(order: int, seed: int = 1, origin: str = ORIGIN_OF_BASE) -> Weights:
    return seal(make(f"base+{order}", "base", seed), origin, order)


SEALED = received(7).to_bytes()
GATE = WeightsAcceptance(BASE)  # for messages none of which it takes
HEADER = 8 + int.from_bytes(SEALED[:8], "little")


def cause_of(gate: WeightsAcceptance, data: bytes) -> str:
    with pytest.raises(WeightsExchangeError) as refused:
        gate.check(data)
    return refused.value.cause


def altered(data: bytes, **metadata: str | None) -> bytes:
    """The same file with other metadata."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for key, value in metadata.items():
        header["__metadata__"].pop(key, None)
        if value is not None:
            header["__metadata__"][key] = value
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def test_what_was_sealed_opens_with_all_that_it_says() -> None:
    opened = open_message(SEALED)
    assert (opened.order, opened.origin) == (7, ORIGIN_OF_BASE)
    assert opened.weights.version == "base+7"
    assert opened.weights.metadata["parent"] == "base"
    assert opened.content == fingerprint(opened.weights) == fingerprint(received(9))
    assert origin_of(opened.weights) == ORIGIN_OF_BASE


def test_the_fingerprint_is_of_values_types_and_names() -> None:
    name = next(iter(BASE.tensors))
    changed = {**BASE.tensors, name: BASE.tensors[name] + 1e-6}
    assert fingerprint(Weights(changed, BASE.metadata)) != ORIGIN_OF_BASE
    assert fingerprint(BASE.half()) != ORIGIN_OF_BASE
    assert fingerprint(Weights.from_bytes(BASE.to_bytes())) == ORIGIN_OF_BASE


def test_weights_without_version_or_parent_are_not_sealed() -> None:
    with pytest.raises(WeightsError, match="must name their parent"):
        seal(BASE, ORIGIN_OF_BASE, 1)


@pytest.mark.parametrize(
    ("metadata", "cause"),
    [
        ({"version": "base+8"}, "checksum"),
        ({"parent": "another"}, "checksum"),
        ({ORDER: "8"}, "checksum"),
        ({ORIGIN: "0" * 64}, "checksum"),
        ({CONTENT: "0" * 64}, "checksum"),
        ({SEAL: None}, "checksum"),
        ({"licence": "mine"}, "checksum"),
        ({ORDER: None}, "unsealed"),
        ({ORDER: "-1"}, "unsealed"),
        ({ORDER: "9" * 5000}, "unsealed"),
        ({ORDER: "٧"}, "unsealed"),
        ({"version": ""}, "unsealed"),
        ({"version": "good\n[ERROR] bad"}, "unsealed"),
        ({"parent": "x" * 201}, "unsealed"),
        ({"architecture": "resnet18"}, "tensors"),
        ({"architecture": "vgg"}, "architecture"),
        ({"input_width": "33"}, "architecture"),
    ],
)
def test_a_changed_word_is_refused(metadata: dict[str, str | None], cause: str) -> None:
    assert cause_of(WeightsAcceptance(BASE), altered(SEALED, **metadata)) == cause


def test_a_file_that_was_never_sealed_is_refused() -> None:
    assert cause_of(WeightsAcceptance(BASE), make("new", "base", 3).to_bytes()) == "unsealed"


def test_a_changed_tensor_is_refused() -> None:
    data = bytearray(SEALED)
    data[-1] ^= 1  # of a float32, least significant byte first: sign, exponent
    assert cause_of(WeightsAcceptance(BASE), bytes(data)) in {"checksum", "not finite"}


def test_what_is_not_finite_is_refused_even_with_a_seal() -> None:
    whole = received(8)
    name = next(iter(whole.tensors))
    tensors = {**whole.tensors, name: torch.full_like(whole.tensors[name], float("nan"))}
    # Weights refuses to exist with NaN: only a file that was made otherwise can hold it.
    import safetensors.torch

    data = safetensors.torch.save(tensors, whole.metadata)
    assert cause_of(WeightsAcceptance(BASE), data) == "not finite"


def test_sizes_are_limited_before_anything_is_copied_or_parsed() -> None:
    with pytest.raises(WeightsExchangeError, match=str(MAX_BYTES)) as refused:
        check_size(MAX_BYTES + 1)
    assert refused.value.cause == "oversized"
    check_size(MAX_BYTES)
    bomb = b"[" * 2_000_000
    data = len(bomb).to_bytes(8, "little") + bomb
    assert cause_of(WeightsAcceptance(BASE), data) == "malformed"


def test_each_delivery_is_taken_once_and_no_older_one_after_it() -> None:
    gate = WeightsAcceptance(BASE)
    second = gate.check(received(2, seed=2).to_bytes())
    assert second is not None
    gate.accept(second)
    assert gate.check(received(2, seed=2).to_bytes()) is None  # in use: nothing to do
    assert cause_of(gate, received(1).to_bytes()) == "replayed"
    assert cause_of(gate, received(2).to_bytes()) == "replayed"
    assert gate.check(received(3).to_bytes()) is not None


def test_one_that_is_refused_leaves_the_order_as_it_was() -> None:
    gate = WeightsAcceptance(BASE)
    assert cause_of(gate, received(10**17, origin="0" * 64).to_bytes()) == "origin"
    assert gate.check(received(1).to_bytes()) is not None


def test_only_what_was_learned_from_the_same_weights_is_taken() -> None:
    other = WeightsAcceptance(make("other", seed=5))
    assert cause_of(other, SEALED) == "origin"
    # Adapted weights that were saved are of the same origin as those that come after them.
    assert WeightsAcceptance(received(6, seed=3)).check(SEALED) is not None
    assert cause_of(WeightsAcceptance(received(8, seed=3)), SEALED) == "replayed"


def test_after_a_rollback_nothing_is_taken_until_the_user_begins_anew() -> None:
    gate = WeightsAcceptance(BASE)
    taken = gate.check(SEALED)
    assert taken is not None
    gate.accept(taken)
    gate.withdraw("base+7", BASE)
    assert cause_of(gate, SEALED) == "replayed"
    assert cause_of(gate, received(8, seed=2).to_bytes()) == "withheld"
    gate.restart(BASE)
    assert cause_of(gate, SEALED) == "replayed"
    assert gate.check(received(8, seed=2).to_bytes()) is not None


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(
    at=st.integers(0, HEADER) | st.integers(0, len(SEALED)),
    put=st.binary(max_size=12),
    drop=st.integers(0, 12),
    keep=st.none() | st.integers(0, HEADER + 64),
)
@example(at=0, put=b"\xff" * 8, drop=8, keep=None)
@example(at=0, put=b"", drop=0, keep=0)
def test_no_damaged_message_is_ever_taken(at: int, put: bytes, drop: int, keep: Any) -> None:
    data = (SEALED[:at] + put + SEALED[at + drop :])[:keep]
    try:
        taken = GATE.check(data)
    except WeightsExchangeError:
        return
    # Only what is the same in every respect that counts: JSON may be spelled in several ways.
    assert taken is not None
    assert (taken.content, taken.order) == (fingerprint(received(7)), 7)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=400))
def test_noise_is_refused(data: bytes) -> None:
    assert cause_of(GATE, data) in {"malformed", "architecture"}
