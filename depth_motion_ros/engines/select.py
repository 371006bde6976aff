"""Which runtime serves on this machine."""

from __future__ import annotations

from collections.abc import Callable

import torch

from depth_motion_ros.engines.engine import Engine, EngineError
from depth_motion_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights

ENGINES = ("auto", "tensorrt", "cpu", "torch")
PRECISIONS = ("auto", "fp32", "fp16", "int8")


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

    engine: ``tensorrt``, ``cpu`` (ONNX Runtime), ``torch``, or ``auto``: PyTorch on a CUDA device
        where there is one, else ONNX Runtime, else PyTorch on the CPU.
    precision: ``auto`` is the engine's own choice; any other is kept or refused.
    device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads: CPU threads; None = up to 4 for ONNX Runtime, 1 for PyTorch (see TorchEngine).
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
    if engine == "tensorrt":
        raise EngineError(
            "this version has no TensorRT engine; use engine 'torch' on a GPU or 'cpu'"
        )
    if precision not in ("auto", "fp32"):
        raise EngineError(
            f"precision {precision!r} needs an engine that has it; {engine!r} computes in fp32: "
            f"use precision 'fp32' or 'auto'"
        )

    def on_cpu() -> Engine:
        if device not in ("auto", "cpu"):
            raise EngineError(f"the cpu engine cannot use device {device!r}; use engine 'torch'")
        return OnnxRuntimeEngine(weights, input_size=input_size, threads=threads)

    def on_torch() -> Engine:
        return TorchEngine(weights, device=device, input_size=input_size, threads=threads or 1)

    if engine == "auto":
        return _automatic(on_cpu, on_torch, device)
    chosen = on_cpu() if engine == "cpu" else on_torch()
    chosen.reason = f"engine {engine!r} was asked for"
    return chosen


def _automatic(on_cpu: Callable[[], Engine], on_torch: Callable[[], Engine], device: str) -> Engine:
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        chosen = on_torch()
        chosen.reason = "PyTorch: it is the fastest runtime here that uses a CUDA device"
        return chosen
    try:
        chosen = on_cpu()
        chosen.reason = "ONNX Runtime: there is no CUDA device, and it is the fastest on a CPU"
    except EngineError as error:
        chosen = on_torch()
        chosen.reason = f"PyTorch on the CPU, which is slower: no ONNX Runtime ({error})"
    return chosen
