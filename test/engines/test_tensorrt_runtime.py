from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import pytest

from depth_motion_ros.engines import cuda_device as cuda
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.tensorrt import runtime as tensorrt_runtime
from depth_motion_ros.engines.tensorrt.runtime import TensorRT, check_serves, find_tensorrt


@pytest.fixture(autouse=True)
def _fresh():
    find_tensorrt.cache_clear()
    yield
    find_tensorrt.cache_clear()


class _Logger:
    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3)

    def __init__(self):
        pass


def _install(monkeypatch, **versions):
    """Modules of these versions in place of whatever is installed; None = not installed."""
    for name in ("tensorrt", "tensorrt_rtx"):
        version = versions.get(name)
        module = None
        if version is not None:
            module = ModuleType(name)
            module.__version__ = version
            module.ILogger = _Logger
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("version", ["10.3.0", "10.3.0.post1", "10.16.1.11", "11.0.0"])
def test_tensorrt_is_taken_from_10_3_on(monkeypatch, version):
    _install(monkeypatch, tensorrt=version, tensorrt_rtx="1.7.1.116")
    found = find_tensorrt()
    assert (found.name, found.version) == ("tensorrt", version)
    assert not found.builds_without_gpu


def test_an_older_tensorrt_gives_way_to_tensorrt_for_rtx(monkeypatch):
    _install(monkeypatch, tensorrt="10.2.0", tensorrt_rtx="1.7.1.116")
    assert find_tensorrt().name == "tensorrt_rtx"


def test_the_error_says_of_each_why_and_what_to_install(monkeypatch):
    _install(monkeypatch, tensorrt="8.6.1")
    with pytest.raises(EngineError) as error:
        find_tensorrt()
    assert "tensorrt 8.6.1 is older than 10.3" in str(error.value)
    assert "tensorrt_rtx: import of tensorrt_rtx halted" in str(error.value)
    assert "pip install tensorrt" in str(error.value)


def test_a_missing_library_is_named(monkeypatch):
    def fail(name):
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(tensorrt_runtime, "_import", fail)
    with pytest.raises(EngineError, match=r"tensorrt: libnvinfer\.so\.10: cannot open"):
        find_tensorrt()


def test_an_error_repeats_what_tensorrt_said_once(monkeypatch):
    _install(monkeypatch, tensorrt="10.3.0")
    found = find_tensorrt()
    for message in ("no such layer", "no such layer", "out of memory"):
        found.logger.log(_Logger.Severity.ERROR, message)
    found.logger.log(_Logger.Severity.WARNING, "of no importance")
    assert str(found.failure("cannot build")) == (
        "tensorrt 10.3.0 cannot build: no such layer; out of memory"
    )
    assert str(found.failure("cannot run")) == "tensorrt 10.3.0 cannot run"


def _for_rtx():
    """With the build targets of TensorRT for RTX 1.7."""
    names = ("NONE", "CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120", "SM121")
    targets = SimpleNamespace(__members__=dict.fromkeys(names))
    return TensorRT("tensorrt_rtx", "1.7.1", SimpleNamespace(ComputeCapability=targets), None)


def test_a_gpu_that_tensorrt_for_rtx_leaves_out_is_told_with_the_way_out():
    gpu = cuda.CudaDevice(0, "NVIDIA H100 80GB HBM3", "9.0", "CUDA 13.0")
    with pytest.raises(EngineError) as error:
        check_serves(_for_rtx(), gpu)
    assert str(error.value) == (
        "tensorrt_rtx 1.7.1 does not serve the NVIDIA H100 80GB HBM3, compute capability 9.0: "
        "TensorRT for RTX serves 7.5, 8.0, 8.6, 8.9, 12.0, 12.1 and newer; pip install tensorrt, "
        "which is another library, or use engine 'torch'"
    )


@pytest.mark.parametrize(
    ("capability", "served"),
    [("7.0", False), ("7.5", True), ("8.7", False), ("8.9", True), ("10.0", False), ("13.0", True)],
)
def test_tensorrt_for_rtx_serves_its_targets_and_what_is_newer(capability, served):
    gpu = cuda.CudaDevice(0, "GPU", capability, "CUDA 13.0")
    if served:
        check_serves(_for_rtx(), gpu)
    else:
        with pytest.raises(EngineError, match=f"capability {capability}"):
            check_serves(_for_rtx(), gpu)


def test_the_other_tensorrt_serves_every_gpu():
    gpu = cuda.CudaDevice(0, "NVIDIA H100 80GB HBM3", "9.0", "CUDA 13.0")
    check_serves(TensorRT("tensorrt", "10.16.0", SimpleNamespace(), None), gpu)


class _Driver:
    """libcuda as ctypes shows it."""

    def __init__(self, code):
        self.cuInit = lambda flags: code

    def cuDriverGetVersion(self, pointer):
        ctypes.cast(pointer, ctypes.POINTER(ctypes.c_int))[0] = 12080


@pytest.fixture
def driver(monkeypatch, tmp_path):
    def put(code=0):
        (tmp_path / "version").write_text("570.86.10\n")
        monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name: _Driver(code))
        monkeypatch.setattr(cuda, "_VERSION_FILES", (tmp_path / "none", tmp_path / "version"))

    return put


def test_no_driver_is_an_error_and_no_crash(monkeypatch):
    monkeypatch.setattr(cuda, "_LIBRARY", "libcuda-that-is-not-there.so.1")
    with pytest.raises(EngineError, match=r"no NVIDIA driver.*libcuda-that-is-not-there"):
        cuda.cuda_device()


def test_a_driver_that_does_not_start_is_told_from_a_missing_one(driver):
    driver(code=100)  # CUDA_ERROR_NO_DEVICE
    with pytest.raises(EngineError, match="cuInit returned 100"):
        cuda.cuda_device()


def test_the_drivers_version_is_both_numbers(driver):
    driver()
    assert cuda.driver_version() == "CUDA 12.8, 570.86.10"


def test_a_pytorch_without_cuda_is_named(driver, monkeypatch):
    driver()
    monkeypatch.setattr(cuda.torch.version, "cuda", None)
    with pytest.raises(EngineError, match=r"needs a CUDA build of PyTorch.*https"):
        cuda.cuda_device()


def _torch_with_gpus(monkeypatch, count):
    monkeypatch.setattr(cuda.torch.version, "cuda", "12.8")
    monkeypatch.setattr(cuda.torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(cuda.torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(cuda.torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(cuda.torch.cuda, "get_device_capability", lambda index: (8, 7))
    monkeypatch.setattr(cuda.torch.cuda, "get_device_name", lambda index: f"Orin {index}")


def test_the_device_that_was_asked_for(driver, monkeypatch):
    driver()
    _torch_with_gpus(monkeypatch, 2)
    assert cuda.cuda_device().name == "Orin 0"
    found = cuda.cuda_device("cuda:1")
    assert (found.index, found.name, found.capability) == (1, "Orin 1", "8.7")
    assert str(found.torch_device) == "cuda:1"


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:2", "sees 2"), ("cuda:x", "unknown device"), ("cpu", "runs on a GPU")],
)
def test_a_device_that_is_not_there(driver, monkeypatch, device, message):
    driver()
    _torch_with_gpus(monkeypatch, 2)
    with pytest.raises(EngineError, match=message):
        cuda.cuda_device(device)
