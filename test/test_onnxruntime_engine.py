from __future__ import annotations

import sys

import numpy as np
import pytest
from engine_helpers import SIZE, fresh_weights, graph_cache, images, trained_like_weights

from depth_motion_ros.engines.engine import EngineError
from depth_motion_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from depth_motion_ros.engines.parity import compare
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import WeightsArchitectureError

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")


def engine_of(weights, **options):
    return OnnxRuntimeEngine(weights, threads=1, cache_folder=graph_cache(), **options)


@pytest.mark.parametrize("make", [fresh_weights, trained_like_weights])
@pytest.mark.parametrize("architecture", ["lite", "resnet18"])
def test_it_computes_what_pytorch_computes(architecture, make):
    weights = make(architecture)
    oracle, engine = TorchEngine(weights, device="cpu"), engine_of(weights)
    previous, image = images()
    first = oracle.step(None, None, previous)
    assert compare(first, engine.step(None, None, previous)).within(1e-3)
    parity = compare(
        oracle.step(previous, first.depth, image), engine.step(previous, first.depth, image)
    )
    assert set(parity.errors) == {"depth", "rotation", "translation", "residual", "K"}
    assert parity.within(1e-3), parity


def test_the_first_frame_has_no_motion():
    prediction = engine_of(trained_like_weights()).step(None, None, images()[0])
    assert prediction.motion is None
    assert prediction.depth.shape == SIZE[::-1]


def test_every_weight_is_exchanged_by_load():
    # Fresh weights share values between tensors; had the graph merged any, some would not change.
    engine = engine_of(fresh_weights())
    new = trained_like_weights(seed=3)
    engine.load(new)
    previous, image = images()
    oracle = TorchEngine(new, device="cpu")
    depth = oracle.step(None, None, previous).depth
    parity = compare(oracle.step(previous, depth, image), engine.step(previous, depth, image))
    assert parity.within(1e-3), parity
    assert engine.describe().weights_version == "trained-3"


def test_weights_that_change_after_load_do_not_reach_the_engine():
    weights = trained_like_weights()
    engine = engine_of(weights)
    before = engine.step(None, None, images()[0]).depth
    for tensor in weights.tensors.values():
        tensor.zero_()
    np.testing.assert_array_equal(engine.step(None, None, images()[0]).depth, before)


def test_weights_of_another_architecture_are_refused_and_the_old_ones_kept():
    engine = engine_of(trained_like_weights())
    before = engine.step(None, None, images()[0]).depth
    with pytest.raises(WeightsArchitectureError, match=r"'lite'.*'resnet18'"):
        engine.load(fresh_weights("resnet18"))
    np.testing.assert_array_equal(engine.step(None, None, images()[0]).depth, before)
    assert engine.describe().weights_version == "trained-0"


def test_a_failing_runtime_keeps_the_old_weights(monkeypatch):
    engine = engine_of(trained_like_weights())
    before = engine.step(None, None, images()[0]).depth

    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(runtime, "InferenceSession", fail)
    with pytest.raises(EngineError, match="out of memory"):
        engine.load(trained_like_weights(seed=1))
    np.testing.assert_array_equal(engine.step(None, None, images()[0]).depth, before)
    assert engine.describe().weights_version == "trained-0"


def test_half_precision_files_serve():
    weights = trained_like_weights()
    depth = engine_of(weights.half()).step(None, None, images()[0]).depth
    expected = engine_of(weights).step(None, None, images()[0]).depth
    # float16 keeps 11 bits of each weight.
    np.testing.assert_allclose(depth, expected, rtol=2e-2)


def test_a_wrong_size_is_refused_before_it_reaches_the_runtime():
    with pytest.raises(ValueError, match=r"\(64, 96, 3\) uint8, got \(32, 96, 3\)"):
        engine_of(trained_like_weights()).step(None, None, images(1, (96, 32))[0])


def test_threads_do_not_spin_while_they_wait():
    options = engine_of(trained_like_weights())._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 1


def test_without_onnxruntime_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"needs onnxruntime.*pip install onnx onnxscript"):
        engine_of(trained_like_weights())
