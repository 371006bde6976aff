"""Buffers, graph and refit of a session, on a stand-in for the GPU and for TensorRT.

The stand-in's device memory is the CPU's: the "engine" reads and writes the very addresses that
the session hands over, as TensorRT does.
"""

from __future__ import annotations

import ctypes
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.engine_helpers import images, trained_like_weights
from support.fake_cuda import FakeCuda
from support.tensorrt_helpers import DescribedEngine

from depth_motion_ros.engines.cuda_device import CudaDevice
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.tensorrt.build import tensor_types
from depth_motion_ros.engines.tensorrt.runtime import TensorRT
from depth_motion_ros.engines.tensorrt.session import TensorRTSession

WEIGHTS = trained_like_weights()
CONFIG = WEIGHTS.config
SIZES = {"UINT8": 1, "FLOAT": 4}


class _Gpu(CudaDevice):
    @property
    def torch_device(self):
        return torch.device("cpu")


class _Logger:
    errors = ()

    def take_errors(self):
        errors, self.errors = self.errors, ()
        return list(errors)


class _Engine(DescribedEngine):
    """Every output is the first byte of ``image``, times ``gain``."""

    def __init__(self, types):
        super().__init__(types)
        self.addresses = {}
        self.runs = 0
        self.gain = 1
        self.fails_after = None

    def create_execution_context(self, options=None):
        self.options = options
        return self

    def create_runtime_config(self):
        return _Options()

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        self.runs += 1
        if self.fails_after is not None and self.runs > self.fails_after:
            return False
        first = ctypes.c_uint8.from_address(self.addresses["image"]).value
        for name, (_, shape) in self.types.items():
            if self.get_tensor_mode(name) == "out":
                buffer = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
                buffer[:] = [float(first * self.gain)] * len(buffer)
        return True


class _Options:
    """The part of TensorRT for RTX that keeps compiled kernels."""

    content = b""
    used = None

    def create_runtime_cache(self):
        return self

    def deserialize(self, data):
        self.content = data if data.startswith(b"mine") else b""
        return bool(self.content)

    def serialize(self):
        return self.content + b"+"

    def set_runtime_cache(self, cache):
        self.used = cache
        return True


class _Refitter:
    """known: what it says it can exchange; what it is missing after the parser is done."""

    def __init__(self, engine, logger):
        self.engine = engine

    def get_all_weights(self):
        return [n for n in WEIGHTS.tensors if n not in self.engine.merged]

    def get_missing_weights(self):
        return list(self.engine.missing)

    def refit_cuda_engine(self):
        self.engine.gain = 2
        return True


class _Parser:
    def __init__(self, refitter, logger):
        self.refitter = refitter

    def refit_from_bytes(self, model):
        return model == b"graph"


@pytest.fixture
def gpu(monkeypatch):
    """PyTorch's CUDA on the CPU, and an engine that the fake runtime deserialises."""
    state = FakeCuda(monkeypatch)
    state.engine = _Engine(tensor_types(CONFIG))
    state.engine.merged, state.engine.missing = set(), []
    return state


@pytest.fixture
def opened(gpu):
    api = SimpleNamespace(
        Runtime=lambda logger: SimpleNamespace(
            deserialize_cuda_engine=lambda plan: gpu.engine if plan == b"plan" else None
        ),
        TensorIOMode=SimpleNamespace(OUTPUT="out"),
        Refitter=_Refitter,
        OnnxParserRefitter=_Parser,
    )
    tensorrt = TensorRT("tensorrt", "10.3.0", api, _Logger())

    def run(plan=b"plan", model=None, kernels=None):
        if kernels is not None:
            api.IRuntimeCache = object
        return TensorRTSession(
            tensorrt,
            _Gpu(0, "Fake GPU", "8.6", "CUDA 12.8"),
            plan,
            CONFIG,
            refit_with=None if model is None else (model, WEIGHTS),
            kernels=kernels or b"",
        )

    return run


def _inputs(first):
    image = images()[0].copy()
    image[0, 0, 0] = first
    depth = np.ones(image.shape[:2], np.float32)
    return {"previous_image": image, "previous_depth": depth, "image": image}


def test_every_output_comes_from_the_frame_given(opened):
    session = opened()
    for first in (3, 200):
        outputs = session.run(_inputs(first))
        assert set(outputs) == {"depth", "rotation", "translation", "residual", "K"}
        assert all((array == first).all() for array in outputs.values())
        assert outputs["residual"].shape == (64, 96, 3)


def test_later_frames_do_not_overwrite_a_result(opened):
    session = opened()
    kept = session.run(_inputs(3))["depth"]
    session.run(_inputs(200))
    assert (kept == 3).all()


def test_frames_replay_the_graph_that_was_recorded_after_warming_up(opened, gpu):
    session = opened()
    warmed = gpu.engine.runs
    (graph,) = gpu.graphs
    # At least one real run comes before the recording.
    assert warmed >= 2
    session.run(_inputs(1))
    session.run(_inputs(2))
    assert graph.replays == 2
    assert gpu.engine.runs == warmed + 2


def test_without_a_graph_frames_still_pass_and_the_log_says_so(opened, gpu, caplog):
    gpu.capture_error = "operation not permitted when stream is capturing"
    with caplog.at_level(logging.WARNING):
        session = opened()
    assert "without a CUDA graph" in caplog.text
    assert "not permitted" in caplog.text
    assert (session.run(_inputs(5))["depth"] == 5).all()


def test_tensorrt_for_rtx_is_asked_before_recording(opened, gpu, caplog):
    gpu.engine.is_stream_capturable = lambda stream: False
    session = opened()
    assert "without a CUDA graph" in caplog.text
    assert not gpu.graphs
    assert (session.run(_inputs(5))["depth"] == 5).all()


def test_a_plan_from_elsewhere_is_refused(opened):
    with pytest.raises(EngineError, match=r"tensorrt 10\.3\.0 does not take the engine"):
        opened(plan=b"of another version")


def test_an_engine_with_half_outputs_is_refused(opened, gpu):
    gpu.engine.types = {**gpu.engine.types, "depth": ("HALF", (64, 96))}
    with pytest.raises(EngineError, match=r"HALF.*where 'depth' should be"):
        opened()


def test_an_engine_that_does_not_run_is_refused(opened, gpu):
    gpu.engine.fails_after = 0
    with pytest.raises(EngineError, match="cannot run the engine"):
        opened()


def test_a_failing_gpu_is_an_engine_error(opened, gpu):
    session = opened()

    def fail():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    gpu.graphs[0].replay = fail
    with pytest.raises(EngineError, match="illegal memory access"):
        session.run(_inputs(1))


def test_refitted_weights_run(opened):
    assert (opened(model=b"graph").run(_inputs(3))["depth"] == 6).all()


@pytest.mark.parametrize(
    ("merged", "missing", "model", "message"),
    [
        ({"depth_net.head.bias"}, [], b"graph", r"merged 1 of \d+ .*depth_net\.head\.bias"),
        (set(), ["Conv_7 bias"], b"graph", "still lacks 1 weights.*Conv_7"),
        (set(), [], b"another graph", "does not take the graph to refit from"),
    ],
)
def test_a_refit_that_is_not_whole_is_refused(opened, gpu, merged, missing, model, message):
    gpu.engine.merged, gpu.engine.missing = merged, missing
    with pytest.raises(EngineError, match=message):
        opened(model=model)


def test_closing_twice_does_no_harm(opened):
    session = opened()
    session.close()
    session.close()


@pytest.mark.parametrize(
    ("kept", "after"), [(b"", b"+"), (b"mine", b"mine+"), (b"of another driver", b"+")]
)
def test_tensorrt_for_rtx_keeps_the_kernels_that_it_compiled(opened, gpu, kept, after):
    session = opened(kernels=kept)
    assert gpu.engine.options.used is not None
    assert session.kernels() == after


def test_tensorrt_without_such_kernels_is_not_asked_for_them(opened, gpu):
    assert opened().kernels() == b""
    assert gpu.engine.options is None
