from __future__ import annotations

import sys

import pytest
import torch
from support.engine_helpers import SIZE, fresh_weights, graph_cache, images, need

from depth_motion_ros.engines import private_files, select
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.select import create_engine

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")


@pytest.fixture(autouse=True)
def _private_cache(monkeypatch):
    monkeypatch.setattr(onnx_cache, "default_folder", graph_cache)
    monkeypatch.setattr(private_files, "default_folder", graph_cache)


@pytest.fixture
def _no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("_no_cuda")
def test_auto_takes_openvino_where_there_is_no_gpu():
    need("openvino")
    engine = create_engine(fresh_weights())
    assert engine.describe().runtime == "openvino"
    assert engine.input_size == SIZE
    assert engine.reason == "OpenVINO: the fastest on a CPU; there is no CUDA device"
    assert engine.step(None, None, images()[0]).depth.shape == SIZE[::-1]


@pytest.mark.parametrize("name", ["auto", "cpu"])
@pytest.mark.usefixtures("_no_cuda")
def test_without_openvino_onnx_runtime_serves_and_says_what_would_be_faster(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine = create_engine(fresh_weights(), engine=name)
    assert engine.describe().runtime == "onnxruntime"
    assert "pip install openvino" in engine.reason
    assert engine.step(None, None, images()[0]).depth.shape == SIZE[::-1]


@pytest.mark.usefixtures("_no_cuda")
def test_auto_takes_pytorch_without_either_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    engine = create_engine(fresh_weights())
    assert engine.describe().runtime == "torch"
    assert "slower" in engine.reason
    assert "pip install" in engine.reason


@pytest.mark.parametrize("name", ["cpu", "openvino", "onnxruntime"])
def test_a_cpu_runtime_by_name_never_becomes_pytorch(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match="pip install"):
        create_engine(fresh_weights(), engine=name)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_cpu_runtime_by_name_is_taken(name):
    need(name)
    engine = create_engine(fresh_weights(), engine=name)
    assert engine.describe().runtime == name
    assert engine.reason == f"engine {name!r} was asked for"


def test_torch_by_name_is_taken():
    engine = create_engine(fresh_weights(), engine="torch", device="cpu", input_size=(64, 64))
    assert engine.describe().runtime == "torch"
    assert engine.input_size == (64, 64)
    assert "asked for" in engine.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tflite"}, "unknown engine 'tflite'; use one of auto"),
        ({"precision": "fp8"}, "unknown precision 'fp8'; use one of auto"),
        ({"engine": "tensorrt", "device": "cpu"}, "tensorrt engine runs on a GPU.*'cpu'"),
        ({"engine": "torch", "device": "cpu", "precision": "fp16"}, "'fp16' needs a GPU.*cpu.*use"),
        ({"device": "cpu", "precision": "fp16"}, "'fp16' needs a GPU.*use precision 'fp32'"),
        ({"engine": "cpu", "device": "cuda"}, "cannot use device 'cuda'; use engine 'torch'"),
        ({"engine": "openvino", "device": "cuda"}, "openvino engine cannot use device 'cuda'"),
        ({"engine": "openvino", "precision": "fp16"}, "'openvino' computes in fp32.*use"),
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


def _no_tensorrt(*args, **kwargs):
    raise EngineError("there is no TensorRT here: pip install tensorrt")


class _OnGpu(select.TorchEngine):
    """Stands in for an engine on a GPU, which the tests' machine may lack."""

    def __init__(self, weights, **options):
        super().__init__(weights, device="cpu", input_size=options["input_size"])
        self.asked = options


def test_auto_takes_tensorrt_where_there_is_a_gpu(monkeypatch, caplog):
    monkeypatch.setattr(select.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(select, "TensorRTEngine", _OnGpu)
    with caplog.at_level("DEBUG", logger="depth_motion_ros"):
        engine = create_engine(fresh_weights(), precision="fp16")
    assert engine.asked["precision"] == "fp16"
    assert engine.reason.startswith("TensorRT (experimental): there is a GPU")
    assert engine.reason in caplog.text


def test_auto_on_a_gpu_without_tensorrt_takes_pytorch_and_says_why(monkeypatch):
    monkeypatch.setattr(select.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(select, "TensorRTEngine", _no_tensorrt)
    monkeypatch.setattr(select, "TorchEngine", _OnGpu)
    engine = create_engine(fresh_weights())
    assert engine.reason.startswith("PyTorch on a CUDA device")
    assert "pip install tensorrt" in engine.reason


def test_auto_keeps_half_precision_where_pytorch_serves_in_place_of_tensorrt(monkeypatch):
    monkeypatch.setattr(select.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(select, "TensorRTEngine", _no_tensorrt)
    monkeypatch.setattr(select, "TorchEngine", _OnGpu)
    assert create_engine(fresh_weights(), precision="fp16").asked["precision"] == "fp16"


def test_half_precision_that_was_asked_for_is_never_silently_single(monkeypatch):
    def differs(*args, **kwargs):
        raise EngineError("torch in fp16 differs from PyTorch: depth 5.00% (median)")

    monkeypatch.setattr(select.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(select, "TensorRTEngine", _no_tensorrt)
    monkeypatch.setattr(select, "TorchEngine", differs)
    with pytest.raises(EngineError, match=r"fp16 differs from PyTorch: depth 5\.00%"):
        create_engine(fresh_weights(), precision="fp16")


def test_tensorrt_by_name_never_becomes_another_engine(monkeypatch):
    monkeypatch.setattr(select, "TensorRTEngine", _no_tensorrt)
    with pytest.raises(EngineError, match="pip install tensorrt"):
        create_engine(fresh_weights(), engine="tensorrt")
