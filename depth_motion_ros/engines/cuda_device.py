"""Which NVIDIA GPU and driver are here.

PyTorch moves the data of the TensorRT engine (streams, pinned memory, CUDA graphs), so that
engine needs a CUDA build of PyTorch; the driver itself is asked first and directly, because
TensorRT crashes the process where there is none.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import torch

from depth_motion_ros.engines.interface import EngineError

_LIBRARY = "libcuda.so.1"
_VERSION_FILES = (Path("/sys/module/nvidia/version"), Path("/etc/nv_tegra_release"))


@dataclass(frozen=True)
class CudaDevice:
    """index: of PyTorch. capability: such as ``8.7``. driver: the CUDA version that the driver
    speaks, and its own version where the system tells."""

    index: int
    name: str
    capability: str
    driver: str

    @property
    def torch_device(self) -> torch.device:
        return torch.device("cuda", self.index)


def cuda_device(device: str = "auto") -> CudaDevice:
    """The GPU that ``auto``, ``cuda`` or ``cuda:N`` means.

    Raises EngineError saying whether the driver, PyTorch's CUDA or the device is missing.
    """
    if device != "auto" and device.partition(":")[0] != "cuda":
        raise EngineError(f"the tensorrt engine runs on a GPU, not on device {device!r}")
    driver = driver_version()
    if torch.version.cuda is None:
        raise EngineError(
            f"the tensorrt engine needs a CUDA build of PyTorch, this is {torch.__version__}; "
            f"install one: https://pytorch.org/get-started/locally"
        )
    index = _index(device)
    if index >= torch.cuda.device_count():
        raise EngineError(
            f"no device {device!r}: PyTorch {torch.__version__} sees {torch.cuda.device_count()} "
            f"CUDA devices; look at CUDA_VISIBLE_DEVICES and nvidia-smi"
        )
    major, minor = torch.cuda.get_device_capability(index)
    return CudaDevice(index, torch.cuda.get_device_name(index), f"{major}.{minor}", driver)


def driver_version() -> str:
    """The driver's version, from a driver that answers.

    Raises EngineError where there is none or it does not start.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise EngineError(f"there is no NVIDIA driver here ({error}); install one") from error
    code = library.cuInit(0)
    if code != 0:
        raise EngineError(
            f"the NVIDIA driver does not start: cuInit returned {code}; look at nvidia-smi, and in "
            f"a container whether it was started with access to the GPU"
        )
    number = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(number))
    cuda = f"CUDA {number.value // 1000}.{number.value % 1000 // 10}"
    for path in _VERSION_FILES:
        if path.is_file():
            return f"{cuda}, {path.read_text().strip()}"
    return cuda


def _index(device: str) -> int:
    _, colon, number = device.partition(":")
    if not colon:
        return torch.cuda.current_device() if torch.cuda.is_available() else 0
    if not number.isdigit():
        raise EngineError(f"unknown device {device!r}; use auto, cuda or cuda:N")
    return int(number)
