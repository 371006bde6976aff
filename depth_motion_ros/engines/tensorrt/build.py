"""Builds a TensorRT engine from an ONNX graph, and checks that it is the one asked for."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.step import step_tensors
from depth_motion_ros.engines.tensorrt.runtime import TensorRT
from depth_motion_ros.models.config import NetworkConfig

_LOG = logging.getLogger(__name__)
# Takes the share of the build that is done, from 0 to 1.
Progress = Callable[[float], None]


@dataclass(frozen=True)
class BuiltPlan:
    """plan: the serialised engine. timings: the timing cache after the build, empty where this
    TensorRT has none."""

    plan: bytes
    timings: bytes


def tensor_types(config: NetworkConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Inputs and outputs of an engine: name → (name of TensorRT's DataType, shape)."""
    names = {torch.uint8: "UINT8", torch.float32: "FLOAT"}
    return {name: (names[dtype], shape) for name, (dtype, shape) in step_tensors(config).items()}


def build_plan(
    tensorrt: TensorRT,
    model: bytes,
    config: NetworkConfig,
    precision: str,
    *,
    refit: bool,
    capability: str | None = None,
    timings: bytes = b"",
    progress: Progress | None = None,
) -> BuiltPlan:
    """Build for the GPU here, or for another one.

    model: a complete ONNX graph in which ``precision`` is written already.
    refit: whether the weights can be exchanged later; needs a driver.
    capability: such as ``8.6``: build for GPUs of this compute capability without one here, which
        only TensorRT for RTX can. None = the GPU that is CUDA's current device.
    timings: the timing cache of an earlier build.
    progress: called from TensorRT's threads; what it raises ends the build and is raised here.

    Raises EngineError with TensorRT's own words where it takes not the graph or finds no engine,
    and where the network it read has other types or another precision than was asked for.
    """
    api = tensorrt.api
    tensorrt.logger.take_errors()
    builder = api.Builder(tensorrt.logger)
    # Value 1 in TensorRT 10 and 0 in 11: by name, always.
    network = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = api.OnnxParser(network, tensorrt.logger)
    # The plugin that older parsers take instead can be neither refitted nor typed.
    parser.set_flag(api.OnnxParserFlag.NATIVE_INSTANCENORM)
    if not parser.parse(model):
        raise tensorrt.failure("does not take the graph")
    _check_network(tensorrt, network, config, precision)

    options = builder.create_builder_config()
    # Float32 means float32: TF32 has the 10 bits of float16.
    options.clear_flag(api.BuilderFlag.TF32)
    if refit:
        options.set_flag(api.BuilderFlag.REFIT)
    if tensorrt.builds_without_gpu:
        _set_target(tensorrt, options, capability)
    elif capability is not None:
        raise EngineError(f"{tensorrt.name} builds for the GPU that is here, not for {capability}")
    keeps_timings = not tensorrt.builds_without_gpu
    if keeps_timings:
        timing_cache = options.create_timing_cache(timings) or options.create_timing_cache(b"")
        options.set_timing_cache(timing_cache, False)
    monitor = _monitor(tensorrt, progress)
    options.progress_monitor = monitor
    plan = builder.build_serialized_network(network, options)
    if monitor.error is not None:
        raise monitor.error
    if plan is None:
        raise tensorrt.failure("cannot build the engine")
    if progress is not None:
        progress(1.0)
    kept = bytes(options.get_timing_cache().serialize()) if keeps_timings else b""
    return BuiltPlan(bytes(plan), kept)


def _check_network(tensorrt: TensorRT, network: Any, config: NetworkConfig, precision: str) -> None:
    ports = [network.get_input(i) for i in range(network.num_inputs)]
    ports += [network.get_output(i) for i in range(network.num_outputs)]
    check_ports({port.name: (port.dtype.name, tuple(port.shape)) for port in ports}, config)
    api = tensorrt.api
    if not network.get_flag(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED):
        raise EngineError(f"{tensorrt.name} {tensorrt.version} chooses precisions by itself")
    kinds = (api.LayerType.CONVOLUTION, api.LayerType.DECONVOLUTION)
    layers = (network.get_layer(index) for index in range(network.num_layers))
    types = Counter(layer.get_output(0).dtype.name for layer in layers if layer.type in kinds)
    # A build that is called fp16 and computes in float32 has happened to others.
    found = "fp16" if types["HALF"] > types["FLOAT"] else "fp32" if not types["HALF"] else "mixed"
    if found != precision or sum(types.values()) != types["HALF"] + types["FLOAT"]:
        raise EngineError(
            f"asked for {precision}, but {tensorrt.name} {tensorrt.version} read a network whose "
            f"convolutions compute in {dict(types)}"
        )


def check_ports(found: dict[str, tuple[str, tuple[int, ...]]], config: NetworkConfig) -> None:
    """Raises EngineError unless inputs and outputs are those of ``tensor_types``."""
    expected = tensor_types(config)
    wrong = {
        name: (found.get(name), expected.get(name))
        for name in {**expected, **found}
        if found.get(name) != expected.get(name)
    }
    if wrong:
        name, (has, needs) = next(iter(wrong.items()))
        raise EngineError(f"the engine has {has} where {name!r} should be {needs}")


def _set_target(tensorrt: TensorRT, options: Any, capability: str | None) -> None:
    known = tensorrt.api.ComputeCapability
    name = "CURRENT" if capability is None else "SM" + capability.replace(".", "")
    options.num_compute_capabilities = 1
    target = known.__members__.get(name)
    if target is None or not options.set_compute_capability(target, 0):
        has = ", ".join(n for n in known.__members__ if n.startswith("SM"))
        gpu = "the GPU here" if capability is None else f"compute capability {capability}"
        raise tensorrt.failure(f"does not build for {gpu} (it knows {has}); pip install tensorrt")


def _monitor(tensorrt: TensorRT, progress: Progress | None) -> Any:
    base = tensorrt.api.IProgressMonitor

    class Monitor(base):  # type: ignore[misc, valid-type]
        """Adds up the nested phases that TensorRT reports, from any of its threads."""

        def __init__(self) -> None:
            base.__init__(self)
            self.error: BaseException | None = None
            self._shares = PhaseShares()
            self._lock = threading.Lock()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            with self._lock:
                self._shares.start(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            # An exception must not pass through TensorRT: False asks it to stop.
            try:
                with self._lock:
                    done = self._shares.step(phase, step)
                    if progress is not None and done is not None:
                        progress(done)
            except BaseException as error:
                self.error = self.error or error
            return self.error is None

        def phase_finish(self, phase: str) -> None:
            with self._lock:
                self._shares.finish(phase)

    return Monitor()


class PhaseShares:
    """How much of a whole is done whose parts report themselves as they begin.

    A phase of n steps gives each step the same share, and a phase inside a step that step's.
    """

    def __init__(self) -> None:
        self._spans: dict[str, tuple[float, float, int]] = {}
        self._steps: Counter[str] = Counter()
        self._done = 0.0

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        begin, length = 0.0, 1.0
        if parent in self._spans:
            start, whole, count = self._spans[parent]
            length = whole / count
            begin = start + length * min(self._steps[parent], count - 1)
        self._spans[phase] = (begin, length, max(steps, 1))
        self._steps[phase] = 0

    def step(self, phase: str, step: int) -> float | None:
        """The share of the whole that is done; None where that is no news."""
        if phase not in self._spans:
            return None
        begin, length, count = self._spans[phase]
        self._steps[phase] = step + 1
        return self._advance(begin + length * min(step + 1, count) / count)

    def finish(self, phase: str) -> None:
        begin, length, _ = self._spans.pop(phase, (0.0, 0.0, 1))
        self._advance(begin + length)

    def _advance(self, done: float) -> float | None:
        if done <= self._done:
            return None
        self._done = done
        return done
