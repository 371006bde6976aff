"""Finds TensorRT: the only file that imports it.

``tensorrt`` 10.3 and later and ``tensorrt_rtx`` (TensorRT for RTX) have one API in all that is
used here. What differs is asked of the module itself, never guessed from its version.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from depth_motion_ros.engines.cuda_device import CudaDevice
from depth_motion_ros.engines.interface import EngineError

_LOG = logging.getLogger(__name__)
# The first of each that has all that is used here.
MINIMUM = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 2)}
INSTALL = "pip install tensorrt, or pip install tensorrt-rtx for a GeForce or RTX card"


@dataclass(frozen=True)
class TensorRT:
    """A TensorRT that was found. api: the module. logger: of the class that its API demands."""

    name: str
    version: str
    api: ModuleType = field(repr=False)
    logger: Any = field(repr=False)

    @property
    def builds_without_gpu(self) -> bool:
        """Whether an engine can be built for a GPU that is not here: TensorRT for RTX alone."""
        return hasattr(self.api, "ComputeCapability")

    def failure(self, what: str) -> EngineError:
        """An error with what TensorRT said last."""
        said = "; ".join(self.logger.take_errors())
        return EngineError(f"{self.name} {self.version} {what}" + (f": {said}" if said else ""))


@functools.cache
def find_tensorrt() -> TensorRT:
    """The TensorRT that is installed; of both, ``tensorrt``, which runs on every NVIDIA GPU.

    Raises EngineError saying for each why it cannot serve, and what to install.
    """
    reasons = []
    for name, minimum in MINIMUM.items():
        try:
            api = _import(name)
        # A library that is missing beside the module is an OSError or an ImportError.
        except (ImportError, OSError) as error:
            reasons.append(f"{name}: {error}")
            continue
        if _numbers(api.__version__) < minimum:
            needed = ".".join(map(str, minimum))
            reasons.append(f"{name} {api.__version__} is older than {needed}")
            continue
        return TensorRT(name, api.__version__, api, _logger(api))
    raise EngineError(f"there is no TensorRT here ({'; '.join(reasons)}): {INSTALL}")


def check_serves(tensorrt: TensorRT, gpu: CudaDevice) -> None:
    """Raises EngineError for a GPU that TensorRT for RTX leaves out, which it says late and badly.

    It serves what it has a build target for, and whatever is newer than the newest of them.
    """
    if not tensorrt.builds_without_gpu:
        return
    targets = [name[2:] for name in tensorrt.api.ComputeCapability.__members__ if name[:2] == "SM"]
    served = sorted((int(number[:-1]), int(number[-1])) for number in targets)
    major, minor = (int(part) for part in gpu.capability.split("."))
    if (major, minor) in served or (major, minor) > served[-1]:
        return
    known = ", ".join(f"{major}.{minor}" for major, minor in served)
    raise EngineError(
        f"{tensorrt.name} {tensorrt.version} does not serve the {gpu.name}, compute capability "
        f"{gpu.capability}: TensorRT for RTX serves {known} and newer; pip install tensorrt, which "
        f"is another library, or use engine 'torch'"
    )


def _import(name: str) -> ModuleType:
    if name == "tensorrt":
        import tensorrt

        return tensorrt
    import tensorrt_rtx

    return tensorrt_rtx


def _numbers(version: str) -> tuple[int, ...]:
    """``10.3.0.post1`` → (10, 3)."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _logger(api: ModuleType) -> Any:
    levels = {
        api.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        api.ILogger.Severity.ERROR: logging.ERROR,
        api.ILogger.Severity.WARNING: logging.DEBUG,
    }

    class Logger(api.ILogger):  # type: ignore[misc, name-defined]
        """TensorRT's words in Python's log; errors are also kept for the next EngineError."""

        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity)
            if level is None:
                return
            _LOG.debug("%s", message)
            if level == logging.ERROR:
                self._errors.append(message.strip())

        def take_errors(self) -> list[str]:
            """What was said since the last call; TensorRT often says one thing twice."""
            errors, self._errors = self._errors, []
            return list(dict.fromkeys(errors))

    return Logger()
