"""Weights files: safetensors with a metadata header. Nothing is ever unpickled."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.packaged import weights_path

METADATA_KEYS = (
    "architecture",
    "input_width",
    "input_height",
    "version",
    "parent",
    "trained_on",
    "licence",
    "recipe",
    "unit",
    "depth_relative_std",
)
REQUIRED_KEYS = ("architecture", "input_width", "input_height")
# The largest member of the family takes 234 MB in float32.
MAX_BYTES = 300_000_000
_FLOATS = (torch.float16, torch.bfloat16, torch.float32)


class WeightsError(ValueError):
    """Weights that cannot be used; the message says what is wrong and what to do."""


class WeightsFileError(WeightsError):
    """The file is missing, truncated, oversized or no safetensors file."""


class WeightsArchitectureError(WeightsError):
    """The metadata name no architecture or size that this version knows, or another one."""


class WeightsTensorError(WeightsError):
    """A tensor is missing, surplus, or of the wrong shape or type."""


class WeightsValueError(WeightsError):
    """A tensor holds NaN or infinity."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors by the names of ``DepthMotionNet.state_dict()``, and what is known about them.

    metadata: the keys of ``METADATA_KEYS`` (architecture and input size at least), all text.
    unit is in metres, if trained on the ground truth of a simulator; depth_relative_std is the
    measured relative error of depth.

    Raises a WeightsError at construction unless the tensors fit the architecture exactly and
    are finite, so a Weights object can always be loaded.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    def __post_init__(self) -> None:
        _check_tensors(self.tensors, self.config)

    @property
    def config(self) -> NetworkConfig:
        """Architecture and training input size."""
        return _config_of(self.metadata)

    @property
    def version(self) -> str:
        """The version in the metadata, or ``unversioned``."""
        return self.metadata.get("version", "unversioned")

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "weights") -> Weights:
        """Read the content of a weights file. name: what to call it in errors."""
        if len(data) > MAX_BYTES:
            raise WeightsFileError(
                f"{name}: {len(data)} bytes are more than any weights file has ({MAX_BYTES})"
            )
        metadata = _read_metadata(data, name)
        try:
            tensors = safetensors.torch.load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise WeightsFileError(
                f"{name}: damaged or truncated safetensors file ({error}); copy it again"
            ) from error
        try:
            return cls(tensors, metadata)
        except WeightsError as error:
            raise type(error)(f"{name}: {error}") from error

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Weights:
        """Read a weights file, or one of the package by its name: see ``packaged``."""
        path = weights_path(path)
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise WeightsFileError(
                    f"{path}: {size} bytes are more than any weights file has ({MAX_BYTES})"
                )
            data = path.read_bytes()
        except OSError as error:
            raise WeightsFileError(f"{path}: cannot be read: {error.strerror}") from error
        return cls.from_bytes(data, str(path))

    def to_bytes(self) -> bytes:
        """The content of a weights file."""
        tensors = {
            name: tensor.detach().contiguous().cpu() for name, tensor in self.tensors.items()
        }
        return safetensors.torch.save(tensors, self.metadata)

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write a weights file. It appears whole or not at all."""
        path = Path(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.to_bytes())
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def half(self) -> Weights:
        """The same in float16, for shipping. Raises WeightsValueError where float16 overflows."""
        return Weights(
            {name: t.to(torch.float16) for name, t in self.tensors.items()}, self.metadata
        )


def build_network(weights: Weights) -> DepthMotionNet:
    """The networks with these weights, in float32 and in evaluation mode."""
    with torch.device("meta"):
        network = DepthMotionNet(weights.config)
    state = {name: tensor.to(torch.float32, copy=True) for name, tensor in weights.tensors.items()}
    network.load_state_dict(state, assign=True)
    return network.eval()


def weights_of(network: DepthMotionNet, **metadata: str) -> Weights:
    """A copy of a network's weights. metadata: any of ``METADATA_KEYS`` but the first three."""
    unknown = sorted(set(metadata) - set(METADATA_KEYS))
    if unknown:
        raise WeightsArchitectureError(f"unknown metadata keys {unknown}; known: {METADATA_KEYS}")
    config = network.config
    header = {
        "architecture": config.architecture,
        "input_width": str(config.input_width),
        "input_height": str(config.input_height),
    }
    tensors = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
    return Weights(tensors, {**header, **metadata})


def _read_metadata(data: bytes, name: str) -> dict[str, str]:
    """The ``__metadata__`` of the JSON header that follows its own length in 8 bytes."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise WeightsFileError(f"{name}: damaged or truncated safetensors file; copy it again")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise WeightsFileError(f"{name}: not a safetensors file: its header is no JSON") from error


def _config_of(metadata: dict[str, str]) -> NetworkConfig:
    missing = [key for key in REQUIRED_KEYS if key not in metadata]
    if missing:
        raise WeightsArchitectureError(
            f"the metadata lack {', '.join(missing)}: this is no depth_motion_ros weights file"
        )
    try:
        width, height = int(metadata["input_width"]), int(metadata["input_height"])
        return NetworkConfig(metadata["architecture"], width, height)
    except ValueError as error:
        raise WeightsArchitectureError(f"bad metadata: {error}") from error


@functools.cache
def _expected_shapes(config: NetworkConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        state = DepthMotionNet(config).state_dict()
    return {name: tensor.shape for name, tensor in state.items()}


def _check_tensors(tensors: dict[str, Tensor], config: NetworkConfig) -> None:
    expected = _expected_shapes(config)
    missing = sorted(expected.keys() - tensors.keys())
    if missing:
        raise WeightsTensorError(
            f"{len(missing)} tensors of {config.architecture!r} are missing, "
            f"the first is {missing[0]!r}"
        )
    surplus = sorted(tensors.keys() - expected.keys())
    if surplus:
        raise WeightsTensorError(
            f"{len(surplus)} tensors do not belong to {config.architecture!r}, "
            f"the first is {surplus[0]!r}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name]:
            raise WeightsTensorError(
                f"{name!r} has shape {tuple(tensor.shape)}, "
                f"{config.architecture!r} needs {tuple(expected[name])}"
            )
        if tensor.dtype not in _FLOATS:
            raise WeightsTensorError(f"{name!r} is {tensor.dtype}, not floating point")
        if not torch.isfinite(tensor).all():
            raise WeightsValueError(
                f"{name!r} holds NaN or infinity; the training run has diverged"
            )
