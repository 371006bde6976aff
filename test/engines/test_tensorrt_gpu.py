"""TensorRT on a GPU, whichever of both is installed; elsewhere every test skips and says why."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support.engine_helpers import check_frames_take_no_memory, images, trained_like_weights

from depth_motion_ros.engines.cuda_device import cuda_device
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.parity import compare
from depth_motion_ros.engines.tensorrt.engine import TensorRTEngine
from depth_motion_ros.engines.tensorrt.runtime import check_serves, find_tensorrt
from depth_motion_ros.engines.torch_engine import TorchEngine

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
# A few builds of small networks; full TensorRT times tactics for a minute or two each.
pytestmark = pytest.mark.timeout(900)
# The largest value's relative error: what rounding was seen to do, with an order to spare.
TOLERANCE = {"fp32": 1e-3, "fp16": 3e-2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    try:
        check_serves(find_tensorrt(), cuda_device())
    except EngineError as error:
        pytest.skip(str(error))
    return tmp_path_factory.mktemp("engines") / "cache"


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def engine(request, folder):
    engine = TensorRTEngine(trained_like_weights(), precision=request.param, cache_folder=folder)
    yield engine
    engine.close()


def _parity(engine, weights):
    previous, image = images()
    oracle = TorchEngine(weights, device="cpu")
    depth = oracle.step(None, None, previous).depth
    return compare(oracle.step(previous, depth, image), engine.step(previous, depth, image))


def test_it_gives_what_pytorch_gives(engine):
    assert _parity(engine, trained_like_weights()).within(TOLERANCE[engine.describe().precision])


def test_the_first_frame_has_depth_and_no_motion(engine):
    image = images()[0]
    expected = TorchEngine(trained_like_weights(), device="cpu").step(None, None, image)
    got = engine.step(None, None, image)
    assert got.motion is None
    np.testing.assert_allclose(got.depth, expected.depth, rtol=0.05)


def test_a_result_is_the_callers_own(engine):
    first, second = images()
    kept = engine.step(None, None, first).depth
    copy = kept.copy()
    engine.step(None, None, second)
    assert np.array_equal(kept, copy)


def test_the_same_frame_gives_the_same_result_a_hundred_times(engine):
    # Frame-to-frame changes of scale were reported of TensorRT 10.3 on JetPack 6.2.
    first, second = images()
    depths = []
    for _ in range(100):
        depths.append(engine.step(None, None, first).depth)
        engine.step(None, None, second)
    assert all(np.array_equal(depth, depths[0]) for depth in depths)


def test_frames_take_no_memory(engine):
    check_frames_take_no_memory(engine)


def test_a_cuda_graph_runs(engine):
    assert engine._session._work.recorded


def test_other_weights_are_refitted_without_a_build(engine, monkeypatch):
    from depth_motion_ros.engines.tensorrt import engine as tensorrt_engine

    def fail(*args, **kwargs):
        raise AssertionError("built again")

    monkeypatch.setattr(tensorrt_engine, "build_plan", fail)
    weights = trained_like_weights(seed=1)
    try:
        engine.load(weights)
        assert _parity(engine, weights).within(TOLERANCE[engine.describe().precision])
        assert engine.describe().weights_version == weights.version
    finally:
        engine.load(trained_like_weights())


def test_frames_pass_while_another_engine_is_loaded(engine):
    first = images()[0]
    expected = engine.step(None, None, first).depth
    options = {"precision": engine.describe().precision, "cache_folder": engine._folder}
    made = []
    thread = threading.Thread(
        target=lambda: made.append(TensorRTEngine(trained_like_weights(seed=2), **options))
    )
    thread.start()
    steps = 0
    while thread.is_alive() or steps < 10:
        assert np.array_equal(engine.step(None, None, first).depth, expected)
        steps += 1
    thread.join()
    (other,) = made
    weights = trained_like_weights(seed=2)
    assert _parity(other, weights).within(TOLERANCE[engine.describe().precision])
    other.close()


def test_an_engine_is_closed_twice_without_harm(folder):
    engine = TensorRTEngine(trained_like_weights(), precision="fp32", cache_folder=folder)
    engine.close()
    engine.close()
