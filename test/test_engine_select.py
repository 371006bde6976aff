from __future__ import annotations

import sys

import pytest
import torch
from engine_helpers import SIZE, fresh_weights, graph_cache, images

from depth_motion_ros.engines import onnx_cache
from depth_motion_ros.engines.engine import EngineError
from depth_motion_ros.engines.select import create_engine

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")


@pytest.fixture(autouse=True)
def _private_cache(monkeypatch):
    monkeypatch.setattr(onnx_cache, "default_folder", graph_cache)


@pytest.fixture
def _no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("_no_cuda")
def test_auto_takes_onnx_runtime_where_there_is_no_gpu():
    engine = create_engine(fresh_weights())
    assert engine.describe().runtime == "onnxruntime"
    assert engine.input_size == SIZE
    assert engine.reason.startswith("ONNX Runtime: there is no CUDA device")
    assert engine.step(None, None, images()[0]).depth.shape == SIZE[::-1]


@pytest.mark.usefixtures("_no_cuda")
def test_auto_takes_pytorch_without_onnx_runtime_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    engine = create_engine(fresh_weights())
    assert engine.describe().runtime == "torch"
    assert "slower" in engine.reason
    assert "pip install" in engine.reason


def test_cpu_by_name_never_becomes_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match="pip install"):
        create_engine(fresh_weights(), engine="cpu")


def test_torch_by_name_is_taken():
    engine = create_engine(fresh_weights(), engine="torch", device="cpu", input_size=(64, 64))
    assert engine.describe().runtime == "torch"
    assert engine.input_size == (64, 64)
    assert "asked for" in engine.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "openvino"}, "unknown engine 'openvino'; use one of auto"),
        ({"precision": "fp8"}, "unknown precision 'fp8'; use one of auto"),
        ({"engine": "tensorrt"}, "no TensorRT.*use engine 'torch'"),
        ({"engine": "torch", "precision": "fp16"}, "'fp16'.*'torch' computes in fp32.*use"),
        ({"precision": "int8"}, "'int8'.*use"),
        ({"engine": "cpu", "device": "cuda"}, "cannot use device 'cuda'; use engine 'torch'"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"input_size": (100, 64)}, "nearest is 96"),
    ],
)
def test_what_is_not_to_be_had_is_refused_with_a_way_out(options, message):
    with pytest.raises(EngineError, match=message):
        create_engine(fresh_weights(), **options)


@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="there is a CUDA device")
def test_a_gpu_by_name_is_never_silently_a_cpu():
    with pytest.raises(EngineError, match=r"'cuda'.*0 CUDA devices.*use device 'cpu'"):
        create_engine(fresh_weights(), device="cuda")
