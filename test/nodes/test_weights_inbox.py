"""Deliveries at the engine: compared, exchanged, withdrawn and kept, without a node."""

from __future__ import annotations

from array import array
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from depth_motion_ros.engines.interface import Engine, EngineError
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import MAX_BYTES, Weights, WeightsError, weights_of
from depth_motion_ros.nodes.adaptation.state import default_folder
from depth_motion_ros.nodes.perception.engine_slot import EngineSlot
from depth_motion_ros.nodes.perception.networks import EngineOptions
from depth_motion_ros.nodes.perception.weights_loader import WeightsLoader
from depth_motion_ros.nodes.ros.diagnostics import FrameCounters
from depth_motion_ros.nodes.ros.storage import HeldFiles
from depth_motion_ros.nodes.weights_exchange.inbox import (
    WeightsInbox,
    default_adapted_path,
    hold_adapted,
    read_adapted,
)
from depth_motion_ros.nodes.weights_exchange.protocol import WeightsExchangeError, fingerprint, seal
from depth_motion_ros.nodes.weights_exchange.scene_check import MOST_SHIFT, check_same_scene

WIDTH, HEIGHT = 64, 32
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def base_weights() -> Weights:
    torch.manual_seed(0)
    return weights_of(DepthMotionNet(NetworkConfig("lite", WIDTH, HEIGHT)), version="base")


BASE = base_weights()


def adapted(order: int, factor: float = 1.0) -> Weights:
    """BASE with one bias of the depth decoder moved a little, and depth scaled by ``factor``.

    The last layer's output goes through a softplus, which is near to an exponential below zero.
    """
    tensors = dict(BASE.tensors)
    [last] = [name for name in tensors if name.endswith("bias") and tensors[name].shape == (1,)]
    tensors[last] = tensors[last] + 1e-4 * order + (factor - 1.0)
    metadata = {**BASE.metadata, "version": f"base+{order}", "parent": "base"}
    return seal(Weights(tensors, metadata), fingerprint(BASE), order)


class Bench:
    """What the node has around its deliveries; the frames between which to exchange are no-ones."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.exchanged: list[str] = []
        self.slot = EngineSlot(TorchEngine(BASE, device="cpu"))
        self.counters = FrameCounters()
        self.loader = WeightsLoader(self.slot, BASE, EngineOptions(), self.build, self.at_once)
        self.said: list[str] = []
        self.weights_inbox = WeightsInbox(
            self.loader, self.slot, self.counters, self.said.append,
            lambda cause, text: self.said.append(f"{cause}: {text}"),
        )  # fmt: skip

    def build(self, options: EngineOptions, weights: Weights) -> Engine:
        self.built.append(weights.version)
        return TorchEngine(weights, device="cpu")

    def at_once(self, action: Any, weights: Weights) -> Future[None]:
        self.exchanged.append(weights.version)
        future: Future[None] = Future()
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)
        return future

    def see(self) -> None:
        """Two frames."""
        first = self.slot.step(None, None, IMAGE)
        self.slot.step(IMAGE, first.depth, np.roll(IMAGE, 2, axis=1))

    def hear(self, data: bytes) -> None:
        self.weights_inbox.take(array("B", data))
        self.settle()

    def settle(self) -> None:
        """Until the loader has done all that it was given, what waits in its slot included."""
        for _ in range(2):
            self.loader.between_loads(lambda: "").result(60)

    @property
    def version(self) -> str:
        return self.slot.describe().weights_version

    def bad(self) -> dict[str, str]:
        return {k: v for k, v in self.counters.values(0).items() if k.startswith("bad/")}


@pytest.fixture
def bench() -> Any:
    bench = Bench()
    yield bench
    bench.loader.close()


def test_a_delivery_is_used_and_the_replaced_engine_takes_the_next(bench: Bench) -> None:
    bench.see()
    for order in (1, 2, 3):
        bench.hear(adapted(order).to_bytes())
        assert bench.version == f"base+{order}"
    # The second instance is made once and then loaded.
    assert bench.built == ["base+1"]
    assert bench.bad() == {}
    values = bench.weights_inbox.values()
    assert values["weights_accepted"] == "3"
    assert (values["weights_parent"], values["weights_rollback_target"]) == ("base", "base+2")
    assert values["weights_adapted"] == "true"


def test_a_delivery_waits_for_images_to_be_judged_by(bench: Bench) -> None:
    bench.hear(adapted(1).to_bytes())
    assert bench.version == "base"
    assert bench.weights_inbox.values()["weights_pending"] == "true"
    bench.see()
    bench.weights_inbox.follow()
    bench.settle()
    assert bench.version == "base+1"


def hostile(bench: Bench) -> dict[str, bytes]:
    """Messages of which none may change anything, by the cause that is counted."""
    good = adapted(5).to_bytes()
    stale = adapted(1)
    bench.hear(adapted(2).to_bytes())
    foreign = seal(Weights(adapted(9).tensors, adapted(9).metadata), "0" * 64, 9)
    resnet = weights_of(
        DepthMotionNet(NetworkConfig("resnet18", WIDTH, HEIGHT)), version="r+9", parent="r"
    )
    return {
        "malformed": good[:-1000],
        "oversized": bytes(MAX_BYTES + 1),
        "checksum": good[:-4] + b"\0\0\0\0",
        "unsealed": BASE.to_bytes(),
        "origin": foreign.to_bytes(),
        "replayed": stale.to_bytes(),
        "implausible": adapted(9, factor=4.0).to_bytes(),
        "architecture": seal(resnet, fingerprint(BASE), 9).to_bytes(),
    }


def test_no_hostile_message_changes_anything_and_each_is_counted(bench: Bench) -> None:
    bench.see()
    messages = hostile(bench)
    before = bench.slot.step(None, None, IMAGE).depth
    for cause, data in messages.items():
        bench.hear(data)
        assert bench.bad().get(f"bad/weights {cause}") == "1", (cause, bench.bad(), bench.said)
    np.testing.assert_array_equal(bench.slot.step(None, None, IMAGE).depth, before)
    assert bench.version == "base+2"
    # And the next good one is taken as if nothing had been.
    bench.hear(adapted(3).to_bytes())
    assert bench.version == "base+3"


def test_a_rollback_is_at_once_and_holds_until_weights_are_reloaded(bench: Bench) -> None:
    bench.see()
    for order in (1, 2):
        bench.hear(adapted(order).to_bytes())
    assert bench.weights_inbox.rollback().result(60) == "base+1"
    assert bench.version == "base+1"
    assert bench.built == ["base+1"]  # the replaced engine serves again, nothing is built
    bench.hear(adapted(3).to_bytes())
    assert bench.version == "base+1"
    assert bench.bad() == {"bad/weights withheld": "1"}
    with pytest.raises(WeightsError, match=r"no weights before 'base\+1' are kept"):
        bench.weights_inbox.rollback().result(60)
    assert bench.weights_inbox.reload(lambda: BASE).result(60) == "base"
    bench.hear(adapted(4).to_bytes())
    assert bench.version == "base+4"
    # Whoever exchanges the engine hears whose it is.
    assert bench.exchanged == ["base+1", "base+2", "base+1", "base", "base+4"]


def test_a_refused_delivery_does_not_spoil_the_rollback(bench: Bench) -> None:
    """It was loaded into the instance that held the earlier weights."""
    bench.see()
    bench.hear(adapted(1).to_bytes())
    bench.hear(adapted(2, factor=4.0).to_bytes())
    assert bench.version == "base+1"
    assert bench.weights_inbox.rollback().result(60) == "base"
    plain = TorchEngine(BASE, device="cpu").step(None, None, IMAGE).depth
    np.testing.assert_array_equal(bench.slot.step(None, None, IMAGE).depth, plain)


def test_an_engine_that_cannot_load_is_built_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.see()
    bench.hear(adapted(1).to_bytes())

    def fails(self: Any, weights: Weights) -> None:
        raise EngineError("no refit")

    monkeypatch.setattr(TorchEngine, "load", fails)
    bench.hear(adapted(2).to_bytes())
    assert bench.version == "base+2"
    assert bench.built == ["base+1", "base+2"]


def test_saved_weights_come_back_with_their_order_or_are_refused(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "a folder" / "adapted.safetensors"
    with pytest.raises(WeightsError, match="'base' are not adapted"):
        bench.weights_inbox.save(path, HeldFiles()).result(60)
    assert not path.exists()
    bench.see()
    bench.hear(adapted(4).to_bytes())
    assert bench.weights_inbox.save(path, HeldFiles()).result(60) == "base+4"
    assert read_adapted(path, BASE).version == "base+4"
    assert read_adapted(path, adapted(9)).version == "base+4"
    torch.manual_seed(1)
    other = weights_of(DepthMotionNet(NetworkConfig("lite", WIDTH, HEIGHT)), version="other")
    with pytest.raises(WeightsError, match="learned from other weights than 'other'"):
        read_adapted(path, other)
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"\0\0\0\0")
    with pytest.raises(WeightsExchangeError, match="do not match their checksum"):
        read_adapted(path, BASE)


def test_saved_weights_lie_where_ros_keeps_what_is_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    expected = tmp_path / "depth_motion" / "adapted-front.depth_motion-lite.safetensors"
    assert default_adapted_path("/front/depth_motion", "lite") == expected


@pytest.mark.parametrize(
    "names",
    [
        ("/front/depth_motion", "/rear/depth_motion"),
        ("/a/b", "/a_b"),
        ("/depth_motion", "/depth/motion"),
        ("/robot1/front/depth", "/robot1_front/depth"),
    ],
)
def test_no_two_nodes_have_one_file(names: tuple[str, str]) -> None:
    assert len({default_adapted_path(name, "lite") for name in names}) == 2
    assert len({default_folder(name, BASE) for name in names}) == 2


def test_a_file_that_another_node_keeps_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "adapted.safetensors"
    bench.see()
    bench.hear(adapted(1).to_bytes())
    own, other = HeldFiles(), HeldFiles()
    assert bench.weights_inbox.save(path, own).result(60) == "base+1"
    whole = path.read_bytes()
    with pytest.raises(WeightsError, match=r"in use by another node.*adapted_weights"):
        bench.weights_inbox.save(path, other).result(60)
    with pytest.raises(WeightsError, match="in use by another node"):
        hold_adapted(path, other)  # nor are they begun with
    assert path.read_bytes() == whole
    own.close()
    assert bench.weights_inbox.save(path, other).result(60) == "base+1"


@pytest.mark.parametrize(
    ("change", "good"),
    [
        (lambda depth: depth * (MOST_SHIFT - 0.01), True),
        (lambda depth: depth * (MOST_SHIFT + 0.01), False),
        (lambda depth: depth / (MOST_SHIFT + 0.01), False),
        (lambda depth: np.full_like(depth, np.median(depth)), False),
        (lambda depth: np.where(np.arange(WIDTH) == 3, np.nan, depth), False),
        (lambda depth: np.where(np.arange(WIDTH) == 3, -1.0, depth), False),
    ],
)
def test_depth_that_jumps_flattens_or_is_no_number_is_not_believed(change: Any, good: bool) -> None:
    engine = TorchEngine(BASE, device="cpu")
    before = engine.step(IMAGE, engine.step(None, None, IMAGE).depth, np.roll(IMAGE, 2, 1))
    after = replace(before, depth=change(before.depth).astype(np.float32))
    if good:
        check_same_scene(before, after)
        return
    with pytest.raises(WeightsExchangeError) as refused:
        check_same_scene(before, after)
    assert refused.value.cause == "implausible"
