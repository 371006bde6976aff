"""What can compute here: GPU, TensorRT, and an engine that is really built and run."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from depth_motion_ros.cli.doctor.finding import Finding, ok, problem, warning
from depth_motion_ros.engines.interface import Engine, EngineError
from depth_motion_ros.engines.private_files import default_folder
from depth_motion_ros.engines.select import create_engine
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.packaged import DEFAULT, weights_path
from depth_motion_ros.models.weights import Weights, WeightsError, weights_of

TENSORRT = (
    "tensorrt", "tensorrt-cu12", "tensorrt-cu13",
    "tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13",
)  # fmt: skip
CUDA_INSTALL = (
    "install a PyTorch for this CUDA: https://pytorch.org/get-started/locally; on a Jetson the "
    "one of NVIDIA's JetPack"
)
FEW_BYTES = 1_000_000_000


def driver_status() -> int | None:
    """What ``cuInit`` of the NVIDIA driver answers: 0 = a usable GPU; None = no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return int(driver.cuInit(0))


def check_gpu(
    driver: Callable[[], int | None] = driver_status,
    torch_sees: Callable[[], bool] = torch.cuda.is_available,
    torch_cuda: str | None = torch.version.cuda,
) -> Finding:
    """The driver's word against PyTorch's: a GPU that PyTorch does not use is the usual trouble."""
    status = driver()
    if status is None:
        return ok("no NVIDIA driver: everything runs on the CPU")
    if status != 0:
        return warning(
            f"the NVIDIA driver is there but finds no usable GPU (cuInit says {status})",
            "run nvidia-smi; in a container start it with --gpus all (Jetson: --runtime nvidia)",
        )
    if torch_cuda is None:
        return warning(
            f"there is a GPU, but PyTorch {torch.__version__} is built without CUDA", CUDA_INSTALL
        )
    if not torch_sees():
        return warning(
            f"there is a GPU, but PyTorch, built for CUDA {torch_cuda}, cannot use it: the "
            "driver is too old for it",
            f"update the driver (nvidia-smi shows its CUDA version), or {CUDA_INSTALL}",
        )
    name = torch.cuda.get_device_name(0)
    return ok(f"GPU {name}, PyTorch {torch.__version__} for CUDA {torch_cuda}")


def check_jetson(release: Path = Path("/etc/nv_tegra_release")) -> Finding | None:
    """JetPack by the release of L4T; None where this is no Jetson."""
    try:
        text = release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    if found is None:
        return warning(f"a Jetson, but {release} names no release", "cat /etc/nv_tegra_release")
    major = int(found[1])
    jetpack = {35: "5", 36: "6", 38: "7"}.get(major, "unknown")
    what = f"Jetson with L4T {major}.{found[2]} (JetPack {jetpack})"
    if major < 36:
        return problem(f"{what}: its Python is older than 3.10", "flash JetPack 6 or 7")
    return ok(what)


def check_tensorrt(
    installed: Callable[[str], str] = metadata.version,
) -> Finding:
    """Whether TensorRT is installed; whether it works is for the engine itself to find out."""
    found = []
    for name in TENSORRT:
        try:
            found.append(f"{name} {installed(name)}")
        except metadata.PackageNotFoundError:
            continue
    if not found:
        return ok("TensorRT (experimental) is not installed: engine auto takes another runtime")
    return ok(f"{', '.join(found)} (experimental)")


def check_weights(path: str = "", packaged: Path | None = None) -> tuple[Finding, Weights]:
    """The finding, and weights with which the engines can be tried: untrained where none serve."""
    file = weights_path(path) if path else packaged or weights_path(DEFAULT)
    if path or file.is_file():
        try:
            weights = Weights.from_file(file)
        except WeightsError as error:
            fix = "give the node a whole weights file: -p weights:=/path/to/net.safetensors"
            return problem(f"weights: {error}", fix), _untrained()
        config = weights.config
        size = f"{config.input_width}x{config.input_height}"
        what = f"weights {weights.version!r}: {config.architecture}, {size} ({file})"
        return ok(what), weights
    return (
        warning(
            "no trained weights: the package has none, so depth and motion mean nothing",
            "train some (depth_motion train --help), then -p weights:=/path/to/net.safetensors",
        ),
        _untrained(),
    )


def _untrained() -> Weights:
    return weights_of(DepthMotionNet(NetworkConfig("lite")), version="untrained")


def check_engine(
    weights: Weights, name: str, create: Callable[..., Engine] = create_engine
) -> Finding:
    """Build it and let it do two steps: what the node will do, minus the camera."""
    try:
        engine = create(weights, engine=name)
        try:
            width, height = engine.input_size
            image = np.zeros((height, width, 3), np.uint8)
            depth = engine.step(None, None, image).depth
            engine.step(image, depth, image)
            about = engine.describe()
        finally:
            engine.close()
    except EngineError as error:
        if name == "auto":
            return problem(f"engine auto: {error}", "pip install 'depth_motion_ros[cpu]'")
        return warning(
            f"engine {name}: {error}",
            f"do as it says if you want it; the parameter engine:={name} would be refused",
        )
    return ok(
        f"engine {name}: {about.runtime} {about.runtime_version} on {about.device} in "
        f"{about.precision}{f'. {engine.reason}' if name == 'auto' else ''}"
    )


def check_cache(folder: Path | None = None, free: Callable[[Path], int] | None = None) -> Finding:
    """Where traced graphs and built engines are kept: without it every start takes longer."""
    folder = folder or default_folder()
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not _writable(existing):
        return warning(
            f"{folder} cannot be written: every start builds its engine anew",
            "export XDG_CACHE_HOME=/a/folder/that/can/be/written",
        )
    if folder.exists() and folder.stat().st_mode & 0o022:
        return warning(
            f"others can write to {folder}: it is not used, every start builds its engine anew",
            f"chmod 700 {folder}",
        )
    left = (free or _free)(existing)
    if left < FEW_BYTES:
        return warning(
            f"only {left / 1e6:.0f} MB are free on the disk of {folder}",
            "free some space, or set XDG_CACHE_HOME to another disk",
        )
    return ok(f"engine cache {folder}, {left / 1e9:.0f} GB free")


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _writable(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    try:
        # os.access knows nothing of a disk that is full or mounted read-only.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError:
        return False
    return True
