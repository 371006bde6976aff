"""How the PyTorch engine uses a CUDA graph and float16, on a stand-in for the GPU."""

from __future__ import annotations

import gc
import logging
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.engine_helpers import images, trained_like_weights
from support.fake_cuda import FakeCuda
from torch.utils._python_dispatch import TorchDispatchMode

from depth_motion_ros.engines import comparison
from depth_motion_ros.engines.acceptance import check_acceptable
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights, WeightsArchitectureError


class _OnGpu(TorchEngine):
    """Does on the CPU what an engine does on a CUDA device. factor: of every depth."""

    factor = 1.0

    @property
    def _on_gpu(self):
        return True

    def _pair(self, *frames):
        raw = super()._pair(*frames)
        return replace(raw, depth=raw.depth * np.float32(self.factor))


@pytest.fixture
def cuda(monkeypatch):
    return FakeCuda(monkeypatch)


@pytest.fixture
def start(cuda):
    def run(precision="fp32"):
        return _OnGpu(trained_like_weights(), precision=precision, device="cpu")

    return run


def _frames(seed=0):
    previous, image = images()
    engine = TorchEngine(trained_like_weights(seed=seed), device="cpu")
    depth = engine.step(None, None, previous).depth
    return (previous, depth, image), engine.step(previous, depth, image)


def _is_plain(engine, seed=0):
    """Bit for bit what the engine without a graph gives."""
    frames, expected = _frames(seed)
    got = engine.step(*frames)
    np.testing.assert_array_equal(got.depth, expected.depth)
    for name, array in vars(expected.motion).items():
        np.testing.assert_array_equal(getattr(got.motion, name), array, err_msg=name)
    np.testing.assert_array_equal(engine.step(None, None, frames[2]).depth, expected.depth)
    return True


def test_frames_replay_the_graph(start, cuda):
    engine = start()
    (graph,) = cuda.graphs
    assert _is_plain(engine)
    assert graph.replays == 2
    assert engine.step(None, None, images()[0]).motion is None


def test_later_frames_do_not_overwrite_a_result(start):
    engine = start()
    frames, expected = _frames()
    kept = engine.step(*frames)
    engine.step(frames[2], frames[1], frames[0])
    np.testing.assert_array_equal(kept.depth, expected.depth)
    np.testing.assert_array_equal(kept.motion.residual, expected.motion.residual)


class _Constants(TorchDispatchMode):
    """Counts the tensors that are made of Python's numbers: on a GPU a graph records none."""

    made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.made += func is torch.ops.aten.lift_fresh.default
        return func(*args, **(kwargs or {}))


def test_what_is_recorded_copies_no_numbers_of_python(start):
    engine = start()
    inputs = [torch.from_numpy(array) for array in _frames()[0]]
    with torch.inference_mode(), _Constants() as plain:
        engine._step(*inputs)
    with _Constants() as recorded:
        engine._enqueue()
    assert (plain.made, recorded.made) == (2, 0)


def test_where_nothing_can_be_recorded_frames_pass_with_one_warning(start, cuda, caplog):
    cuda.capture_error = "operation not permitted when stream is capturing"
    with caplog.at_level(logging.WARNING):
        engine = start()
    (record,) = [r for r in caplog.records if r.name.startswith("depth_motion_ros")]
    assert "without a CUDA graph" in record.getMessage()
    assert "not permitted" in record.getMessage()
    assert _is_plain(engine)
    engine.load(trained_like_weights(seed=1))
    assert _is_plain(engine, seed=1)


def test_other_weights_run_in_the_same_graph(start, cuda):
    engine = start()
    places = [parameter.data_ptr() for parameter in engine._step.parameters()]
    engine.load(trained_like_weights(seed=1))
    assert [parameter.data_ptr() for parameter in engine._step.parameters()] == places
    assert len(cuda.graphs) == 1
    assert _is_plain(engine, seed=1)
    assert engine.describe().weights_version == "trained-1"
    assert engine.describe().device == "Fake GPU"


def test_a_failing_gpu_is_an_engine_error(start, cuda):
    engine = start()

    def fail():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    cuda.graphs[0].action = fail
    with pytest.raises(EngineError, match=r"PyTorch failed on cpu: .*illegal memory access"):
        engine.step(None, None, images()[0])


def test_closing_twice_does_no_harm(start):
    engine = start()
    engine.close()
    engine.close()


@pytest.fixture
def half(start):
    return start("fp16")


def _is_half(engine, seed=0):
    frames, expected = _frames(seed)
    got = engine.step(*frames)
    error = np.median(np.abs(got.depth / expected.depth - 1))
    # Float32 agrees to 1e-6, float16 to 1e-3.
    assert 1e-5 < error < 2e-3
    np.testing.assert_allclose(got.motion.K, expected.motion.K, rtol=2e-3)
    return True


@pytest.fixture
def comparisons(monkeypatch):
    made = []

    def check(reference, other, precision, runtime):
        made.append((precision, runtime))
        return check_acceptable(reference, other, precision, runtime)

    monkeypatch.setattr(comparison, "check_acceptable", check)
    return made


def test_float16_is_compared_with_float32_at_the_start_and_on_the_first_real_frames(
    comparisons, half
):
    assert half.describe().precision == "fp16"
    assert comparisons == [("fp16", "torch")]
    for _ in range(2):
        assert _is_half(half)
        assert comparisons == [("fp16", "torch")] * 2


def test_float32_is_compared_with_nothing(comparisons, start):
    start().step(*_frames()[0])
    assert not comparisons


def test_an_engine_that_nobody_has_is_freed_at_once(cuda):
    # Without a graph: the stand-in's keeps the engine.
    options = {"precision": "fp16", "device": "cpu", "graph": False}
    gc.disable()
    try:
        engine = weakref.ref(_OnGpu(trained_like_weights(), **options))
        assert engine() is None
    finally:
        gc.enable()


def test_float16_that_differs_is_refused_with_figures(start, monkeypatch):
    monkeypatch.setattr(_OnGpu, "factor", 1.05)
    with pytest.raises(EngineError, match=r"torch in fp16 differs from PyTorch: depth [45]\.\d\d%"):
        start("fp16")


def test_first_real_frames_that_differ_are_refused_until_they_do_not(half):
    half.factor = 1.05
    frames, _ = _frames()
    for _ in range(2):
        with pytest.raises(EngineError, match="differs from PyTorch: depth"):
            half.step(*frames)
    half.factor = 1.0
    assert _is_half(half)


def test_weights_that_float16_cannot_use_leave_those_in_use(half):
    weights = trained_like_weights(seed=1)
    name = "depth_net.encoder.stem.weight"
    tensors = {**weights.tensors, name: torch.full_like(weights.tensors[name], 1e6)}
    with pytest.raises(EngineError, match="float16"):
        half.load(Weights(tensors, weights.metadata))
    with pytest.raises(WeightsArchitectureError, match="'resnet18'"):
        half.load(trained_like_weights("resnet18"))
    half.factor = 1.05
    with pytest.raises(EngineError, match="differs from PyTorch"):
        half.load(weights)
    half.factor = 1.0
    assert half.describe().weights_version == "trained-0"
    assert _is_half(half)
    half.load(weights)
    assert half.describe().weights_version == "trained-1"
    assert _is_half(half, seed=1)


def test_a_precision_that_there_is_not():
    with pytest.raises(EngineError, match=r"'bf16'.*use fp32 or fp16"):
        TorchEngine(trained_like_weights(), precision="bf16", device="cpu")


def test_float16_on_a_cpu_is_refused_with_the_way_out():
    with pytest.raises(EngineError, match=r"'fp16' needs a GPU.*on cpu.*use precision 'fp32'"):
        TorchEngine(trained_like_weights(), precision="fp16", device="cpu")
