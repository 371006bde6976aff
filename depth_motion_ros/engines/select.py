"""Which runtime serves on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from depth_motion_ros.engines.interface import Engine, EngineError
from depth_motion_ros.engines.onnx.graph_engine import GraphEngine
from depth_motion_ros.engines.onnx.onnxruntime_engine import OnnxRuntimeEngine
from depth_motion_ros.engines.onnx.openvino_engine import OpenVinoEngine
from depth_motion_ros.engines.tensorrt.engine import TensorRTEngine
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights

_LOG = logging.getLogger(__name__)
ENGINES = ("auto", "tensorrt", "cpu", "openvino", "onnxruntime", "torch")
PRECISIONS = ("auto", "fp32", "fp16")


def create_engine(
    weights: Weights,
    *,
    engine: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> Engine:
    """An engine with these weights; its ``reason`` says what was taken and why.

    engine: ``tensorrt``, ``openvino``, ``onnxruntime``, ``torch``; ``cpu``: OpenVINO where it is
        installed, else ONNX Runtime; or ``auto``: TensorRT (experimental) where there is a GPU
        that it serves, else PyTorch on a CUDA device, else as ``cpu``, else PyTorch on the CPU.
    precision: ``auto`` is the engine's own choice (TensorRT fp16, all others fp32); any other is
        kept or refused: fp16 needs a GPU.
    device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads: CPU threads; None = all cores but one, up to 4, 1 for PyTorch (see TorchEngine).
    input_size: (width, height), multiples of 32; None = the weights'.

    Raises EngineError where what was asked for by name is not to be had: nothing but ``auto``
    ever takes another way.
    """
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}; use one of {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise EngineError(f"unknown precision {precision!r}; use one of {', '.join(PRECISIONS)}")
    if threads is not None and threads < 1:
        raise EngineError(f"threads must be at least 1, got {threads}")
    if engine not in ("auto", "tensorrt", "torch"):
        _only_fp32(engine, precision)

    def on_tensorrt() -> Engine:
        return TensorRTEngine(weights, precision=precision, device=device, input_size=input_size)

    def on_graph(which: type[GraphEngine]) -> Engine:
        if device not in ("auto", "cpu"):
            raise EngineError(
                f"the {engine} engine cannot use device {device!r}; use engine 'torch'"
            )
        return which(weights, input_size=input_size, threads=threads)

    def on_cpu() -> Engine:
        try:
            chosen = on_graph(OpenVinoEngine)
            chosen.reason = "OpenVINO: the fastest on a CPU"
        except EngineError as error:
            chosen = on_graph(OnnxRuntimeEngine)
            chosen.reason = (
                f"ONNX Runtime: OpenVINO, which is faster on a CPU, does not serve: {error}"
            )
        return chosen

    def on_torch() -> Engine:
        return TorchEngine(
            weights,
            precision=precision,
            device=device,
            input_size=input_size,
            threads=threads or 1,
        )

    def automatic() -> Engine:
        if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
            return _on_gpu(on_tensorrt, on_torch)
        _only_fp32("auto", precision)
        why = "there is no CUDA device" if device == "auto" else f"device {device!r} was asked for"
        return _on_cpu(on_cpu, on_torch, why)

    if engine == "auto":
        chosen = automatic()
    else:
        chosen = {
            "tensorrt": on_tensorrt,
            "cpu": on_cpu,
            "openvino": lambda: on_graph(OpenVinoEngine),
            "onnxruntime": lambda: on_graph(OnnxRuntimeEngine),
            "torch": on_torch,
        }[engine]()
        asked = f"engine {engine!r} was asked for"
        chosen.reason = f"{chosen.reason}; {asked}" if chosen.reason else asked
    _LOG.debug("%s", chosen.reason)  # the node says it, and not at each swap of weights
    return chosen


def _only_fp32(what: str, precision: str) -> None:
    if precision not in ("auto", "fp32"):
        raise EngineError(
            f"precision {precision!r} needs a GPU and engine 'tensorrt' or 'torch'; {what!r} "
            f"computes in fp32 here: use precision 'fp32' or 'auto'"
        )


def _on_gpu(on_tensorrt: Callable[[], Engine], on_torch: Callable[[], Engine]) -> Engine:
    try:
        chosen = on_tensorrt()
        chosen.reason = "TensorRT (experimental): there is a GPU, and it is made for that"
    except EngineError as error:
        chosen = on_torch()
        chosen.reason = (
            f"PyTorch on a CUDA device, because TensorRT (experimental) does not serve: {error}"
        )
    return chosen


def _on_cpu(on_cpu: Callable[[], Engine], on_torch: Callable[[], Engine], why: str) -> Engine:
    try:
        chosen = on_cpu()
        chosen.reason = f"{chosen.reason}; {why}"
    except EngineError as error:
        chosen = on_torch()
        chosen.reason = (
            f"PyTorch on the CPU, which is slower: neither OpenVINO nor ONNX Runtime ({error})"
        )
    return chosen
