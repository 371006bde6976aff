"""What the engine tests share: small networks with weights like those of trained ones."""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, weights_of

# Small enough for a few milliseconds a step; every feature map still has more than one pixel.
SIZE = (96, 64)


def need(runtime: str) -> None:
    """Skip where a runtime is not installed. OpenVINO is not imported for that: by itself it tells
    others of it (``openvino_engine``)."""
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"needs {runtime}: pip install {runtime}")


def fresh_weights(architecture: str = "lite", seed: int = 0) -> Weights:
    """As initialised: all biases are zero and all norm gains are one, so many tensors are equal."""
    torch.manual_seed(seed)
    return weights_of(DepthMotionNet(NetworkConfig(architecture, *SIZE)), version=f"fresh-{seed}")


def trained_like_weights(architecture: str = "lite", seed: int = 0) -> Weights:
    """No two tensors equal, no bias zero, motion scales of the size that training reaches."""
    torch.manual_seed(seed)
    network = DepthMotionNet(NetworkConfig(architecture, *SIZE))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        network.motion_net.rotation_scale.fill_(0.02)
        network.motion_net.translation_scale.fill_(0.3)
    return weights_of(network, version=f"trained-{seed}")


def images(count: int = 2, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    """Smooth random texture that moves by two pixels from image to image."""
    coarse = np.random.default_rng(7).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    first = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return [np.roll(first, 2 * index, axis=1) for index in range(count)]


@functools.cache
def _shared_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="depth_motion_ros_test_")


def graph_cache() -> Path:
    """One private folder for all tests of a run: tracing a graph takes seconds."""
    return Path(_shared_folder().name)


def check_frames_take_no_memory(engine):
    """On a GPU: once the first pair has been compared with PyTorch, nothing is allocated."""
    first, second = images()
    depth = engine.step(None, None, first).depth
    engine.step(first, depth, second)
    before = torch.cuda.memory_stats()["allocation.all.allocated"], torch.cuda.mem_get_info()[0]
    for _ in range(50):
        engine.step(first, depth, second)
    after = torch.cuda.memory_stats()["allocation.all.allocated"], torch.cuda.mem_get_info()[0]
    assert after == before
