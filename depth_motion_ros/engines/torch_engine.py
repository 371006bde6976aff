"""The networks in PyTorch float32: runs anywhere, and is the oracle of every other engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from depth_motion_ros.engines.engine import (
    Engine,
    EngineDescription,
    EngineError,
    RawMotion,
    RawPrediction,
)
from depth_motion_ros.engines.inputs import check_architecture, check_step, engine_config
from depth_motion_ros.engines.step import Step
from depth_motion_ros.models.weights import Weights, build_network


class TorchEngine(Engine):
    """Float32 on the CPU or a CUDA device, never TF32."""

    def __init__(
        self,
        weights: Weights,
        *,
        device: str = "auto",
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
    ) -> None:
        """device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

        input_size: (width, height), multiples of 32; None = the weights'.
        threads: CPU threads during a step; None = as many as PyTorch has in this process. More
            than one collapses when another process takes a core, because PyTorch's threads spin
            while they wait (OMP_WAIT_POLICY=PASSIVE in the environment prevents that).

        Raises EngineError for a device that is not there or a bad size.
        """
        self._config = engine_config(weights, input_size)
        self._device = _torch_device(device)
        self._threads = threads
        self._load(weights)

    def _load(self, weights: Weights) -> None:
        step = Step(build_network(weights)).eval().requires_grad_(False)
        # Measured on a CPU with AVX2: 8 % (lite) and 21 % (resnet18) faster at 416x128.
        layout = torch.channels_last if self._device.type == "cpu" else torch.contiguous_format
        try:
            self._step = step.to(device=self._device, memory_format=layout)  # type: ignore[call-overload]
        except RuntimeError as error:
            raise EngineError(f"the weights do not fit on {self._device}: {error}") from error
        self._version = weights.version

    @property
    def input_size(self) -> tuple[int, int]:
        return self._config.input_width, self._config.input_height

    def step(
        self,
        previous_image: NDArray[np.uint8] | None,
        previous_depth: NDArray[np.float32] | None,
        image: NDArray[np.uint8],
    ) -> RawPrediction:
        check_step(self.input_size, previous_image, previous_depth, image)
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        try:
            with torch.inference_mode(), exact, _cpu_threads(self._threads):
                newest = self._tensor(image)
                if previous_image is None or previous_depth is None:
                    return RawPrediction(_array(self._step.depth(newest)), None)
                output = self._step(
                    self._tensor(previous_image), self._tensor(previous_depth), newest
                )
        except RuntimeError as error:
            raise EngineError(f"PyTorch failed on {self._device}: {error}") from error
        depth, *motion = (_array(tensor) for tensor in output)
        return RawPrediction(depth, RawMotion(*motion))

    def _tensor(self, array: NDArray) -> torch.Tensor:
        # A copy also lets read-only arrays through, of which PyTorch warns otherwise.
        return torch.from_numpy(array.copy()).to(self._device)

    def load(self, weights: Weights) -> None:
        check_architecture(weights, self._config)
        self._load(weights)

    def describe(self) -> EngineDescription:
        on_gpu = self._device.type == "cuda"
        return EngineDescription(
            runtime="torch",
            runtime_version=torch.__version__,
            device=torch.cuda.get_device_name(self._device) if on_gpu else "cpu",
            precision="fp32",
            architecture=self._config.architecture,
            input_width=self._config.input_width,
            input_height=self._config.input_height,
            weights_version=self._version,
        )


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
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
    return device


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.cpu().numpy())
