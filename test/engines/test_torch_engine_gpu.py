"""The PyTorch engine on a CUDA device: one graph a step, in float32 and float16."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import numpy as np
import pytest
import torch
from support.engine_helpers import check_frames_take_no_memory, images, trained_like_weights

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.parity import compare
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
# The largest value's relative error: what rounding was seen to do, with an order to spare.
TOLERANCE = {"fp32": 1e-3, "fp16": 3e-2}


def _engine(precision, seed=0, **options):
    weights = trained_like_weights(seed=seed)
    return TorchEngine(weights, precision=precision, device="cuda", **options)


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def engine(request):
    engine = _engine(request.param)
    yield engine
    engine.close()


def _parity(engine, seed=0):
    previous, image = images()
    cpu = TorchEngine(trained_like_weights(seed=seed), device="cpu")
    depth = cpu.step(None, None, previous).depth
    return compare(cpu.step(previous, depth, image), engine.step(previous, depth, image))


def _agrees(engine, seed=0):
    parity = _parity(engine, seed)
    assert parity.within(TOLERANCE[engine.describe().precision]), parity
    return True


def test_a_graph_runs_and_gives_what_the_cpu_gives(engine):
    assert engine._work.recorded
    assert _agrees(engine)


def test_float32_is_float32():
    engine = _engine("fp32")
    # TF32 would be off by about 1e-3.
    assert _parity(engine).errors["depth"] < 1e-4
    engine.close()


def test_float16_is_float16():
    engine = _engine("fp16")
    assert engine.describe().precision == "fp16"
    # Float32 agrees to 1e-6.
    assert _parity(engine).errors["depth"] > 1e-5
    engine.close()


def test_the_first_frame_has_depth_and_no_motion(engine):
    image = images()[0]
    expected = TorchEngine(trained_like_weights(), device="cpu").step(None, None, image)
    got = engine.step(None, None, image)
    assert got.motion is None
    np.testing.assert_allclose(got.depth, expected.depth, rtol=0.05)


def test_later_frames_do_not_overwrite_a_result(engine):
    first, second = images()
    depth = engine.step(None, None, first).depth
    kept = engine.step(first, depth, second)
    copies = kept.depth.copy(), kept.motion.residual.copy(), kept.motion.K.copy()
    engine.step(second, depth, first)
    for array, copy in zip((kept.depth, kept.motion.residual, kept.motion.K), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_frames_take_no_memory(engine):
    check_frames_take_no_memory(engine)


def test_other_weights_run_in_the_same_graph(engine):
    graph = engine._work._graph
    try:
        for seed in (1, 2):
            engine.load(trained_like_weights(seed=seed))
            assert engine._work._graph is graph
            assert _agrees(engine, seed)
            assert engine.describe().weights_version == f"trained-{seed}"
    finally:
        engine.load(trained_like_weights())
    assert _agrees(engine)


def test_loading_again_and_again_keeps_the_memory(engine):
    def used():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated()

    for seed in (1, 0):
        engine.load(trained_like_weights(seed=seed))
    before = used()
    for seed in (1, 2, 1, 0):
        engine.load(trained_like_weights(seed=seed))
    assert used() == before


def test_weights_that_float16_cannot_hold_leave_those_in_use():
    engine = _engine("fp16")
    weights = trained_like_weights(seed=1)
    name = "depth_net.encoder.stem.weight"
    tensors = {**weights.tensors, name: torch.full_like(weights.tensors[name], 1e6)}
    with pytest.raises(EngineError, match=r"encoder\.stem\.weight.*float16"):
        engine.load(Weights(tensors, weights.metadata))
    assert _agrees(engine)
    assert engine.describe().weights_version == "trained-0"
    engine.close()


def test_frames_pass_while_another_engine_is_made_and_loaded(engine):
    first, second = images()
    depth = engine.step(None, None, first).depth
    expected = engine.step(first, depth, second)
    precision = engine.describe().precision
    made, errors = [], []

    def make():
        try:
            made.append(_engine(precision, seed=1))
            made[0].load(trained_like_weights(seed=2))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    steps = 0
    while thread.is_alive() or steps < 10:
        # cuDNN may add in another order each time.
        got = engine.step(first, depth, second)
        assert compare(expected, got).within(1e-3 if precision == "fp32" else 1e-2)
        steps += 1
    thread.join()
    assert not errors
    (other,) = made
    assert other._work.recorded
    assert _agrees(other, seed=2)
    other.close()


def test_steps_may_come_from_another_thread(engine):
    agreed = []
    thread = threading.Thread(target=lambda: agreed.append(_agrees(engine)))
    thread.start()
    thread.join()
    assert agreed == [True]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_where_nothing_can_be_recorded_frames_pass_with_one_warning(precision, monkeypatch, caplog):
    from depth_motion_ros.engines import torch_engine

    class Forgetful(torch_engine._KeptConstants):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    monkeypatch.setattr(torch_engine, "_KeptConstants", Forgetful)
    with caplog.at_level(logging.WARNING):
        engine = _engine(precision)
    (record,) = [r for r in caplog.records if r.name.startswith("depth_motion_ros")]
    assert "without a CUDA graph" in record.getMessage()
    assert engine._work is None
    assert _agrees(engine)
    engine.load(trained_like_weights(seed=1))
    assert _agrees(engine, seed=1)
    engine.close()


def test_an_engine_that_nobody_has_is_freed_at_once():
    gc.disable()
    try:
        engine = weakref.ref(_engine("fp16"))
        assert engine() is None
    finally:
        gc.enable()


def test_an_engine_is_closed_twice_without_harm():
    engine = _engine("fp32")
    engine.close()
    engine.close()
