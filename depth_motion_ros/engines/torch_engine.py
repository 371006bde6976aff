"""The networks in PyTorch: runs anywhere; in float32 the reference for every other engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from depth_motion_ros.engines.comparison import Comparison
from depth_motion_ros.engines.half_precision import halve
from depth_motion_ros.engines.interface import EngineError, RawMotion, RawPrediction
from depth_motion_ros.engines.network_engine import NetworkEngine
from depth_motion_ros.engines.parity import Pair
from depth_motion_ros.engines.recorded_work import RecordedWork
from depth_motion_ros.engines.step import INPUTS, Step, StepOutput, step_tensors
from depth_motion_ros.models.weights import Weights, build_network

# Before a recording, let cuDNN try every algorithm of a convolution and keep the fastest.
_SEARCH = True


class TorchEngine(NetworkEngine):
    """Float32 on the CPU, float32 or float16 on a CUDA device, never TF32.

    On a CUDA device a step is one CUDA graph: launched one by one, its kernels wait for the CPU.
    In float16 every set of weights, and the first two real frames, are compared with float32.
    """

    runtime, version = "torch", torch.__version__

    def __init__(
        self,
        weights: Weights,
        *,
        precision: str = "auto",
        device: str = "auto",
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
        graph: bool = True,
        pair: Pair | None = None,
    ) -> None:
        """precision: ``fp32``, which is ``auto``, or on a CUDA device ``fp16``.

        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        input_size: (width, height), multiples of 32; None = the weights'.
        threads: CPU threads during a step; None = as many as PyTorch has in this process. More
            than one collapses when another process takes a core, because PyTorch's threads spin
            while they wait (OMP_WAIT_POLICY=PASSIVE in the environment prevents that).
        graph: whether to make the CUDA graph; for a few steps it does not pay.
        pair: two real images at the input size, older first, on which float16 is compared; None =
            first a texture that moves, then the first two frames stepped on.

        Raises EngineError for a device that is not there, a bad size, a precision that the device
        does not have, and where float16 differs from float32 by more than ``acceptance`` allows.
        """
        super().__init__(weights, input_size)
        self._device = _torch_device(device)
        self._precision = self._checked_precision(precision)
        self._threads = threads
        self._work: RecordedWork | None = None
        self._constants = _KeptConstants()
        if self._precision != "fp32":
            oracle = partial(
                TorchEngine, device=str(self._device), input_size=self.input_size, graph=False
            )
            self._comparison = Comparison(oracle, "torch", self._precision, self.input_size, pair)
        self._step = self._made(weights)
        if self._on_gpu and graph:
            self._record()
        self._check(weights)
        self._weights_version = weights.version

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    def _checked_precision(self, precision: str) -> str:
        if precision not in ("auto", "fp32", "fp16"):
            raise EngineError(f"PyTorch has no precision {precision!r} here; use fp32 or fp16")
        if precision == "fp16" and not self._on_gpu:
            raise EngineError(
                f"precision 'fp16' needs a GPU: PyTorch on {self._device} computes in fp32; use "
                f"precision 'fp32' or 'auto', or device 'cuda' where there is one"
            )
        return "fp32" if precision == "auto" else precision

    def _made(self, weights: Weights) -> Step:
        step = Step(build_network(weights)).eval().requires_grad_(False)
        half = self._precision == "fp16"
        # Measured on a CPU with AVX2: 8 % (lite) and 21 % (resnet18) faster at 416x128; on an
        # NVIDIA H100 8 % faster in float16.
        last = half or self._device.type == "cpu"
        layout = torch.channels_last if last else torch.contiguous_format
        if half:
            step = halve(step)
        try:
            return step.to(device=self._device, memory_format=layout)  # type: ignore[call-overload]
        except RuntimeError as error:
            raise EngineError(f"the weights do not fit on {self._device}: {error}") from error

    def _record(self) -> None:
        try:
            self._work = RecordedWork(self._device, step_tensors(self._config), StepOutput._fields)
            self._work.warm_up(self._enqueue)
            self._work.record(self._enqueue)
        except RuntimeError as error:
            raise self._failure(error) from error
        if not self._work.recorded:
            self._work.close()
            self._work = None

    def _enqueue(self) -> None:
        assert self._work is not None
        buffers = self._work.buffers
        with torch.inference_mode(), _exact(search=_SEARCH), self._constants:
            output = self._step(*(buffers[name] for name in INPUTS))
            for name, tensor in zip(StepOutput._fields, output, strict=True):
                buffers[name].copy_(tensor)

    def _check(self, weights: Weights) -> None:
        if self._comparison is not None:
            self._comparison.check(weights, self._pair)

    @property
    def _device_name(self) -> str:
        return torch.cuda.get_device_name(self._device) if self._on_gpu else "cpu"

    def _depth(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._work is not None:
            return super()._depth(image)
        with self._computing():
            return _array(self._step.depth(self._tensor(image)))

    def _pair(
        self,
        previous_image: NDArray[np.uint8],
        previous_depth: NDArray[np.float32],
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        arrays: tuple[NDArray, ...] = (previous_image, previous_depth, image)
        if self._work is not None:
            try:
                outputs = self._work.run(dict(zip(INPUTS, arrays, strict=True)), self._enqueue)
            except RuntimeError as error:
                raise self._failure(error) from error
            return RawPrediction(outputs.pop("depth"), RawMotion(**outputs))
        with self._computing():
            output = self._step(*(self._tensor(array) for array in arrays))
            depth, *motion = (_array(tensor) for tensor in output)
        return RawPrediction(depth, RawMotion(*motion))

    @contextmanager
    def _computing(self) -> Iterator[None]:
        try:
            with torch.inference_mode(), _exact(), _cpu_threads(self._threads):
                yield
        except RuntimeError as error:
            raise self._failure(error) from error

    def _failure(self, error: RuntimeError) -> EngineError:
        return EngineError(f"PyTorch failed on {self._device}: {error}")

    def _tensor(self, array: NDArray) -> Tensor:
        # A copy also lets read-only arrays through, of which PyTorch warns otherwise.
        return torch.from_numpy(array.copy()).to(self._device)

    def _replace(self, weights: Weights) -> None:
        new = self._made(weights)
        self._exchange(new)
        try:
            self._check(weights)
        except BaseException:
            self._exchange(new)
            raise

    def _exchange(self, other: Step) -> None:
        """Exchange the values of all parameters: a CUDA graph reads from where they lie."""
        for mine, its in zip(self._step.parameters(), other.parameters(), strict=True):
            kept = mine.clone()
            mine.copy_(its)
            its.copy_(kept)
        if self._on_gpu:
            # The graph runs on another stream.
            torch.cuda.current_stream(self._device).synchronize()

    def close(self) -> None:
        if self._work is not None:
            self._work.close()


class _KeptConstants(TorchFunctionMode):
    """What the networks make of Python's numbers is made once.

    It is copied to the GPU from memory that is not pinned, which no CUDA graph records.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[Any, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.Tensor.new_tensor or kwargs or not isinstance(args[1], tuple):
            return func(*args, **(kwargs or {}))
        like, values = args
        key = (values, like.dtype)
        if key not in self._kept:
            self._kept[key] = func(like, values)
        return self._kept[key]


def _exact(*, search: bool = False) -> Any:
    return torch.backends.cudnn.flags(enabled=True, benchmark=search, allow_tf32=False)


@contextmanager
def _cpu_threads(count: int | None) -> Iterator[None]:
    """The number of threads belongs to the whole process: a trainer may want another."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _torch_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(
            f"no device {name!r}: PyTorch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; use device 'cpu', or install a driver and "
            f"a CUDA build of PyTorch"
        )
    if device.type == "cuda" and device.index is None:
        # Another thread, whose current device may be another, must find the same.
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.cpu().numpy())
