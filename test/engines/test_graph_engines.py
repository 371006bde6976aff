"""Both runtimes of the graph on a CPU: ONNX Runtime and OpenVINO."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.engine_helpers import (
    SIZE,
    fresh_weights,
    graph_cache,
    images,
    need,
    trained_like_weights,
)

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx.onnxruntime_engine import OnnxRuntimeEngine
from depth_motion_ros.engines.onnx.openvino_engine import OpenVinoEngine
from depth_motion_ros.engines.parity import compare
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import WeightsArchitectureError

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
ENGINES = {"onnxruntime": OnnxRuntimeEngine, "openvino": OpenVinoEngine}


@pytest.fixture(params=ENGINES)
def engine_of(request):
    need(request.param)
    return partial(ENGINES[request.param], threads=1, cache_folder=graph_cache())


@pytest.mark.parametrize("make", [fresh_weights, trained_like_weights])
@pytest.mark.parametrize("architecture", ["lite", "resnet18"])
def test_it_computes_what_pytorch_computes(engine_of, architecture, make):
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


def test_the_first_frame_has_no_motion(engine_of):
    prediction = engine_of(trained_like_weights()).step(None, None, images()[0])
    assert prediction.motion is None
    assert prediction.depth.shape == SIZE[::-1]


def test_an_answer_stays_as_it_is_when_the_next_comes(engine_of):
    engine = engine_of(trained_like_weights())
    previous, image = images()
    first = engine.step(None, None, previous)
    second = engine.step(previous, first.depth, image)
    kept = first.depth.copy(), *(np.copy(part) for part in vars(second.motion).values())
    engine.step(image, second.depth, previous)
    now = first.depth, *vars(second.motion).values()
    for before, after in zip(kept, now, strict=True):
        np.testing.assert_array_equal(before, after)


def test_every_weight_is_exchanged_by_load(engine_of):
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


def test_weights_that_change_after_load_do_not_reach_the_engine(engine_of):
    weights = trained_like_weights()
    engine = engine_of(weights)
    before = engine.step(None, None, images()[0]).depth
    for tensor in weights.tensors.values():
        tensor.zero_()
    np.testing.assert_array_equal(engine.step(None, None, images()[0]).depth, before)


def test_weights_of_another_architecture_are_refused_and_the_old_ones_kept(engine_of):
    engine = engine_of(trained_like_weights())
    before = engine.step(None, None, images()[0]).depth
    with pytest.raises(WeightsArchitectureError, match=r"'lite'.*'resnet18'"):
        engine.load(fresh_weights("resnet18"))
    np.testing.assert_array_equal(engine.step(None, None, images()[0]).depth, before)
    assert engine.describe().weights_version == "trained-0"


def test_a_failing_runtime_keeps_the_old_weights(engine_of, monkeypatch):
    engine = engine_of(trained_like_weights())
    before = engine.step(None, None, images()[0]).depth

    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine, "_new_session", fail)
    with pytest.raises(EngineError, match=r"does not take the graph: out of memory"):
        engine.load(trained_like_weights(seed=1))
    np.testing.assert_array_equal(engine.step(None, None, images()[0]).depth, before)
    assert engine.describe().weights_version == "trained-0"


def test_a_runtime_that_fails_in_a_step_is_an_engine_error(engine_of, monkeypatch):
    engine = engine_of(trained_like_weights())

    def fail(*args, **kwargs):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(engine, "_run", fail)
    with pytest.raises(EngineError, match=r"failed: illegal instruction"):
        engine.step(None, None, images()[0])


def test_half_precision_files_serve(engine_of):
    weights = trained_like_weights()
    depth = engine_of(weights.half()).step(None, None, images()[0]).depth
    expected = engine_of(weights).step(None, None, images()[0]).depth
    # float16 keeps 11 bits of each weight.
    np.testing.assert_allclose(depth, expected, rtol=2e-2)


def test_a_wrong_size_is_refused_before_it_reaches_the_runtime(engine_of):
    with pytest.raises(ValueError, match=r"\(64, 96, 3\) uint8, got \(32, 96, 3\)"):
        engine_of(trained_like_weights()).step(None, None, images(1, (96, 32))[0])


def test_it_says_what_computes(engine_of):
    engine = engine_of(trained_like_weights())
    told = engine.describe()
    assert (told.runtime, told.device, told.precision) == (engine.runtime, "cpu, 1 thread", "fp32")
    assert told.runtime_version[0].isdigit()


def test_threads_of_onnx_runtime_do_not_spin_while_they_wait():
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    engine = OnnxRuntimeEngine(trained_like_weights(), threads=1, cache_folder=graph_cache())
    options = engine._session.session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 1


_QUIET = """
import sys
heard = []
calls = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")
sys.addaudithook(lambda event, _: heard.append(event) if event in calls else None)
from depth_motion_ros.engines.onnx.openvino_engine import import_openvino
import_openvino().Core().available_devices
print(heard, "openvino_telemetry" in sys.modules)
"""


def test_openvino_tells_nobody_that_it_is_used():
    need("openvino")
    done = subprocess.run(
        [sys.executable, "-c", _QUIET], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split("\n")[-2] == "[] False"


_INTERRUPTED = """
import os, signal, threading
from support.engine_helpers import fresh_weights, graph_cache
from depth_motion_ros.engines.onnx.openvino_engine import OpenVinoEngine
heard = []
signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
engines = [OpenVinoEngine(fresh_weights(), threads=1, cache_folder=graph_cache())]
freeing = threading.Thread(target=engines.clear)
freeing.start()
freeing.join()
os.kill(os.getpid(), signal.SIGTERM)
print(len(heard))
"""


def test_a_signal_is_heard_after_another_thread_has_freed_an_engine():
    need("openvino")
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr


@pytest.mark.parametrize(("name", "fix"), [("onnxruntime", "onnxscript"), ("openvino", "openvino")])
def test_without_the_runtime_the_error_says_what_to_install(monkeypatch, name, fix):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match=rf"needs {name}.*pip install .*{fix}"):
        ENGINES[name](trained_like_weights(), cache_folder=graph_cache())
