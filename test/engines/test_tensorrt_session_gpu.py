"""Pinned buffers, stream and CUDA graph of a session on a GPU, with PyTorch in TensorRT's place.

Needs no TensorRT. The stand-in does what TensorRT does: it reads and writes the addresses that it
was given, on the stream that it was given, and is recorded like any other work.
"""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.engine_helpers import trained_like_weights
from support.tensorrt_helpers import DescribedEngine

from depth_motion_ros.engines.cuda_device import cuda_device
from depth_motion_ros.engines.tensorrt.build import tensor_types
from depth_motion_ros.engines.tensorrt.runtime import TensorRT
from depth_motion_ros.engines.tensorrt.session import TensorRTSession

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TYPES = {"UINT8": ("|u1", torch.uint8), "FLOAT": ("<f4", torch.float32)}


class PyTorchEngine(DescribedEngine):
    """step: (previous_image, previous_depth, image) on the GPU to the five outputs, in order."""

    def __init__(self, config, step):
        super().__init__(tensor_types(config))
        self.tensors = {}
        self.step = step

    def create_execution_context(self):
        return self

    def set_tensor_address(self, name, address):
        kind, shape = self.types[name]
        memory = {"shape": shape, "typestr": TYPES[kind][0], "data": (address, False), "version": 2}
        view = torch.as_tensor(SimpleNamespace(__cuda_array_interface__=memory), device="cuda")
        assert view.data_ptr() == address
        self.tensors[name] = view
        return True

    def execute_async_v3(self, stream):
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)), torch.inference_mode():
            outputs = self.step(*(self.tensors[name] for name in self.names[:3]))
            for name, output in zip(self.names[3:], outputs, strict=True):
                self.tensors[name].copy_(output)
        return True


def open_session(config, step):
    """A session whose engine is ``step``."""
    engine = PyTorchEngine(config, step)
    api = SimpleNamespace(
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
        TensorIOMode=SimpleNamespace(OUTPUT="out"),
    )
    tensorrt = TensorRT("stand-in", "1.0", api, SimpleNamespace(take_errors=list))
    return TensorRTSession(tensorrt, cuda_device(), b"", config)


def _step(previous_image, previous_depth, image):
    """Sums of whole numbers, so that a result is exactly one thing."""
    now, before = image.float(), previous_image.float()
    depth = previous_depth + now[..., 0] + 256 * before[..., 0]
    return depth, now[0, 0], before[0, 0], now + before, now[:3, :3, 0]


def _frames(config, seed):
    rng = np.random.default_rng(seed)
    size = (config.input_height, config.input_width)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(2)]
    depth = rng.integers(0, 1000, size).astype(np.float32)
    return {"previous_image": images[0], "previous_depth": depth, "image": images[1]}


def _expected(frames):
    tensors = _step(*(torch.from_numpy(array) for array in frames.values()))
    names = ("depth", "rotation", "translation", "residual", "K")
    return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


def _run_and_check(session, config, seeds):
    for seed in seeds:
        frames = _frames(config, seed)
        outputs = session.run(frames)
        for name, expected in _expected(frames).items():
            np.testing.assert_array_equal(outputs[name], expected, err_msg=f"{name} of {seed}")


@pytest.fixture
def config():
    return trained_like_weights().config


@pytest.fixture
def session(config):
    session = open_session(config, _step)
    yield session
    session.close()


def test_every_output_is_of_the_frames_given(session, config):
    assert session._work.recorded
    _run_and_check(session, config, range(200))


def test_later_frames_do_not_overwrite_a_result(session, config):
    frames = _frames(config, 0)
    kept = session.run(frames)
    session.run(_frames(config, 1))
    for name, expected in _expected(frames).items():
        np.testing.assert_array_equal(kept[name], expected)


def test_frames_take_no_memory(session, config):
    frames = _frames(config, 0)
    session.run(frames)
    before = torch.cuda.memory_stats()["allocation.all.allocated"], torch.cuda.mem_get_info()[0]
    for _ in range(50):
        session.run(frames)
    after = torch.cuda.memory_stats()["allocation.all.allocated"], torch.cuda.mem_get_info()[0]
    assert after == before


def test_frames_pass_while_other_sessions_are_made(session, config):
    made, errors = [], []

    def make():
        try:
            for _ in range(5):
                made.append(open_session(config, _step))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    seed = 0
    while thread.is_alive() or seed < 20:
        _run_and_check(session, config, [seed])
        # PyTorch's own use of the device, as of the network that an engine is compared with.
        assert torch.ones(1 << 16, device="cuda").sum().item() == 1 << 16
        seed += 1
    thread.join()
    assert not errors
    for other in made:
        assert other._work.recorded
        _run_and_check(other, config, range(3))
        other.close()


def test_what_cannot_be_recorded_runs_without_a_graph(config, caplog):
    def waits(*inputs):
        torch.cuda.current_stream().synchronize()
        return _step(*inputs)

    before = torch.cuda.current_stream()
    with caplog.at_level(logging.WARNING):
        session = open_session(config, waits)
    assert "without a CUDA graph" in caplog.text
    assert not session._work.recorded
    assert torch.cuda.current_stream() == before
    other = open_session(config, _step)
    for each in (session, other):
        _run_and_check(each, config, range(5))
        each.close()
        each.close()
